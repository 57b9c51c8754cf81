/** `coppice cancel`: ends jobs by name, or all that a filter finds. */
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {forEachJob} from '../for-each-job.ts';
import {numberField} from '../fields.ts';
import {parseJobid} from '../jobid-text.ts';
import {fetchJobs} from '../jobs/fetch-jobs.ts';
import {stateMask} from '../jobs/job-filter.ts';
import {flagOption, textOption} from '../option-value.ts';
import {assertQueues} from '../queues/fetch-queues.ts';
import {EVERYBODY, userOption} from '../user-option.ts';

export const cancel: CommandModule = {
	name: 'cancel',
	describe: 'Cancels jobs.',
	operands: '[ID…]',
	example: 'coppice cancel --all -S pending -m "wrong input"',
	builder: yargs =>
		yargs
			.option('all', {type: 'boolean', describe: 'all jobs of --user and --states'})
			.option('user', {
				alias: 'u',
				type: 'string',
				describe: 'whose jobs: a name, a number, or all; default: own',
			})
			.option('states', {alias: 'S', type: 'string', describe: 'in these states; default: active'})
			.option('message', {alias: 'm', type: 'string', describe: 'a note for people'})
			.option('dry-run', {alias: 'n', type: 'boolean', describe: 'only say how many'})
			.option('force', {
				alias: 'f',
				type: 'boolean',
				describe: 'nothing to be asked; for scripts that say so',
			})
			.option('queue', {alias: 'q', type: 'string', describe: 'of this queue'})
			.option('quiet', {type: 'boolean', describe: 'do not say how many'}),
	handler: async (argv, context) => {
		const note = textOption(argv, 'message');
		const isFiltered =
			['user', 'states', 'queue'].some(name => argv[name] !== undefined) || flagOption(argv, 'all');
		if (argv._.length > 0 && isFiltered)
			throw new UsageError('either IDs or --all, --user, --states and --queue');
		if (isFiltered) {
			return textOption(argv, 'queue') === undefined
				? cancelAll(argv, context)
				: cancelQueue(argv, context, textOption(argv, 'queue')!);
		}
		if (argv._.length === 0) throw new UsageError('an ID or --all is missing');
		if (flagOption(argv, 'dry-run')) {
			argv._.forEach(parseJobid);
			await context.warn(`Would cancel ${counted(argv._.length)}`);
			return 0;
		}
		const session = context.session();
		return forEachJob(context, argv._, id =>
			session.call(
				'job-manager.raise',
				{id, type: 'cancel', severity: 0, ...(note === undefined ? {} : {note})},
				{idempotent: true}, // A second cancel of the same job changes nothing.
			),
		);
	},
};

async function cancelAll(argv: ParsedArguments, context: CliContext): Promise<number> {
	const isDryRun = flagOption(argv, 'dry-run');
	const note = textOption(argv, 'message');
	const topic = 'job-manager.raiseall';
	const answer = await context.session().call(topic, {
		dry_run: isDryRun,
		userid: userOption(argv, context),
		states: stateMask(textOption(argv, 'states') ?? 'active', 'option --states'),
		severity: 0,
		type: 'cancel',
		...(note === undefined ? {} : {note}),
	});
	return report(argv, context, {
		count: numberField(answer, 'count', topic),
		errors: numberField(answer, 'errors', topic),
	});
}

/** One by one: the request for many knows no queues. */
async function cancelQueue(argv: ParsedArguments, context: CliContext, queue: string): Promise<number> {
	const note = textOption(argv, 'message');
	const userid = userOption(argv, context);
	const session = context.session();
	const jobs = await fetchJobs(session, {
		entriesMax: 0,
		constraint: {
			and: [
				{states: [stateMask(textOption(argv, 'states') ?? 'active', 'option --states')]},
				{queue: [queue]},
				...(userid === EVERYBODY ? [] : [{userid: [userid]}]),
			],
		},
	});
	if (jobs.length === 0) await assertQueues(session, [queue]);
	if (flagOption(argv, 'dry-run')) return report(argv, context, {count: jobs.length, errors: 0});
	const results = await Promise.allSettled(
		jobs.map(({id}) =>
			session.call(
				'job-manager.raise',
				{id, type: 'cancel', severity: 0, ...(note === undefined ? {} : {note})},
				{idempotent: true},
			),
		),
	);
	const errors = results.filter(({status}) => status === 'rejected').length;
	return report(argv, context, {count: jobs.length - errors, errors});
}

async function report(
	argv: ParsedArguments,
	context: CliContext,
	{count, errors}: {readonly count: number; readonly errors: number},
): Promise<number> {
	if (!flagOption(argv, 'quiet')) {
		const text = flagOption(argv, 'dry-run')
			? `Would cancel ${counted(count)}`
			: `Canceled ${counted(count)} (${errors} errors)`;
		await context.warn(text);
	}
	return errors > 0 ? 1 : 0;
}

function counted(count: number): string {
	return `${count} job${count === 1 ? '' : 's'}`;
}
