/**
 * Jobs that name their resources themselves (`attributes.system.alloc-bypass.R`, as Flux has it): they wait for nobody, get
 * what they name, and hold nothing, so that an admin can run a command on nodes that are full. `coppice exec` makes them.
 */
import {SystemError} from '../../formats/errno.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {Jobspec} from '../../formats/jobspec.ts';

/** What a job brings with it, or null. @throws {SystemError} EINVAL when that is no R of at least one rank. */
export function bypassOf({attributes}: Jobspec): ResourceSet | null {
	const bypass = attributes.system['alloc-bypass'] as {readonly R?: unknown} | undefined;
	if (bypass === undefined) return null;
	const R = ResourceSet.parse(bypass.R);
	if (R.nodeCount === 0) throw new SystemError('EINVAL', 'attributes.system.alloc-bypass.R names no rank');
	return R;
}
