/** `coppice overlay lookup`: hosts of ranks, ranks of hosts. */
import {Hostlist} from '../../../formats/hostlist.ts';
import {Idset} from '../../../formats/idset.ts';
import type {CommandModule} from '../../command.ts';
import {operands} from '../../option-value.ts';
import {RankHosts} from '../../overlay/rank-hosts.ts';

export const lookup: CommandModule = {
	name: 'overlay lookup',
	describe: 'Prints the hosts of ranks, or the ranks of hosts.',
	operands: 'RANKS|HOSTS',
	example: 'coppice overlay lookup 0-3\ncoppice overlay lookup node[1,17]',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const [target = ''] = operands(argv, ['RANKS|HOSTS']);
		const hosts = await RankHosts.fetch(context.session());
		if (/^[0-9,[\]-]+$/.test(target)) {
			const found = Array.from(Idset.parse(target), rank => hosts.hostOf(rank)); // Ends at the first that is none.
			await context.print(`${Hostlist.from(found).toString()}\n`);
		} else {
			const found = Array.from(Hostlist.parse(target), host => hosts.rankOf(host));
			await context.print(`${Idset.from(found).toString()}\n`);
		}
	},
};
