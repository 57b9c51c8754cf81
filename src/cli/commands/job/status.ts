/** `coppice job status`: waits for jobs and exits with the highest status of them. */
import {reportEnding, watchEvents} from '../../attach/attach-job.ts';
import type {CommandModule} from '../../command.ts';
import {explain} from '../../command-error.ts';
import {fetchJob} from '../../jobs/fetch-jobs.ts';
import {jobJson} from '../../jobs/job-json.ts';
import {jobidText, parseJobids} from '../../jobid-text.ts';
import {flagOption, operands} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';
import {exitStatusOf} from '../../attach/job-ending.ts';

export const status: CommandModule = {
	name: 'job status',
	describe: 'Waits until jobs are over and exits with the highest of their exit statuses.',
	operands: 'ID…',
	example: 'coppice job status -v $(coppice submit make test)',
	builder: yargs =>
		yargs
			.option('json', {type: 'boolean', describe: 'print each job as a line of JSON'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'say how each job ended, on stderr'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const ids = parseJobids(operands(argv, ['ID…']));
		const session = context.session(patienceOf(argv));
		let highest = 0;
		for (const id of ids) {
			const name = jobidText(id, context.env);
			try {
				const ending = await watchEvents(context, {session, id});
				const isJson = flagOption(argv, 'json');
				if (isJson) await printJson(context, jobJson(await fetchJob(session, id)));
				highest = Math.max(
					highest,
					context.isVerbose && !isJson ? await reportEnding(context, ending, name) : exitStatusOf(ending),
				);
			} catch (error) {
				throw explain(name, error);
			}
		}
		return highest;
	},
};
