/** `coppice resource info`: how many nodes, cores and gpus there are. */
import type {CommandModule} from '../../command.ts';
import {flagOption, operands, textOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {fetchLines, parseResourceStates} from '../../resources/resource-lines.ts';
import {targetFilter} from '../../resources/targets.ts';

export const info: CommandModule = {
	name: 'resource info',
	describe: 'Tells how many nodes, cores and gpus there are.',
	example: 'coppice resource info -s free',
	builder: yargs =>
		yargs
			.option('states', {
				alias: 's',
				type: 'string',
				default: 'all',
				describe: 'in these states; default: all',
			})
			.option('include', {alias: 'i', type: 'string', describe: 'only these: an idset or a hostlist'})
			.option('queue', {alias: 'q', type: 'string', describe: 'only what this queue can use'})
			.option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const queue = textOption(argv, 'queue');
		const lines = await fetchLines(context.session(), {
			states: parseResourceStates(textOption(argv, 'states')!),
			isWanted: targetFilter(textOption(argv, 'include')),
			...(queue === undefined ? {} : {queue}),
		});
		const all = lines.map(({resources}) => resources).reduce((sum, one) => sum.union(one));
		const {nodeCount: nnodes, coreCount: ncores, gpuCount: ngpus} = all;
		if (flagOption(argv, 'json')) await printJson(context, {nnodes, ncores, ngpus});
		else await context.print(`${nnodes} Nodes, ${ncores} Cores, ${ngpus} GPUs\n`);
	},
};
