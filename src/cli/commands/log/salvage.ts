/** `coppice log salvage`: the way out of safe mode: says what is damaged and what would be dropped, and does it with --yes. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {flagOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';

export const salvage: CommandModule = {
	name: 'log salvage',
	describe:
		'The way out of safe mode: says what is damaged and what would be dropped, and does it with --yes.',
	operands: '[DIR]',
	example: 'coppice log salvage --yes',
	builder: yargs =>
		withLogSource(yargs)
			.option('yes', {type: 'boolean', describe: 'do it'})
			.option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		const yes = flagOption(argv, 'yes');
		const answer = await askLog(argv, context, {
			topic: 'event-log.salvage',
			payload: {yes},
			inspect: (log, dir) => log.inspectSalvage(dir, {yes}),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
	},
};
