/** `coppice submit`: jobs into the queue, one id a line. */
import {Idset} from '../../formats/idset.ts';
import type {JobId} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {reportEnding} from '../attach/attach-job.ts';
import {followEndings} from '../attach/follow-endings.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {jobidText} from '../jobid-text.ts';
import {flagOption, textOption} from '../option-value.ts';
import {patienceOf} from '../reconnect-option.ts';
import {prepareSubmission, printJobspec} from '../submit/prepare-submission.ts';
import {requestIds} from '../submit/request-id.ts';
import {submitAll} from '../submit/submit-all.ts';
import {SUBMISSION_REWRITES, withSubmissionOptions} from '../submit/submission-options.ts';
import {submitRequest, type Copy} from '../submit/submission.ts';

export const submit: CommandModule = {
	name: 'submit',
	describe: 'Submits a job, or a copy for each id of --cc, and prints the job ids.',
	operands: 'COMMAND [ARG…]',
	example: 'coppice submit -N2 -n4 -t 1.5h --output job-{{id}}.out ./solve input.dat',
	rewrites: SUBMISSION_REWRITES,
	builder: yargs =>
		withSubmissionOptions(yargs)
			.option('cc', {
				type: 'string',
				describe: 'a copy for each id of an idset; {cc} and COPPICE_JOB_CC tell which',
			})
			.option('bcc', {type: 'string', describe: 'as --cc, without COPPICE_JOB_CC'})
			.option('wait', {type: 'boolean', describe: 'wait for all jobs; exit with the highest status'})
			.option('quiet', {type: 'boolean', describe: 'print no job ids'}),
	handler: async (argv, context) => {
		const copies = copiesOf(argv);
		const submission = await prepareSubmission(argv, context);
		if (flagOption(argv, 'dry-run')) {
			for (const copy of copies ?? [null]) await printJobspec(context, submission, copy);
			return 0;
		}
		const session = context.session(patienceOf(argv));
		const requestIdOf = requestIds(submission.options.requestId, context.world.random);
		const ids: JobId[] = [];
		const submitted = submitAll({
			session,
			clock: context.clock,
			count: copies?.length ?? 1,
			requestOf: index => {
				const copy = copies?.[index] ?? null;
				const requestId = requestIdOf(copy?.cc ?? null);
				return submitRequest(submission, {userid: context.world.userid, requestId, copy});
			},
		});
		for await (const id of submitted) {
			ids.push(id);
			if (!flagOption(argv, 'quiet')) await context.print(`${jobidText(id, context.env)}\n`);
		}
		return flagOption(argv, 'wait') ? waitForAll(context, session, ids) : 0;
	},
};

function copiesOf(argv: ParsedArguments): Copy[] | null {
	const cc = textOption(argv, 'cc');
	const bcc = textOption(argv, 'bcc');
	if (cc !== undefined && bcc !== undefined)
		throw new UsageError('options --cc and --bcc exclude each other');
	const text = cc ?? bcc;
	if (text === undefined) return null;
	try {
		const ids = Idset.parse(text);
		if (ids.isEmpty) throw new SystemError('EINVAL', 'the idset is empty');
		return [...ids].map(id => ({cc: id, isVisible: cc !== undefined}));
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new UsageError(`option --${cc === undefined ? 'bcc' : 'cc'}: ${error.message}`);
	}
}

async function waitForAll(
	context: CliContext,
	session: BrokerSession,
	ids: readonly JobId[],
): Promise<number> {
	let highest = 0;
	for await (const {id, ending} of followEndings(session, ids)) {
		highest = Math.max(highest, await reportEnding(context, ending, jobidText(id, context.env)));
	}
	return highest;
}
