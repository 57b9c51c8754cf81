/** `coppice health`: what is stuck, and where. Exit status 1 when anything is. */
import {SystemError} from '../../formats/errno.ts';
import {isObject} from '../../formats/shape.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {CommandModule} from '../command.ts';
import {explain, UsageError} from '../command-error.ts';
import {listField, numberField, objectOf, textField} from '../fields.ts';
import {renderTable, type Field} from '../format/table.ts';
import {durationOption, flagOption, textOption} from '../option-value.ts';
import {treeCall} from '../overlay/tree-status.ts';
import {printJson} from '../print-json.ts';

const TOPIC = 'health.status';
const PING_TIMEOUT_MS = 1000;
const FORMATS = {
	default: '{rank:>5} +:{host:<4} +:{service:<7} +:{topic:<5} {age:>9} {count:>5} {problem}',
};

export const health: CommandModule = {
	name: 'health',
	describe:
		"Tells what is stuck in the instance, and where: a line for each rank's event loop and commits, for requests that are pending, and for " +
		'whatever is wrong. Exits with 1 when anything is.',
	operands: '[SERVICE]',
	example: 'coppice health\ncoppice health job-exec',
	builder: yargs =>
		yargs
			.option('timeout', {alias: 't', type: 'string', describe: 'for an answer of each rank; default 5s'})
			.option('quiet', {alias: 'q', type: 'boolean', describe: 'only what is wrong'})
			.option('no-header', {alias: 'n', type: 'boolean', describe: 'no heading'})
			.option('format', {alias: 'o', type: 'string', default: 'default', describe: 'of the table'})
			.option('json', {
				type: 'boolean',
				describe: 'one document: {"healthy", "ranks": […], "problems": […]}',
			}),
	handler: async (argv, context) => {
		const [service, ...others] = argv._;
		if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
		const {payload, options} = treeCall({timeoutS: durationOption(argv, 'timeout')});
		const query = {...payload, ...(service === undefined ? {} : {service})};
		const session = context.session();
		const answer = await session.call(TOPIC, query, options);
		// Of a service that is not there nothing is wrong either.
		if (service !== undefined) await assertService(session, service);
		const isHealthy = objectOf(answer, TOPIC)['healthy'] === true;
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else {
			const problems = listField(answer, 'problems', TOPIC).map(problemRow);
			const measures = flagOption(argv, 'quiet') ? [] : measureRows(answer, {problems, service});
			const rows = [...problems, ...measures].sort((a, b) => a.rank - b.rank);
			await context.print(
				renderTable({
					rows,
					fields: FIELDS,
					format: textOption(argv, 'format')!,
					namedFormats: FORMATS,
					hasHeader: !flagOption(argv, 'no-header') && rows.length > 0,
					utcOffsetMinutes: epochS => context.world.utcOffsetMinutes(epochS),
				}),
			);
		}
		return isHealthy ? 0 : 1;
	},
};

interface Row {
	readonly rank: number;
	readonly host: string;
	readonly service: string;
	readonly topic: string;
	/** Seconds. */
	readonly age: number;
	readonly count: number | '';
	readonly problem: string;
}

const FIELDS: Readonly<Record<keyof Row, Field<Row>>> = {
	rank: {heading: 'RANK', value: row => row.rank},
	host: {heading: 'HOST', value: row => row.host},
	service: {heading: 'SERVICE', value: row => row.service},
	topic: {heading: 'TOPIC', value: row => row.topic},
	age: {heading: 'AGE', value: row => `${row.age.toFixed(3)}s`},
	count: {heading: 'COUNT', value: row => row.count},
	problem: {heading: 'PROBLEM', value: row => (row.problem === '' ? '-' : row.problem)},
};

function problemRow(problem: unknown): Row {
	return {
		rank: numberField(problem, 'rank', TOPIC),
		host: textField(problem, 'hostname', TOPIC),
		service: textField(problem, 'service', TOPIC),
		topic: textField(problem, 'topic', TOPIC),
		age: numberField(problem, 'age', TOPIC),
		count: '',
		problem: textField(problem, 'text', TOPIC),
	};
}

/** @throws {CommandError} ENOSYS: no broker has it. One that does not answer is there. */
async function assertService(session: BrokerSession, service: string): Promise<void> {
	try {
		await session.call(`${service}.ping`, {seq: 0}, {idempotent: true, timeoutMs: PING_TIMEOUT_MS});
	} catch (error) {
		if (error instanceof SystemError && error.code === 'ENOSYS') throw explain(service, error);
	}
}

interface MeasureOptions {
	readonly problems: readonly Row[];
	readonly service: string | undefined;
}

/** What is measured and no problem. */
function measureRows(answer: unknown, {problems, service}: MeasureOptions): readonly Row[] {
	const isTold = (row: Row) =>
		problems.some(
			({rank, service: of, topic}) => rank === row.rank && of === row.service && topic === row.topic,
		);
	return listField(answer, 'ranks', TOPIC)
		.flatMap(one => {
			const at = {
				rank: numberField(one, 'rank', TOPIC),
				host: textField(one, 'hostname', TOPIC),
				problem: '',
			};
			const loop = {
				...at,
				service: 'broker',
				topic: 'event-loop',
				age: numberField(one, 'loop_delay', TOPIC),
			};
			const commit = {
				...at,
				service: 'event-log',
				topic: 'commit',
				age: numberField(one, 'commit_latency', TOPIC),
			};
			const pending = listField(one, 'pending', TOPIC).map(entry => ({
				...at,
				service: textField(entry, 'service', TOPIC),
				topic: `${textField(entry, 'topic', TOPIC)}${wayOf(entry)}`,
				age: numberField(entry, 'age', TOPIC),
				count: numberField(entry, 'count', TOPIC),
			}));
			return [{...loop, count: '' as const}, {...commit, count: '' as const}, ...pending];
		})
		.filter(row => (service === undefined || row.service === service) && !isTold(row));
}

/** ` via 3` for requests that were passed on to a neighbour. */
function wayOf(entry: unknown): string {
	const neighbour = isObject(entry) ? entry['neighbour'] : null;
	return typeof neighbour === 'number' ? ` via ${neighbour}` : '';
}
