/** `coppice setattr`: changes an attribute of a broker. */
import type {CommandModule} from '../command.ts';
import {explain} from '../command-error.ts';
import {operands} from '../option-value.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';

export const setattr: CommandModule = {
	name: 'setattr',
	describe: 'Sets an attribute of a broker.',
	operands: 'NAME VALUE',
	example: 'coppice setattr log-stderr-level 7',
	builder: yargs => yargs.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		const [name = '', value = ''] = operands(argv, ['NAME', 'VALUE']);
		try {
			await context.session().call('attr.set', {name, value}, {...rankOption(argv), idempotent: true});
		} catch (error) {
			throw explain(name, error);
		}
	},
};
