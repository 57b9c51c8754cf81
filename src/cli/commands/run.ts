/** `coppice run`: a job in the foreground; its output is this command's output, its status this command's. */
import {attachJob} from '../attach/attach-job.ts';
import {inputFor} from '../attach/input-for.ts';
import type {CommandModule} from '../command.ts';
import {jobidText} from '../jobid-text.ts';
import {flagOption} from '../option-value.ts';
import {patienceOf} from '../reconnect-option.ts';
import {prepareSubmission, printJobspec} from '../submit/prepare-submission.ts';
import {requestIds} from '../submit/request-id.ts';
import {submitAll} from '../submit/submit-all.ts';
import {SUBMISSION_REWRITES, withSubmissionOptions} from '../submit/submission-options.ts';
import {jobspecOf, submitRequest, type Submission} from '../submit/submission.ts';

export const run: CommandModule = {
	name: 'run',
	describe:
		'Runs a job, shows its output, and exits as it does. Its tasks get the standard input of this command, unless that is ' +
		'/dev/null or --input says otherwise. With -o pty.interactive it gets this terminal; Ctrl-] leaves it to run on, and ' +
		'job attach takes it up again.',
	operands: 'COMMAND [ARG…]',
	example: 'coppice run -n2 -l hostname',
	rewrites: SUBMISSION_REWRITES,
	builder: withSubmissionOptions,
	handler: async (argv, context) => {
		const {stdin} = context.world;
		const submission: Submission = {
			...(await prepareSubmission(argv, context)),
			takesInput: stdin.kind !== 'none',
			terminal: stdin.size(),
		};
		if (flagOption(argv, 'dry-run')) {
			await printJobspec(context, submission, null);
			return 0;
		}
		const session = context.session(patienceOf(argv));
		const {random, userid} = context.world;
		const requestId = requestIds(submission.options.requestId, random)('');
		const request = submitRequest(submission, {userid, requestId});
		for await (const id of submitAll({session, clock: context.clock, count: 1, requestOf: () => request})) {
			if (context.isVerbose) await context.warn(`jobid: ${jobidText(id, context.env)}`);
			const {isLabeled, isUnbuffered} = submission.options;
			const input = stdin.kind === 'none' ? undefined : inputFor(jobspecOf(submission), null);
			return attachJob(context, {
				session,
				id,
				isLabeled,
				isUnbuffered,
				showsEvents: false,
				isReadOnly: false,
				...(input === undefined ? {} : {input}),
			});
		}
		throw new Error('one request was sent, and no id came');
	},
};
