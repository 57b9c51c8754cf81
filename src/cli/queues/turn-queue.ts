/** `queue start|stop|enable|disable`: one command, four names. */
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {flagOption, operands, textOption} from '../option-value.ts';
import {fetchQueue, fetchQueues, switchLine} from './fetch-queues.ts';

export interface TurnOptions {
	readonly verb: 'start' | 'stop' | 'enable' | 'disable';
	readonly describe: string;
	readonly example: string;
}

export function turnCommand({verb, describe, example}: TurnOptions): CommandModule {
	const which = verb === 'start' || verb === 'stop' ? 'start' : 'enable';
	const isOn = verb === which;
	return {
		name: `queue ${verb}`,
		describe,
		example,
		builder: yargs => {
			yargs
				.option('queue', {alias: 'q', type: 'string', describe: 'this queue'})
				.option('all', {alias: 'a', type: 'boolean', describe: 'all queues'})
				.option('quiet', {type: 'boolean', describe: 'do not say how it is now'})
				.option('verbose', {alias: 'v', type: 'boolean', describe: 'say also what did not change'});
			return isOn
				? yargs
				: yargs.option('message', {alias: 'm', type: 'string', describe: 'the reason, for people'});
		},
		handler: async (argv, context) => {
			operands(argv, []);
			const name = textOption(argv, 'queue');
			const isAll = flagOption(argv, 'all');
			if (name !== undefined && isAll) throw new UsageError('either --queue or --all');
			const reason = isOn ? undefined : textOption(argv, 'message');
			const session = context.session();
			await session.call(
				`job-manager.queue-${which}`,
				{
					[which]: isOn,
					all: isAll,
					...(which === 'start' ? {nocheckpoint: false} : {}),
					...(name === undefined ? {} : {name}),
					...(reason === undefined ? {} : {reason}),
				},
				{idempotent: true},
			);
			if (flagOption(argv, 'quiet')) return;
			const queues = name === undefined ? await fetchQueues(session) : [await fetchQueue(session, name)];
			const switches = flagOption(argv, 'verbose') ? (['enable', 'start'] as const) : ([which] as const);
			for (const queue of queues) {
				for (const one of switches) await context.print(`${switchLine(queue, one)}\n`);
			}
		},
	};
}
