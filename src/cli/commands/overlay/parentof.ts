/** `coppice overlay parentof`: the rank of a broker's parent. */
import {SystemError} from '../../../formats/errno.ts';
import type {CommandModule} from '../../command.ts';
import {operands} from '../../option-value.ts';
import {fetchParents} from '../../overlay/parents.ts';
import {RankHosts} from '../../overlay/rank-hosts.ts';

export const parentof: CommandModule = {
	name: 'overlay parentof',
	describe: "Prints the rank of a broker's parent.",
	operands: 'RANK|HOST',
	example: 'coppice overlay parentof 3',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const [target = ''] = operands(argv, ['RANK|HOST']);
		const session = context.session();
		const hosts = await RankHosts.fetch(session);
		const rank = hosts.rankOf(target);
		const parent = (await fetchParents(session)).get(rank);
		if (parent === undefined)
			throw new SystemError('ENOENT', `${hosts.nameOf(rank)} is the root: it has no parent`);
		await context.print(`${parent}\n`);
	},
};
