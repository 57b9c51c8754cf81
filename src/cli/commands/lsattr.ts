/** `coppice lsattr`: the names of a broker's attributes. */
import {SystemError} from '../../formats/errno.ts';
import type {CommandModule} from '../command.ts';
import {listField, textField} from '../fields.ts';
import {flagOption, operands} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';

export const lsattr: CommandModule = {
	name: 'lsattr',
	describe: "Lists a broker's attributes.",
	example: 'coppice lsattr -v',
	builder: yargs =>
		yargs
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'with their values'})
			.option('json', {type: 'boolean', describe: 'one document, names and values'})
			.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		operands(argv, []);
		const session = context.session();
		const options = {...rankOption(argv), idempotent: true};
		const answer = await session.call('attr.list', {}, options);
		const names = listField(answer, 'names', 'attr.list').map(String).sort();
		const isJson = flagOption(argv, 'json');
		if (!isJson && !flagOption(argv, 'verbose')) {
			await context.print(names.map(name => `${name}\n`).join(''));
			return;
		}
		const values = await Promise.all(
			names.map(async name => {
				try {
					return textField(await session.call('attr.get', {name}, options), 'value', 'attr.get');
				} catch (error) {
					// One that has no value at the moment, such as the pid of a shell that is not there.
					if (error instanceof SystemError && error.code === 'ENOENT') return null;
					throw error;
				}
			}),
		);
		const pairs = names.map((name, index) => [name, values[index] ?? null] as const);
		if (isJson) await printJson(context, Object.fromEntries(pairs));
		else await context.print(pairs.map(([name, value]) => `${name.padEnd(39)} ${value ?? '-'}\n`).join(''));
	},
};
