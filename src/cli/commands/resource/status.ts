/** `coppice resource status`: nodes by their administrative state. */
import type {CommandModule} from '../../command.ts';
import type {CliContext} from '../../context.ts';
import {markOf, printTable, withTableOptions} from '../../format/table-options.ts';
import type {Field} from '../../format/table.ts';
import {operands, textOption} from '../../option-value.ts';
import {
	fetchNodeStatus,
	nodeLineJson,
	nodeLines,
	NODE_STATES,
	NODE_STATES_DEFAULT,
	parseNodeStates,
	type NodeLine,
} from '../../resources/node-status.ts';
import {targetFilter} from '../../resources/targets.ts';

const FORMATS: Readonly<Record<string, string>> = {
	default: '{state:>12} {up:>2} {nnodes:>6} {nodelist}',
	long: '{state:>12} {up:>2} {nnodes:>6} {reason:<30.30+} {nodelist}',
};

export const status: CommandModule = {
	name: 'resource status',
	describe: 'Lists nodes by administrative state: available, excluded, drained, torpid, offline.',
	example: 'coppice resource status -s offline,drained -o long',
	builder: yargs =>
		withTableOptions(yargs)
			.option('states', {
				alias: 's',
				type: 'string',
				default: NODE_STATES_DEFAULT,
				describe: NODE_STATES.join(', '),
			})
			.option('include', {alias: 'i', type: 'string', describe: 'only these: an idset or a hostlist'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const isWanted = targetFilter(textOption(argv, 'include'));
		const found = await fetchNodeStatus(context.session(), isWanted);
		const rows = nodeLines(found, parseNodeStates(textOption(argv, 'states')!));
		await printTable(argv, context, {
			rows,
			fields: nodeFields(context.env),
			namedFormats: FORMATS,
			json: () => ({status: rows.map(nodeLineJson)}),
		});
	},
};

/** Also those of `drain`. */
export function nodeFields(env: CliContext['env']): Readonly<Record<string, Field<NodeLine>>> {
	return {
		state: {heading: 'STATE', value: line => line.state},
		up: {heading: 'UP', value: line => markOf(line.isUp, env)},
		nnodes: {heading: 'NNODES', value: line => line.ranks.count},
		ranks: {heading: 'RANKS', value: line => line.ranks.toString()},
		nodelist: {heading: 'NODELIST', value: line => line.nodelist.toString()},
		reason: {heading: 'REASON', value: line => line.reason},
		timestamp: {heading: 'TIME', value: line => line.timestamp ?? ''},
	};
}
