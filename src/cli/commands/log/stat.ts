/** `coppice log stat`: prints size, range and condition of the event log. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {flagOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';

export const stat: CommandModule = {
	name: 'log stat',
	describe: 'Prints size, range and condition of the event log.',
	operands: '[DIR]',
	example: 'coppice log stat --json',
	builder: yargs => withLogSource(yargs).option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		const answer = await askLog(argv, context, {
			topic: 'event-log.stat',
			inspect: (log, dir) => log.inspectStat(dir),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
	},
};
