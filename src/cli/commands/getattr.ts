/** `coppice getattr`: one attribute of a broker. */
import type {CommandModule} from '../command.ts';
import {explain} from '../command-error.ts';
import {textField} from '../fields.ts';
import {operands} from '../option-value.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';

export const getattr: CommandModule = {
	name: 'getattr',
	describe: 'Prints an attribute of a broker.',
	operands: 'NAME',
	example: 'coppice getattr -r 0 broker.pid',
	builder: yargs => yargs.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		const [name = ''] = operands(argv, ['NAME']);
		try {
			const answer = await context
				.session()
				.call('attr.get', {name}, {...rankOption(argv), idempotent: true});
			await context.print(`${textField(answer, 'value', 'attr.get')}\n`);
		} catch (error) {
			throw explain(name, error);
		}
	},
};
