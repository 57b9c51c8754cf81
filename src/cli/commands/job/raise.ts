/** `coppice job raise`: an exception on jobs; one of severity 0 ends them. */
import type {CommandModule} from '../../command.ts';
import {forEachJob} from '../../for-each-job.ts';
import {integerOption, operands, textOption} from '../../option-value.ts';

export const raise: CommandModule = {
	name: 'job raise',
	describe: 'Raises an exception on jobs; one of severity 0 ends them.',
	operands: 'ID…',
	example: 'coppice job raise -s 0 -t maintenance -m "node goes down" $(coppice job last)',
	builder: yargs =>
		yargs
			.option('severity', {alias: 's', type: 'string', describe: '0 (default, fatal) to 7'})
			.option('type', {alias: 't', type: 'string', default: 'cancel', describe: "the exception's type"})
			.option('message', {alias: 'm', type: 'string', describe: 'a note for people'}),
	handler: async (argv, context) => {
		const severity = integerOption(argv, 'severity', {min: 0, max: 7}) ?? 0;
		const type = textOption(argv, 'type')!;
		const note = textOption(argv, 'message');
		const session = context.session();
		return forEachJob(context, operands(argv, ['ID…']), id =>
			session.call('job-manager.raise', {id, type, severity, ...(note === undefined ? {} : {note})}),
		);
	},
};
