/** `coppice submit`: jobs into the queue, one id a line. */
import type {CommandModule} from '../command.ts';
import {flagOption} from '../option-value.ts';
import {patienceOf} from '../reconnect-option.ts';
import {bulkJobsOf} from '../submit/bulk-jobs.ts';
import {readBulkOptions, withBulkOptions} from '../submit/bulk-options.ts';
import {printJobspec} from '../submit/prepare-submission.ts';
import {submitBulk} from '../submit/submit-bulk.ts';
import {SUBMISSION_REWRITES, withSubmissionOptions} from '../submit/submission-options.ts';

export const submit: CommandModule = {
	name: 'submit',
	describe: 'Submits a job, or a copy for each id of --cc, and prints the job ids.',
	operands: 'COMMAND [ARG…]',
	example:
		'coppice submit -N2 -n4 -t 1.5h --output job-{{id}}.out ./solve input.dat\n' +
		'coppice submit --cc=1-100 --wait --progress ./solve input.{cc}',
	rewrites: SUBMISSION_REWRITES,
	builder: yargs => withBulkOptions(withSubmissionOptions(yargs)),
	handler: async (argv, context) => {
		const options = readBulkOptions(argv);
		const jobs = await bulkJobsOf(argv, context);
		if (flagOption(argv, 'dry-run')) {
			for (const {submission, copy} of jobs) await printJobspec(context, submission, copy);
			return 0;
		}
		return submitBulk(context, {jobs, options, patience: patienceOf(argv)});
	},
};
