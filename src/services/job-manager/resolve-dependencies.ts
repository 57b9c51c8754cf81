/** From the dependencies of a jobspec (RFC 26) to what the job will wait for: ids are read, and jobs must be there. */
import {SystemError} from '../../formats/errno.ts';
import {decodeJobid} from '../../formats/jobid.ts';
import {formatDependency, type Dependency} from '../../formats/dependency.ts';
import {jobNameOf, type Jobspec} from '../../formats/jobspec.ts';
import type {DurableState} from '../../machines/durable-state.ts';
import type {AfterKind, JobDependency} from '../../machines/job-dependencies.ts';
import type {Archive} from '../archive.ts';

/** So many things may one job wait for. */
export const DEPENDENCIES_MAX = 1000;

export interface KnownJobs {
	readonly state: DurableState;
	readonly archive: Archive;
}

/**
 * What the job will wait for; empty: nothing. Each thing once.
 * @throws {SystemError} EINVAL: a scheme that is not there, a value that is no id or time, or a job that is not known.
 */
export function resolveDependencies(jobspec: Jobspec, known: KnownJobs): readonly JobDependency[] {
	const {dependencies = []} = jobspec.attributes.system;
	if (dependencies.length > DEPENDENCIES_MAX) {
		throw new SystemError(
			'EINVAL',
			`a job may have ${DEPENDENCIES_MAX} dependencies, not ${dependencies.length}`,
		);
	}
	const found = new Map<string, JobDependency>();
	for (const dependency of dependencies) {
		const resolved = resolve(dependency, jobNameOf(jobspec), known);
		found.set(resolved.description, resolved);
	}
	return [...found.values()];
}

const AFTER: Readonly<Record<string, AfterKind>> = {
	after: 'after-start',
	afterstart: 'after-start',
	afterany: 'after-finish',
	afterok: 'after-success',
	afternotok: 'after-failure',
	afterexcept: 'after-except',
};
const SCHEMES = [...Object.keys(AFTER), 'singleton', 'begin-time'];

function resolve(dependency: Dependency, name: string, known: KnownJobs): JobDependency {
	const {scheme, value} = dependency;
	const fault = (why: string) =>
		new SystemError('EINVAL', `dependency ${formatDependency(dependency)}: ${why}`);
	if (scheme === 'singleton') return {description: 'singleton', kind: 'singleton', name};
	if (scheme === 'begin-time') {
		const seconds = /^[0-9]+(\.[0-9]*)?$/.test(value) ? Number(value) : NaN;
		if (!Number.isFinite(seconds)) throw fault(`"${value}" is not a valid time in epoch seconds`);
		return {description: `begin-time=${value}`, kind: 'begin-time', epochMs: seconds * 1000};
	}
	const kind = Object.hasOwn(AFTER, scheme) ? AFTER[scheme] : undefined;
	if (kind === undefined) throw fault(`the scheme must be one of ${SCHEMES.join(', ')}`);
	const id = idOf(value);
	if (id === null) throw fault(`"${value}" is not a valid jobid`);
	if (known.state.lost.has(id)) throw fault('the job is in lost+found, and how it ended will not be known');
	if (!known.state.jobs.has(id) && known.archive.job(id) === undefined) {
		throw fault('job not found: there never was one with this id, or it was purged');
	}
	return {description: `${kind}=${value}`, kind, id};
}

function idOf(text: string): bigint | null {
	try {
		return decodeJobid(text);
	} catch (error) {
		if (error instanceof SystemError) return null;
		throw error;
	}
}
