/** `coppice job killall`: a signal to all tasks of all running jobs. */
import type {CommandModule} from '../../command.ts';
import {numberField} from '../../fields.ts';
import {flagOption, operands, textOption} from '../../option-value.ts';
import {userOption} from '../../user-option.ts';
import {signalOption} from './kill.ts';

const TOPIC = 'job-manager.killall';

export const killall: CommandModule = {
	name: 'job killall',
	describe:
		'Sends a signal to all tasks of all running jobs. Without --force it only says how many those are.',
	example: 'coppice job killall -f -s USR1',
	builder: yargs =>
		yargs
			.option('signal', {alias: 's', type: 'string', default: 'SIGTERM', describe: 'name or number'})
			.option('user', {
				alias: 'u',
				type: 'string',
				describe: 'whose jobs: a name, a number, or all; default: own',
			})
			.option('force', {alias: 'f', type: 'boolean', describe: 'do it'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const isForced = flagOption(argv, 'force');
		const answer = await context.session().call(TOPIC, {
			dry_run: !isForced,
			userid: userOption(argv, context),
			signum: signalOption(textOption(argv, 'signal')!),
		});
		const count = numberField(answer, 'count', TOPIC);
		const errors = numberField(answer, 'errors', TOPIC);
		const jobs = `${count} job${count === 1 ? '' : 's'}`;
		await context.warn(
			isForced ? `Signaled ${jobs} (${errors} errors)` : `Command matched ${jobs} (-f to confirm)`,
		);
		return errors > 0 ? 1 : 0;
	},
};
