/** `coppice log replay`: executes the event log again and compares the digest of the state. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {flagOption, integerOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {objectOf} from '../../fields.ts';

export const replay: CommandModule = {
	name: 'log replay',
	describe: 'Executes the event log again and compares the digest of the state.',
	operands: '[DIR]',
	example: 'coppice log replay --to 1000',
	builder: yargs =>
		withLogSource(yargs)
			.option('to', {type: 'string', describe: 'through this sequence number; default: all'})
			.option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		const to = integerOption(argv, 'to', {min: 0});
		const range = to === undefined ? {} : {to};
		const answer = await askLog(argv, context, {
			topic: 'event-log.replay',
			payload: range,
			inspect: (log, dir) => log.inspectReplay(dir, range),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
		return objectOf(answer, 'event-log.replay')['match'] !== false ? 0 : 1;
	},
};
