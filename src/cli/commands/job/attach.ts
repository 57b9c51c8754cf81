/** `coppice job attach`: shows a job's output from its beginning, waits for its end, exits as it does. */
import {attachJob} from '../../attach/attach-job.ts';
import type {CommandModule} from '../../command.ts';
import {parseJobid} from '../../jobid-text.ts';
import {flagOption, operands} from '../../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';

export const attach: CommandModule = {
	name: 'job attach',
	describe: 'Shows the output of a job from its beginning, waits for its end, and exits as it does.',
	operands: 'ID',
	example: 'coppice job attach -l $(coppice job last)',
	builder: yargs =>
		yargs
			.option('label-io', {
				alias: 'l',
				type: 'boolean',
				describe: 'put the rank of its task before each line',
			})
			.option('show-events', {alias: 'E', type: 'boolean', describe: "show the job's events on stderr"})
			.option('read-only', {type: 'boolean', describe: 'ctrl-C ends this command and leaves the job alone'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'say what happens, on stderr'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const [text = ''] = operands(argv, ['ID']);
		return attachJob(context, {
			session: context.session(patienceOf(argv)),
			id: parseJobid(text),
			isLabeled: flagOption(argv, 'label-io'),
			showsEvents: flagOption(argv, 'show-events'),
			isReadOnly: flagOption(argv, 'read-only'),
		});
	},
};
