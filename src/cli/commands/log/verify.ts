/** `coppice log verify`: checks the chain of the event log and its facts; exits 1 when something is wrong. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {flagOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {objectOf} from '../../fields.ts';

export const verify: CommandModule = {
	name: 'log verify',
	describe: 'Checks the chain of the event log and its facts; exits 1 when something is wrong.',
	operands: '[DIR]',
	example: 'coppice log verify',
	builder: yargs => withLogSource(yargs).option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		const answer = await askLog(argv, context, {
			topic: 'event-log.verify',
			inspect: (log, dir) => log.inspectVerify(dir),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
		return objectOf(answer, 'event-log.verify')['ok'] === true ? 0 : 1;
	},
};
