/** `coppice jobs`: a table of jobs, or their JSON. */
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {SystemError} from '../../formats/errno.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {explain, UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {numberField, objectOf} from '../fields.ts';
import {renderTable} from '../format/table.ts';
import {jobidText, parseJobids} from '../jobid-text.ts';
import {fetchJob, fetchJobs} from '../jobs/fetch-jobs.ts';
import {JOB_FORMATS, jobFields} from '../jobs/job-fields.ts';
import {filterConstraint, parseSince, type JobConstraint} from '../jobs/job-filter.ts';
import {jobJson} from '../jobs/job-json.ts';
import {watchJobs} from '../jobs/watch-jobs.ts';
import type {JobRecord} from '../jobs/job-record.ts';
import {flagOption, integerOption, textOption, textOptions} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {patienceOf, RECONNECT_OPTION} from '../reconnect-option.ts';
import {assertQueues} from '../queues/fetch-queues.ts';
import {assertTargets, targetFilter} from '../resources/targets.ts';

const ENTRIES_MAX = 1000;
const FILTER_DEFAULT = 'pending,running';
const FILTER_ALL = 'pending,running,inactive';

export const jobs: CommandModule = {
	name: 'jobs',
	describe: 'Lists jobs: those that wait or run, or the ones that are named.',
	operands: '[ID…]',
	example: 'coppice jobs -a -c 20 -o "{id.f58:>12} {status:<9} {name}"',
	builder: yargs =>
		yargs
			.option('all', {alias: 'a', type: 'boolean', describe: 'jobs in any state'})
			.option('all-users', {alias: 'A', type: 'boolean', describe: 'jobs of all users'})
			.option('user', {alias: 'u', type: 'string', describe: 'jobs of this user: a name, a number, or all'})
			.option('filter', {
				alias: 'f',
				type: 'string',
				array: true,
				describe: `states and results; default ${FILTER_DEFAULT}`,
			})
			.option('name', {type: 'string', describe: 'jobs of this name'})
			.option('queue', {alias: 'q', type: 'string', array: true, describe: 'jobs of these queues'})
			.option('include', {
				alias: 'i',
				type: 'string',
				describe: 'jobs on these nodes: an idset of ranks or a hostlist',
			})
			.option('sort', {type: 'string', describe: 'fields to sort by, such as name,-t_run'})
			.option('watch', {
				alias: 'w',
				type: 'boolean',
				describe: 'go on with a line for each job that changes, until those of IDs have ended',
			})
			.option('count', {
				alias: 'c',
				type: 'string',
				describe: `at most so many, 0: all; default ${ENTRIES_MAX}`,
			})
			.option('since', {type: 'string', describe: 'those that ended since then, such as -1h; implies -a'})
			.option('no-header', {alias: 'n', type: 'boolean', describe: 'no line of headings'})
			.option('format', {
				alias: 'o',
				type: 'string',
				default: 'default',
				describe: 'a format, or the name of one; help: those that there are',
			})
			.option('json', {
				type: 'boolean',
				describe: 'one document: {"jobs": […]}, with "stats" before it if these are asked for',
			})
			.option('reconnect-timeout', RECONNECT_OPTION)
			.option('stats', {type: 'boolean', describe: 'a line of counts first'})
			.option('stats-only', {type: 'boolean', describe: 'only that line; exits 1 when no job is active'}),
	handler: async (argv, context) => {
		const session = context.session();
		const isJson = flagOption(argv, 'json');
		const isOnlyStats = flagOption(argv, 'stats-only');
		const stats = isOnlyStats || flagOption(argv, 'stats') ? await fetchStats(session) : null;
		if (stats !== null && !isJson) await context.print(statsLine(stats));
		if (stats !== null && isJson && (isOnlyStats || flagOption(argv, 'watch')))
			await printJson(context, {stats});
		if (stats !== null && isOnlyStats) return stats.pending + stats.running > 0 ? 0 : 1;
		if (flagOption(argv, 'watch')) {
			await watch(argv, context);
			return 0;
		}
		const {found, missing} = await findJobs(argv, context, session);
		if (isJson) await printJson(context, {...(stats === null ? {} : {stats}), jobs: found.map(jobJson)});
		else await printTable(argv, context, found);
		return missing;
	},
};

/** Table lines, or with `--json` JSON lines. */
async function watch(argv: ParsedArguments, context: CliContext): Promise<void> {
	const session = context.session(patienceOf(argv));
	const isFiltered = argv['since'] !== undefined || argv['filter'] !== undefined;
	await watchJobs({
		clock: context.clock,
		find: async sinceS => {
			// Jobs that end while we look are news as well.
			const own = isFiltered ? argv : {...argv, since: String(sinceS)};
			return (await findJobs(own, context, session)).found;
		},
		ends: argv._.length > 0,
		print: async (rows, isFirst) => {
			if (flagOption(argv, 'json')) for (const job of rows) await printJson(context, jobJson(job));
			else await printTable({...argv, 'no-header': !isFirst || flagOption(argv, 'no-header')}, context, rows);
		},
	});
}

/** `--include`: jobs that have one of these nodes. */
function jobFilter(targets: string | undefined): (job: JobRecord) => boolean {
	if (targets === undefined) return () => true;
	const isWanted = targetFilter(targets);
	return ({values}) => {
		const {ranks, nodelist} = values;
		if (typeof ranks !== 'string' || typeof nodelist !== 'string') return false;
		const {hosts} = Hostlist.parse(nodelist);
		return [...Idset.parse(ranks)].some((rank, index) => isWanted({rank, host: hosts[index] ?? ''}));
	};
}

async function printTable(
	argv: ParsedArguments,
	context: CliContext,
	rows: readonly JobRecord[],
): Promise<void> {
	const {world} = context;
	const fields = jobFields({
		env: world.env,
		nowS: world.clock.epochMs() / 1000,
		usernameOf: userid => world.usernameOf(userid),
	});
	const table = renderTable({
		rows,
		fields,
		sort: textOption(argv, 'sort') ?? '',
		format: textOption(argv, 'format')!,
		namedFormats: JOB_FORMATS,
		hasHeader: !flagOption(argv, 'no-header'),
		utcOffsetMinutes: epochS => world.utcOffsetMinutes(epochS),
	});
	await context.print(table);
}

interface Found {
	readonly found: JobRecord[];
	/** The exit status: 1 when a job that was named is not known. */
	readonly missing: number;
}

async function findJobs(argv: ParsedArguments, context: CliContext, session: BrokerSession): Promise<Found> {
	if (argv._.length > 0) return findNamed(argv._, context, session);
	const count = integerOption(argv, 'count', {min: 0}) ?? ENTRIES_MAX;
	const since = textOption(argv, 'since');
	const include = textOption(argv, 'include');
	const isWanted = jobFilter(include);
	const fetched = await fetchJobs(session, {
		// One more tells whether something was left out.
		entriesMax: count === 0 ? 0 : count + 1,
		constraint: constraintOf(argv, context),
		...(since === undefined ? {} : {sinceS: parseSince(since, context.clock.epochMs() / 1000)}),
	});
	const found = fetched.filter(isWanted);
	if (found.length === 0) {
		// Only then: jobs of the past may have been in queues and on nodes that are no more.
		await assertQueues(session, queuesOf(argv));
		if (include !== undefined) await assertTargets(session, include);
	}
	if (count === 0 || fetched.length <= count) return {found, missing: 0};
	if (!flagOption(argv, 'json') && textOption(argv, 'count') === undefined) {
		await context.warn(`only the first ${count} jobs are shown; see --count`);
	}
	return {found: found.slice(0, count), missing: 0};
}

async function findNamed(
	texts: readonly string[],
	context: CliContext,
	session: BrokerSession,
): Promise<Found> {
	const ids = parseJobids(texts);
	const results = await Promise.allSettled(ids.map(id => fetchJob(session, id)));
	const found: JobRecord[] = [];
	let missing = 0;
	for (const [index, result] of results.entries()) {
		if (result.status === 'fulfilled') {
			found.push(result.value);
			continue;
		}
		const name = jobidText(ids[index]!, context.env);
		const error: unknown = result.reason;
		if (!(error instanceof SystemError) || error.code !== 'ENOENT') throw explain(name, error);
		await context.warn(explain(name, error).message);
		missing = 1;
	}
	return {found, missing};
}

function constraintOf(argv: ParsedArguments, context: CliContext): JobConstraint {
	const filters = textOptions(argv, 'filter');
	const isAll = flagOption(argv, 'all') || textOption(argv, 'since') !== undefined;
	const filter = filters.length > 0 ? filters.join(',') : isAll ? FILTER_ALL : FILTER_DEFAULT;
	const userid = useridOf(argv, context);
	const name = textOption(argv, 'name');
	const parts: JobConstraint[] = [filterConstraint(filter)];
	if (userid !== null) parts.push({userid: [userid]});
	if (name !== undefined) parts.push({name: [name]});
	const queues = queuesOf(argv);
	if (queues.length > 0) parts.push({queue: queues});
	return {and: parts};
}

function queuesOf(argv: ParsedArguments): readonly string[] {
	return textOptions(argv, 'queue').flatMap(list => list.split(','));
}

/** Null: everybody. */
function useridOf(argv: ParsedArguments, {world}: CliContext): number | null {
	const user = textOption(argv, 'user');
	if (flagOption(argv, 'all-users') || user === 'all') return null;
	if (user === undefined) return world.userid;
	const userid = world.useridOf(user);
	if (userid === undefined) throw new UsageError(`option --user: no such user '${user}'`);
	return userid;
}

interface Stats {
	readonly running: number;
	readonly completed: number;
	readonly failed: number;
	readonly pending: number;
	readonly purged: number;
}

async function fetchStats(session: BrokerSession): Promise<Stats> {
	const topic = 'job-list.job-stats';
	const stats = await session.call(topic, {}, {idempotent: true});
	const states = objectOf(objectOf(stats, topic)['job_states'], topic);
	const sum = (...names: readonly string[]) =>
		names.reduce((total, name) => total + numberField(states, name, topic), 0);
	const of = (name: string) => numberField(stats, name, topic);
	return {
		running: sum('run', 'cleanup'),
		completed: of('successful'),
		failed: of('failed'),
		pending: sum('depend', 'priority', 'sched'),
		purged: of('inactive_purged'),
	};
}

function statsLine({running, completed, failed, pending, purged}: Stats): string {
	const more = purged === 0 ? '' : `, ${purged} inactive purged`;
	return `${running} running, ${completed} completed, ${failed} failed, ${pending} pending${more}\n`;
}
