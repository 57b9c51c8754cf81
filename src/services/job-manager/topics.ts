/** The topics of `job-ingest` and `job-manager` (docs/services.md). */
import {f58} from '../../formats/jobid.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import {readJobspec} from '../../formats/stored-jobspec.ts';
import {unwrapSigned} from '../../formats/sign-none.ts';
import {signalName} from '../../formats/signal.ts';
import {returnCodeOf} from '../../machines/job-report.ts';
import {FLAG_WAITABLE, type JobContext} from '../../machines/job.ts';
import {resultOf} from '../../machines/archive-row.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import {STATE_BITS} from '../job-list/job-view.ts';
import type {JobManager} from './job-manager.ts';

const FLAGS_ALLOWED = 2 | FLAG_WAITABLE | 8;
const ANY_JOB = -1n;
/** A jobspec is one fact, and a record of the log has its bounds. */
export const J_LENGTH_MAX = 2 * 1024 * 1024;

export interface JobManagerTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly manager: JobManager;
	readonly archive: Archive;
}

export function registerJobManager({core, registry, manager, archive}: JobManagerTopics): void {
	registry.register('job-ingest.submit', request => {
		const fields = new Fields(request);
		const flags = fields.integer('flags', 0);
		if ((flags & ~FLAGS_ALLOWED) !== 0) throw new SystemError('EPROTO', 'invalid job flags');
		const J = fields.text('J');
		if (J.length > J_LENGTH_MAX) {
			throw new SystemError(
				'EFBIG',
				`the signed jobspec has ${J.length} characters, more than ${J_LENGTH_MAX}`,
			);
		}
		const {payload, userid} = unwrapSigned(J);
		const requestId = fields.any('request_id') === undefined ? null : fields.text('request_id');
		const jobspec = readJobspec({json: payload});
		const id = manager.submit({jobspec, urgency: fields.integer('urgency', 16), flags, userid, requestId});
		request.respond({id});
	});
	registry.register('job-manager.raise', request => {
		const fields = new Fields(request);
		manager.raise(fields.id(), {
			type: fields.text('type'),
			severity: fields.integer('severity'),
			note: fields.text('note', ''),
			userid: request.userid,
		});
		request.respond();
	});
	registry.register('job-manager.raiseall', request => {
		const fields = new Fields(request);
		const ids = selected(core, fields);
		if (!fields.flag('dry_run')) {
			for (const id of ids) {
				manager.raise(id, {
					type: fields.text('type'),
					severity: fields.integer('severity'),
					note: fields.text('note', ''),
					userid: request.userid,
				});
			}
		}
		request.respond({count: ids.length, errors: 0});
	});
	registry.register('job-manager.kill', async request => {
		const fields = new Fields(request);
		await manager.kill(fields.id(), fields.integer('signum'));
		request.respond();
	});
	registry.register('job-manager.killall', async request => {
		const fields = new Fields(request);
		const signum = fields.integer('signum');
		const userid = fields.integer('userid', -1);
		const ids = [...core.state.jobs.values()]
			.filter(({value, context}) => value === 'run' && isOf(userid, context.userid))
			.map(({context}) => context.id);
		const sent = fields.flag('dry_run')
			? []
			: await Promise.allSettled(ids.map(id => manager.kill(id, signum)));
		request.respond({count: ids.length, errors: sent.filter(({status}) => status === 'rejected').length});
	});
	registry.register('job-manager.node-dead', request => nodeDead(manager, request));
	registry.register('job-manager.urgency', request => {
		const fields = new Fields(request);
		const before = manager.urgency(fields.id(), fields.integer('urgency'), request.userid);
		request.respond({old_urgency: before});
	});
	registerPurge(registry, manager);
	registry.register('job-manager.getinfo', request => request.respond({max_jobid: core.state.lastJobId}));
	registry.register('job-manager.wait', request => waitForEnd({core, archive, request}));
}

function registerPurge(registry: ServiceRegistry, manager: JobManager): void {
	registry.register('job-manager.purge', async request => {
		const fields = new Fields(request);
		const [ageS, inactiveNum] = [fields.number('age_limit', -1), fields.integer('num_limit', -1)];
		const limits = {
			inactiveAgeMs: ageS < 0 ? null : ageS * 1000,
			inactiveNum: inactiveNum < 0 ? null : inactiveNum,
		};
		request.respond(await manager.purge.purge(limits, {isDryRun: !fields.flag('force')}));
	});
	registry.register('job-manager.purge-id', async request => {
		const fields = new Fields(request);
		const ids = fields.any('ids') === undefined ? [fields.id()] : fields.ids('ids');
		request.respond(await manager.purge.purgeIds(ids, {isDryRun: !fields.flag('force')}));
	});
}

function nodeDead(manager: JobManager, request: RpcRequest): void {
	const fields = new Fields(request);
	const ranks = manager.ranksOf(fields.text('targets'));
	const reason = fields.text('reason', '');
	// All or none: a mistyped target must not end the jobs of the others.
	for (const rank of ranks) manager.checkAway(rank);
	const count = ranks.reduce((sum, rank) => sum + manager.declareDead(rank, reason), 0);
	request.respond({ranks: Idset.from(ranks).toString(), count});
}

function isOf(userid: number, owner: number): boolean {
	return userid === -1 || userid === 0xffff_ffff || userid === owner;
}

function selected(core: Core, fields: Fields): bigint[] {
	const userid = fields.integer('userid', -1);
	const states = fields.integer('states', 62);
	return [...core.state.jobs.values()]
		.filter(({value, context}) => ((STATE_BITS[value] ?? 0) & states) !== 0 && isOf(userid, context.userid))
		.map(({context}) => context.id);
}

interface Wait {
	readonly core: Core;
	readonly archive: Archive;
	readonly request: RpcRequest;
}

/** Answers when the job is inactive; without an id, when any waitable one is. */
function waitForEnd(wait: Wait): void {
	const {core, archive, request} = wait;
	const id = new Fields(request).idOrAny();
	const [ended] = id === ANY_JOB ? core.state.waitable : [id];
	const row = ended === undefined || core.state.jobs.has(ended) ? undefined : archive.job(ended);
	if (row !== undefined) {
		// The fact first: the answer says that nobody else will be told.
		if (core.refusal === null && core.state.waitable.has(row.id))
			core.post({type: 'broker.waited', id: row.id});
		request.respond({id: row.id, ...endOf(row)});
		return;
	}
	if (id !== ANY_JOB && !core.state.jobs.has(id)) throw new SystemError('ECHILD', `no job ${f58(id)}`);
	if (id === ANY_JOB && ![...core.state.jobs.values()].some(({context}) => isWaitable(context))) {
		throw new SystemError('ECHILD', 'there are no more waitable jobs');
	}
	const unsubscribe = core.onChange(change => {
		if (change.kind !== 'job' || !change.isFinal) return;
		const {context} = change.snapshot;
		if (id === ANY_JOB ? !core.state.waitable.has(context.id) : context.id !== id) return;
		unsubscribe();
		// Not from within a change: a fact that is posted there is only queued, so that the answer could leave before it,
		// and a second waiter be told the same job.
		core.clock.defer(() => lookAgain(wait));
	});
	request.onCancel = unsubscribe;
}

function lookAgain(wait: Wait): void {
	if (!wait.request.isOpen) return;
	try {
		waitForEnd(wait);
	} catch (error) {
		wait.request.error(asSystemError(error));
	}
}

function isWaitable({flags}: JobContext): boolean {
	return (flags & FLAG_WAITABLE) !== 0;
}

function endOf(job: JobContext): {readonly success: boolean; readonly errstr: string} {
	if (resultOf(job) === 'COMPLETED') return {success: true, errstr: ''};
	if (job.exception !== null) {
		const {type, note} = job.exception;
		return {success: false, errstr: `Fatal exception type=${type} ${note}`.trim()};
	}
	if (job.waitStatus === null) return {success: false, errstr: 'the outcome of a task is unknown'};
	const signum = job.waitStatus & 0x7f;
	const errstr =
		signum === 0
			? `task(s) exited with exit code ${returnCodeOf(job.waitStatus)}`
			: `task(s) ended by ${signalName(signum)}`;
	return {success: false, errstr};
}
