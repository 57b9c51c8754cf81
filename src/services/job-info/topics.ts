/** The topics of `job-info` (docs/services.md). */
import {encode} from '@msgpack/msgpack';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import {Fields} from '../fields.ts';
import type {EndingsSink} from './endings-watch.ts';
import type {JobInfo} from './job-info.ts';
import type {Sink} from './sink.ts';

export function registerJobInfo(registry: ServiceRegistry, info: JobInfo): void {
	registry.register('job-info.lookup', async request => {
		const fields = new Fields(request);
		request.respond(await info.lookup(fields.id(), fields.texts('keys')));
	});
	registry.register('job-info.archived', request => {
		const row = info.archived(new Fields(request).id());
		request.respond({
			row: row === undefined ? null : Buffer.from(encode(row, {useBigInt64: true})).toString('base64'),
		});
	});
	registry.register(
		'job-info.eventlog-watch',
		request => {
			const fields = new Fields(request);
			const sink: Sink = {
				write: value => request.respondStream(value),
				onDrain: () => undefined,
				end: () => request.end(),
			};
			request.onDrain = () => sink.onDrain();
			const stop = info.watch(fields.id(), {
				path: fields.text('path', 'eventlog'),
				offsets: fields.any('offsets'),
				sink,
			});
			request.onCancel = stop;
		},
		{streaming: 'always'},
	);
	registry.register(
		'job-info.endings',
		request => {
			const fields = new Fields(request);
			const sink: EndingsSink = {
				write: value => request.respondStream(value),
				onDrain: () => undefined,
				end: () => request.end(),
				fail: error => request.error(error),
			};
			request.onDrain = () => sink.onDrain();
			const names = fields.any('names') === undefined ? [] : fields.texts('names');
			request.onCancel = info.watchEndings({ids: fields.ids('ids'), names, sink});
		},
		{streaming: 'always'},
	);
}
