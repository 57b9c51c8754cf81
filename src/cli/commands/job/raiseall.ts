/** `coppice job raiseall`: an exception on all jobs that a filter finds. */
import {UsageError} from '../../command-error.ts';
import type {CommandModule} from '../../command.ts';
import {numberField} from '../../fields.ts';
import {stateMask} from '../../jobs/job-filter.ts';
import {flagOption, integerOption, textOption} from '../../option-value.ts';
import {userOption} from '../../user-option.ts';

const TOPIC = 'job-manager.raiseall';

export const raiseall: CommandModule = {
	name: 'job raiseall',
	describe:
		'Raises an exception on all jobs of a user in some states; one of severity 0 ends them. Without --force it only says ' +
		'how many those are.',
	operands: 'TYPE [MESSAGE…]',
	example: 'coppice job raiseall -f -s 0 -S running maintenance "power goes off at 18:00"',
	builder: yargs =>
		yargs
			.option('severity', {alias: 's', type: 'string', describe: '0 (fatal) to 7 (default)'})
			.option('user', {
				alias: 'u',
				type: 'string',
				describe: 'whose jobs: a name, a number, or all; default: own',
			})
			.option('states', {alias: 'S', type: 'string', describe: 'in these states; default: active'})
			.option('force', {alias: 'f', type: 'boolean', describe: 'do it'}),
	handler: async (argv, context) => {
		const [type, ...words] = argv._;
		if (type === undefined) throw new UsageError('TYPE is missing');
		const isForced = flagOption(argv, 'force');
		const note = words.join(' ');
		const answer = await context.session().call(TOPIC, {
			dry_run: !isForced,
			userid: userOption(argv, context),
			states: stateMask(textOption(argv, 'states') ?? 'active', 'option --states'),
			severity: integerOption(argv, 'severity', {min: 0, max: 7}) ?? 7,
			type,
			...(note === '' ? {} : {note}),
		});
		const count = numberField(answer, 'count', TOPIC);
		const errors = numberField(answer, 'errors', TOPIC);
		const jobs = `${count} job${count === 1 ? '' : 's'}`;
		await context.warn(
			isForced ? `Raised exception on ${jobs} (${errors} errors)` : `Command matched ${jobs} (-f to confirm)`,
		);
		return errors > 0 ? 1 : 0;
	},
};
