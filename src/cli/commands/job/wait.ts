/** `coppice job wait`: waits for jobs that were submitted with `--flags=waitable`; each can be waited for once. */
import {SystemError} from '../../../formats/errno.ts';
import type {JobId} from '../../../formats/jobid.ts';
import {exitStatusOf} from '../../attach/job-ending.ts';
import {watchEvents} from '../../attach/attach-job.ts';
import type {BrokerSession} from '../../broker-session.ts';
import type {CommandModule} from '../../command.ts';
import {CommandError, explain, UsageError} from '../../command-error.ts';
import type {CliContext} from '../../context.ts';
import {idField, objectOf, scalarText} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {flagOption} from '../../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';

export const wait: CommandModule = {
	name: 'job wait',
	describe: 'Waits for waitable jobs; exits 0 when they succeeded, 1 when one failed, 2 when there is none.',
	operands: '[ID]',
	example: 'coppice submit --flags=waitable make && coppice job wait --all',
	builder: yargs =>
		yargs
			.option('all', {alias: 'a', type: 'boolean', describe: 'wait for all of them'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'name those that succeeded, too'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const [text, ...others] = argv._;
		if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
		const session = context.session(patienceOf(argv));
		if (flagOption(argv, 'all')) {
			if (text !== undefined) throw new UsageError('option --all takes no ID');
			return waitAll(context, session);
		}
		const ended = await waitOne(session, text === undefined ? null : parseJobid(text), context);
		if (ended === null) {
			const what = text === undefined ? 'no waitable jobs' : `${text}: not waitable, or waited for already`;
			throw new CommandError(`ECHILD: ${what}`, {exitCode: EXIT_NONE});
		}
		if (text === undefined) await context.print(`${jobidText(ended.id, context.env)}\n`);
		return report(context, ended);
	},
};

const EXIT_NONE = 2;
const TOPIC = 'job-manager.wait';
/** Any waitable job. */
const ANY = -1;

interface Ended {
	readonly id: JobId;
	readonly isSuccess: boolean;
	readonly text: string;
}

async function waitAll(context: CliContext, session: BrokerSession): Promise<number> {
	let exitCode = 0;
	for (;;) {
		const ended = await waitOne(session, null, context);
		if (ended === null) return exitCode;
		exitCode = Math.max(exitCode, await report(context, ended));
	}
}

/** Null: there is nothing to wait for. An answer that was lost on its way is asked for again in the job's own log. */
async function waitOne(session: BrokerSession, id: JobId | null, context: CliContext): Promise<Ended | null> {
	try {
		const options = {timeoutMs: WAIT_TIMEOUT_MS, idempotent: true};
		const answer = await session.call(TOPIC, {id: id ?? ANY}, options);
		const {success, errstr} = objectOf(answer, TOPIC);
		return {id: idField(answer, 'id', TOPIC), isSuccess: success === true, text: scalarText(errstr)};
	} catch (error) {
		const isNone = error instanceof SystemError && error.code === 'ECHILD';
		if (id === null) {
			if (isNone) return null;
			throw error;
		}
		if (!isNone) throw explain(jobidText(id, context.env), error);
	}
	if (id === null) throw new Error('unreachable');
	try {
		const status = exitStatusOf(await watchEvents(context, {session, id}));
		return {id, isSuccess: status === 0, text: `task(s) exited with exit code ${status}`};
	} catch (error) {
		if (error instanceof SystemError && error.code === 'ENOENT') return null;
		throw explain(jobidText(id, context.env), error);
	}
}

const WAIT_TIMEOUT_MS = 24 * 3600 * 1000;

async function report(context: CliContext, {id, isSuccess, text}: Ended): Promise<number> {
	if (!isSuccess || context.isVerbose)
		await context.warn(`${jobidText(id, context.env)}: ${text || 'success'}`);
	return isSuccess ? 0 : 1;
}
