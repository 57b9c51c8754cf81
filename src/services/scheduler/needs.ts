/**
 * What a job needs, read once from its jobspec: how much, and which ranks may give it. Jobs that need the same share what is
 * worked out for them, so that thousands of equal jobs cost as much as one.
 */
import {compileConstraint} from '../../formats/constraint.ts';
import {requestOf, type Jobspec, type ResourceRequest} from '../../formats/jobspec.ts';
import {queueOf, type Queues} from '../queue/queues.ts';
import type {Admits} from '../resource/pool.ts';
import type {Resources} from '../resource/resources.ts';

export interface Needs {
	readonly request: ResourceRequest;
	/** The ranks that fit the constraints of job and queue; null: all. */
	readonly matching: ReadonlySet<number> | null;
	/** Equal for jobs that need the same. */
	readonly key: string;
}

export class NeedsReader {
	readonly #resources: Resources;
	readonly #queues: Queues;
	readonly #matching = new Map<string, ReadonlySet<number> | null>();
	/** The definitions of nodes that `#matching` rests on. */
	#definitions = -1;

	constructor(resources: Resources, queues: Queues) {
		this.#resources = resources;
		this.#queues = queues;
	}

	read(jobspec: Jobspec): Needs {
		const {resources, tasks, attributes} = jobspec;
		const own = attributes.system.constraints ?? {};
		const constraint = {and: [own, this.#queues.constraintOf(queueOf(jobspec)) ?? {}]};
		const place = JSON.stringify(constraint);
		return {
			request: requestOf(jobspec),
			matching: this.#matchingOf(constraint, place),
			key: JSON.stringify([resources, tasks[0].count, place]),
		};
	}

	#matchingOf(constraint: unknown, key: string): ReadonlySet<number> | null {
		if (key === NO_CONSTRAINT) return null;
		if (this.#definitions !== this.#resources.definitions) {
			this.#matching.clear();
			this.#definitions = this.#resources.definitions;
		}
		const known = this.#matching.get(key);
		if (known !== undefined) return known;
		if (this.#matching.size >= MATCHING_MAX) this.#matching.clear();
		const matches = compileConstraint(constraint);
		const found = new Set(this.#resources.nodes.filter(matches).map(({rank}) => rank));
		this.#matching.set(key, found);
		return found;
	}
}

/** Whether a rank fits the constraints. */
export function admitsOf({matching}: Needs): Admits {
	return matching === null ? () => true : rank => matching.has(rank);
}

const NO_CONSTRAINT = JSON.stringify({and: [{}, {}]});
/** So many constraints are remembered. */
const MATCHING_MAX = 1000;
