/** `coppice queue status`: whether queues take jobs in, and whether their jobs get resources. */
import type {CommandModule} from '../../command.ts';
import {flagOption, operands, textOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {fetchQueue, fetchQueues, queueJson, switchLine} from '../../queues/fetch-queues.ts';

export const status: CommandModule = {
	name: 'queue status',
	describe: 'Tells whether queues are enabled and started, and why not.',
	example: 'coppice queue status -v',
	builder: yargs =>
		yargs
			.option('queue', {alias: 'q', type: 'string', describe: 'only this one'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'count its jobs as well'})
			.option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const session = context.session();
		const name = textOption(argv, 'queue');
		const queues = name === undefined ? await fetchQueues(session) : [await fetchQueue(session, name)];
		if (flagOption(argv, 'json')) {
			await printJson(context, {queues: queues.map(queueJson)});
			return;
		}
		for (const queue of queues) {
			await context.print(`${switchLine(queue, 'enable')}\n${switchLine(queue, 'start')}\n`);
		}
		if (!flagOption(argv, 'verbose')) return;
		const sum = (countOf: (queue: (typeof queues)[number]) => number) =>
			queues.reduce((total, queue) => total + countOf(queue), 0);
		await context.print(
			`${sum(queue => (queue.isStarted ? 0 : queue.allocPending))} alloc requests queued\n` +
				`${sum(queue => (queue.isStarted ? queue.allocPending : 0))} alloc requests pending to scheduler\n` +
				`${sum(({running}) => running)} running jobs\n`,
		);
	},
};
