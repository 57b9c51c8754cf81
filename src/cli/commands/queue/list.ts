/** `coppice queue list`: the queues, their switches and limits. */
import type {CommandModule} from '../../command.ts';
import type {CliContext} from '../../context.ts';
import {markOf, printTable, withTableOptions} from '../../format/table-options.ts';
import type {Field} from '../../format/table.ts';
import {scalarText} from '../../fields.ts';
import {operands, textOption} from '../../option-value.ts';
import {fetchQueues, queueJson, unknownQueue, type QueueRecord} from '../../queues/fetch-queues.ts';

const FORMATS: Readonly<Record<string, string>> = {
	default:
		'?:{queue:<8.8} {enabled:>2} {started:>2} {defaults.timelimit!F:>8} {limits.timelimit!F:>8} {limits.range.nnodes:>10} {limits.range.ncores:>10} {limits.range.ngpus:>10}',
};

export const list: CommandModule = {
	name: 'queue list',
	describe: 'Lists the queues with their switches and limits.',
	example: 'coppice queue list -n -o "{queue} {limits.timelimit}"',
	builder: yargs =>
		withTableOptions(yargs).option('queue', {alias: 'q', type: 'string', describe: 'only this one'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const name = textOption(argv, 'queue');
		const all = await fetchQueues(context.session());
		const rows = all.filter(queue => name === undefined || queue.name === name);
		if (name !== undefined && rows.length === 0) throw unknownQueue(name, all);
		await printTable(argv, context, {
			rows,
			fields: queueFields(context.env),
			namedFormats: FORMATS,
			json: () => ({queues: rows.map(queueJson)}),
		});
	},
};

function queueFields(env: CliContext['env']): Readonly<Record<string, Field<QueueRecord>>> {
	const limit = (heading: string, name: string): Field<QueueRecord> => ({
		heading,
		value: ({sizeMin, sizeMax}) => `${scalarText(sizeMin[name] ?? 0)}-${scalarText(sizeMax[name] ?? 'inf')}`,
	});
	return {
		queue: {heading: 'QUEUE', value: queue => queue.name},
		enabled: {heading: 'EN', value: queue => markOf(queue.isEnabled, env)},
		started: {heading: 'ST', value: queue => markOf(queue.isStarted, env)},
		'defaults.timelimit': {heading: 'TDEFAULT', value: queue => queue.durationDefaultS ?? 'inf'},
		'limits.timelimit': {heading: 'TLIMIT', value: queue => queue.durationMaxS ?? 'inf'},
		'limits.range.nnodes': limit('NNODES', 'nnodes'),
		'limits.range.ncores': limit('NCORES', 'ncores'),
		'limits.range.ngpus': limit('NGPUS', 'ngpus'),
		requires: {heading: 'REQUIRES', value: queue => queue.requires.join(',')},
		pending: {heading: 'PENDING', value: queue => queue.pending},
		running: {heading: 'RUNNING', value: queue => queue.running},
	};
}
