/** `coppice overlay disconnect`: declares a broker dead, live or not. */
import type {CommandModule} from '../../command.ts';
import {explain, UsageError} from '../../command-error.ts';
import {integerOption, operands} from '../../option-value.ts';
import {fetchParents} from '../../overlay/parents.ts';
import {RankHosts} from '../../overlay/rank-hosts.ts';
import {RANK_MAX} from '../../rank-option.ts';

export const disconnect: CommandModule = {
	name: 'overlay disconnect',
	describe:
		'Has the parent of a broker declare it dead: what is pending through it fails, and if it lives, it and all below it start ' +
		'again. Its running jobs go on.',
	operands: 'RANK|HOST',
	example: 'coppice overlay disconnect node17\ncoppice overlay disconnect --parent 1 3',
	builder: yargs =>
		yargs.option('parent', {
			alias: 'r',
			type: 'string',
			describe: 'the rank that does it; default: its parent',
		}),
	handler: async (argv, context) => {
		const [target = ''] = operands(argv, ['RANK|HOST']);
		const session = context.session();
		try {
			const hosts = await RankHosts.fetch(session);
			const rank = hosts.rankOf(target);
			const parent =
				integerOption(argv, 'parent', {min: 0, max: RANK_MAX}) ??
				(await fetchParents(session)).get(rank) ??
				null;
			if (parent === null) throw new UsageError(`${hosts.nameOf(rank)} is the root: it has no parent`);
			if (context.isVerbose) {
				await context.warn(`asking ${hosts.nameOf(parent)} to disconnect ${hosts.nameOf(rank)}`);
			}
			await session.call('overlay.disconnect-subtree', {rank}, {nodeid: parent});
		} catch (error) {
			throw explain(target, error);
		}
	},
};
