/** `coppice job urgency`: how much a job that waits is in a hurry. */
import type {CommandModule} from '../../command.ts';
import {explain} from '../../command-error.ts';
import {numberField} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {operands} from '../../option-value.ts';
import {parseUrgency} from '../../submit/submission-options.ts';

export const urgency: CommandModule = {
	name: 'job urgency',
	describe: "Changes a job's urgency: 0 to 31, hold (0), default (16) or expedite (31).",
	operands: 'ID N',
	example: 'coppice job urgency $(coppice job last) hold',
	builder: yargs =>
		yargs.option('verbose', {alias: 'v', type: 'boolean', describe: 'print what it was before'}),
	handler: async (argv, context) => {
		const [text = '', value = ''] = operands(argv, ['ID', 'N']);
		const id = parseJobid(text);
		const topic = 'job-manager.urgency';
		const wanted = parseUrgency(value);
		try {
			const answer = await context.session().call(topic, {id, urgency: wanted}, {idempotent: true});
			if (context.isVerbose) await context.warn(`old urgency: ${numberField(answer, 'old_urgency', topic)}`);
		} catch (error) {
			throw explain(jobidText(id, context.env), error);
		}
	},
};
