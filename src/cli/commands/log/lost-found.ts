/** `coppice log lost+found`: lists the jobs that were set aside because a fact did not fit. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {flagOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';

export const lostFound: CommandModule = {
	name: 'log lost+found',
	describe: 'Lists the jobs that were set aside because a fact did not fit.',
	operands: '[DIR]',
	example: 'coppice log lost+found',
	builder: yargs => withLogSource(yargs).option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		const answer = await askLog(argv, context, {
			topic: 'event-log.lost-found',
			inspect: (log, dir) => log.inspectLostFound(dir),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
	},
};
