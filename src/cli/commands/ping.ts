/** `coppice ping`: round trips to a service, a line each. */
import {SystemError} from '../../formats/errno.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {explain, UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {numberField, objectOf, scalarText} from '../fields.ts';
import {deferred} from '../deferred.ts';
import {durationOption, flagOption, integerOption, parseInteger, textOption} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_MAX} from '../rank-option.ts';

const PAD_BYTES_MAX = 1024 * 1024;
const PING_TIMEOUT_MS = 30_000;

export const ping: CommandModule = {
	name: 'ping',
	describe: 'Measures round trips to a service, or to the broker of a rank.',
	operands: '[SERVICE|RANK|RANK!SERVICE]',
	example: 'coppice ping -c 3 -r 0 job-manager',
	builder: yargs =>
		yargs
			.option('count', {alias: 'c', type: 'string', describe: 'stop after so many; default: go on'})
			.option('interval', {alias: 'i', type: 'string', describe: 'between two of them; default 1s'})
			.option('pad', {alias: 'p', type: 'string', describe: 'bytes of padding'})
			.option('rank', {alias: 'r', type: 'string', describe: 'a rank, any or upstream; default any'})
			.option('json', {type: 'boolean', describe: 'a line of JSON each, times in seconds'}),
	handler: async (argv, context) => {
		const target = targetOf(argv);
		const count = integerOption(argv, 'count', {min: 1}) ?? Infinity;
		const intervalS = durationOption(argv, 'interval') ?? 1;
		const padBytes = integerOption(argv, 'pad', {min: 0, max: PAD_BYTES_MAX}) ?? 0;
		for (let seq = 0; seq < count; seq += 1) {
			if (seq > 0 && intervalS > 0) await pause(context, intervalS);
			const trip = await roundTrip(context, {target, seq, padBytes});
			if (flagOption(argv, 'json')) {
				await printJson(context, {service: target.service, ...trip});
				continue;
			}
			const time = (trip.time * 1000).toFixed(3);
			const name = `${target.prefix}${target.service}.ping`;
			await context.print(`${name} pad=${padBytes} seq=${seq} time=${time} ms (${trip.route})\n`);
		}
	},
};

interface Target {
	readonly service: string;
	readonly options: {readonly nodeid?: number; readonly upstream?: boolean};
	/** `RANK!` when a rank was named. */
	readonly prefix: string;
}

function targetOf(argv: ParsedArguments): Target {
	const [text = 'broker', ...others] = argv._;
	if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
	const bang = text.indexOf('!');
	const isRank = /^([0-9]+|any|upstream)$/.test(text);
	const named = bang === -1 ? (isRank ? text : undefined) : text.slice(0, bang);
	const service = bang === -1 ? (isRank ? 'broker' : text) : text.slice(bang + 1) || 'broker';
	const rank = textOption(argv, 'rank') ?? named ?? 'any';
	if (rank === 'any') return {service, options: {}, prefix: ''};
	if (rank === 'upstream') return {service, options: {upstream: true}, prefix: 'upstream!'};
	const nodeid = parseInteger(rank, {min: 0, max: RANK_MAX, what: 'rank'});
	return {service, options: {nodeid}, prefix: `${nodeid}!`};
}

interface Trip {
	readonly seq: number;
	readonly pad: number;
	/** Seconds. */
	readonly time: number;
	readonly rank: number;
	readonly route: string;
}

interface Trial {
	readonly target: Target;
	readonly seq: number;
	readonly padBytes: number;
}

async function roundTrip(context: CliContext, {target, seq, padBytes}: Trial): Promise<Trip> {
	const {clock} = context;
	const topic = `${target.service}.ping`;
	const session = sessionOf(context);
	try {
		await session.call('broker.ping', NO_PAD, {idempotent: true}).catch(ignoreAnswer); // Connect before time counts.
		const sentMs = clock.monotonicMs();
		const payload = {
			seq,
			'time.tv_sec': Math.floor(sentMs / 1000),
			'time.tv_nsec': Math.round((sentMs % 1000) * 1e6),
			pad: 'p'.repeat(padBytes),
		};
		const answer = await session.call(topic, payload, {...target.options, timeoutMs: PING_TIMEOUT_MS});
		const time = (clock.monotonicMs() - sentMs) / 1000;
		const {route} = objectOf(answer, topic);
		return {seq, pad: padBytes, time, rank: numberField(answer, 'rank', topic), route: scalarText(route)};
	} catch (error) {
		throw explain(`${target.prefix}${target.service}`, error);
	}
}

const NO_PAD = {seq: 0, 'time.tv_sec': 0, 'time.tv_nsec': 0, pad: ''};
const sessions = new WeakMap<CliContext, ReturnType<CliContext['session']>>();

/** One connection for all trips of a command. */
function sessionOf(context: CliContext): ReturnType<CliContext['session']> {
	const session = sessions.get(context) ?? context.session();
	sessions.set(context, session);
	return session;
}

function ignoreAnswer(error: unknown): void {
	if (!(error instanceof SystemError) || error.code !== 'ENOSYS') throw error;
}

function pause({clock}: CliContext, seconds: number): Promise<void> {
	const {promise, resolve} = deferred<void>();
	clock.setTimer(seconds * 1000, () => resolve());
	return promise;
}
