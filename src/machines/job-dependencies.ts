/**
 * What a job waits for before it may stand in the queue (RFC 26). A job has all its dependencies from the fact that submitted
 * it on, each loses its hold once, and none is ever added later: so a job can wait only for jobs with lower ids, and no ring of
 * jobs that wait for each other can come about.
 */

/** How a job may depend on another one, in the words of the eventlog. */
export type AfterKind = 'after-start' | 'after-finish' | 'after-success' | 'after-failure' | 'after-except';

/**
 * One thing that is waited for. `description` names it within its job and in the eventlog, with the value as it was
 * written.
 */
export type JobDependency =
	/** The start, the end, or an end of a certain kind, of another job. */
	| {readonly description: string; readonly kind: AfterKind; readonly id: bigint}
	/** Every active job of the same user and name with a lower id. */
	| {readonly description: string; readonly kind: 'singleton'; readonly name: string}
	/** A wall time. */
	| {readonly description: string; readonly kind: 'begin-time'; readonly epochMs: number};

interface Waiting {
	/** Absent: none was ever there. */
	readonly dependencies?: readonly JobDependency[];
}

interface Entry {
	readonly name: string;
	readonly atMs: number;
	readonly context: Readonly<Record<string, unknown>> | null;
}

/** What is waited for still. */
export function dependenciesOf({dependencies}: Waiting): readonly JobDependency[] {
	return dependencies ?? [];
}

export function hasDependency(job: Waiting, description: string): boolean {
	return dependenciesOf(job).some(one => one.description === description);
}

/** The dependencies of a job that is submitted, with their entries in the eventlog; nothing for a job without. */
export function dependencyAdded<E extends Entry>(
	{dependencies}: Waiting,
	{events, atMs}: {readonly events: readonly E[]; readonly atMs: number},
): {readonly dependencies?: readonly JobDependency[]; readonly events?: readonly (E | Entry)[]} {
	if (dependencies === undefined || dependencies.length === 0) return {};
	const added = dependencies.map(({description}) => ({
		name: 'dependency-add',
		atMs,
		context: {description},
	}));
	return {dependencies, events: [...events, ...added]};
}

export function dependencyRemoved(
	job: Waiting,
	description: string,
): {readonly dependencies: readonly JobDependency[]} {
	return {dependencies: dependenciesOf(job).filter(one => one.description !== description)};
}
