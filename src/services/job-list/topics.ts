/** The topics of `job-list` (docs/services.md). */
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import {Fields} from '../fields.ts';
import type {JobList} from './job-list.ts';
import type {JobView} from './job-view.ts';

/** Jobs in one response of a list. */
const JOBS_PER_RESPONSE = 64;

export function registerJobList(registry: ServiceRegistry, list: JobList): void {
	registry.register('job-list.list', request => streamJobs(request, list), {streaming: 'always'});
	registry.register('job-list.list-id', request => {
		const fields = new Fields(request);
		request.respond({job: pick(list.one(fields.id()), fields.texts('attrs'))});
	});
	registry.register('job-list.job-stats', request => request.respond(list.stats()));
}

async function streamJobs(request: RpcRequest, list: JobList): Promise<void> {
	const fields = new Fields(request);
	const attrs = fields.texts('attrs');
	const jobs = list.list({
		maxEntries: fields.integer('max_entries', 0),
		constraint: fields.any('constraint'),
		since: fields.number('since', 0),
	});
	let batch: object[] = [];
	const send = async () => {
		const full = batch;
		batch = [];
		if (!request.respondStream({jobs: full})) await drained(request);
	};
	for await (const job of jobs) {
		if (!request.isOpen) return;
		batch.push(pick(job, attrs));
		if (batch.length >= JOBS_PER_RESPONSE) await send();
	}
	if (batch.length > 0) await send();
	request.end();
}

/** Resolves when the client has taken what it was sent, or has gone. */
export async function drained(request: RpcRequest): Promise<void> {
	await new Promise<void>(resolve => {
		request.onDrain = resolve;
		request.onCancel = () => resolve();
	});
}

function pick(job: JobView, attrs: readonly string[]): object {
	if (attrs.includes('all')) return job;
	return Object.fromEntries(['id', ...attrs].filter(name => name in job).map(name => [name, job[name]]));
}
