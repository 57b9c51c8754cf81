/** `coppice log dump`: the facts of the event log, a line of JSON each. */
import type {CommandModule} from '../../command.ts';
import {inspectLog} from '../../inspect-log.ts';
import {logDirectory, withLogSource} from '../../log-source.ts';
import {integerOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {rankOption} from '../../rank-option.ts';

export const dump: CommandModule = {
	name: 'log dump',
	describe: 'Prints the facts of the event log, a line of JSON each.',
	operands: '[DIR]',
	example: 'coppice log dump --from 100 --to 120',
	builder: yargs =>
		withLogSource(yargs)
			.option('from', {type: 'string', describe: 'first sequence number; default: the oldest'})
			.option('to', {type: 'string', describe: 'last sequence number; default: the newest'})
			.option('json', {type: 'boolean', describe: 'as it is anyhow'}),
	handler: async (argv, context) => {
		const from = integerOption(argv, 'from', {min: 0});
		const to = integerOption(argv, 'to', {min: 0});
		const range = {...(from === undefined ? {} : {from}), ...(to === undefined ? {} : {to})};
		const dir = logDirectory(argv);
		const facts =
			dir === undefined
				? context.session().stream('event-log.dump', range, rankOption(argv))
				: (await inspectLog()).inspectDump(dir, range);
		for await (const fact of facts) await printJson(context, fact);
	},
};
