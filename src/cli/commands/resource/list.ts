/** `coppice resource list`: what is free, allocated and down. */
import type {CommandModule} from '../../command.ts';
import {printTable, withTableOptions} from '../../format/table-options.ts';
import {operands, textOption} from '../../option-value.ts';
import {
	fetchLines,
	parseResourceStates,
	RESOURCE_FIELDS,
	RESOURCE_FORMATS,
	resourceLineJson,
} from '../../resources/resource-lines.ts';
import {assertTargets, targetFilter} from '../../resources/targets.ts';

const STATES_DEFAULT = 'free,allocated,down';

export const list: CommandModule = {
	name: 'resource list',
	describe: 'Lists nodes, cores and gpus by state: free, allocated, down.',
	example: 'coppice resource list -s free -o "{nnodes} {nodelist}"',
	builder: yargs =>
		withTableOptions(yargs)
			.option('states', {
				alias: 's',
				type: 'string',
				default: STATES_DEFAULT,
				describe: 'all, up, down, allocated, free',
			})
			.option('include', {alias: 'i', type: 'string', describe: 'only these: an idset or a hostlist'})
			.option('queue', {alias: 'q', type: 'string', describe: 'only what this queue can use'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const queue = textOption(argv, 'queue');
		const session = context.session();
		const include = textOption(argv, 'include');
		const isWanted = targetFilter(include);
		if (include !== undefined) await assertTargets(session, include);
		const rows = await fetchLines(session, {
			states: parseResourceStates(textOption(argv, 'states')!),
			isWanted,
			...(queue === undefined ? {} : {queue}),
		});
		await printTable(argv, context, {
			rows,
			fields: RESOURCE_FIELDS,
			namedFormats: RESOURCE_FORMATS,
			json: () => ({resources: rows.map(resourceLineJson)}),
		});
	},
};
