/** Random trees. */
import fc from 'fast-check';
import {Topology} from '../../../src/net/overlay/topology.ts';

/** Of 1 to `sizeMax` ranks: rows, stars, and everything in between; a parent may have a higher rank than its child. */
export function topologies(sizeMax: number): fc.Arbitrary<Topology> {
	return fc
		.tuple(
			fc.array(fc.nat(), {minLength: 0, maxLength: sizeMax - 1}),
			fc.constantFrom(1, 2, 4, sizeMax),
			fc.boolean(),
		)
		.map(([choices, spread, isTurned]) => {
			const size = choices.length + 1;
			// The i-th node hangs below one of the last `spread` nodes before it.
			const parents = choices.map((choice, index) => index - (choice % Math.min(spread, index + 1)));
			const nameOf = (node: number) => (node === 0 || !isTurned ? node : size - node);
			const named = new Array<number>(size).fill(0);
			for (const [index, parent] of parents.entries()) named[nameOf(index + 1)] = nameOf(parent);
			return Topology.fromParents(named);
		});
}
