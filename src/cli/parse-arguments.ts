/** From the words after a command's name to its options and operands, by what its module declares. */
import type {Argv} from 'yargs';
import type {CommandModule, ParsedArguments} from './command.ts';
import {UsageError} from './command-error.ts';
import {finderOf, listOptions} from './declared-options.ts';
import {normalizeArgv} from './normalize-argv.ts';

export interface ParsedLine {
	/** `--help` is among the options; `argv` is then null. */
	readonly isHelp: boolean;
	readonly argv: ParsedArguments | null;
}

/** @throws {UsageError} */
export async function parseArguments(module: CommandModule, words: readonly string[]): Promise<ParsedLine> {
	const {default: makeYargs} = await import('yargs');
	const yargs = configured(makeYargs([]), module);
	const declared = listOptions(yargs);
	const {options, operands, isHelp} = normalizeArgv(words, {
		find: finderOf(declared),
		rewrites: module.rewrites ?? {},
		names: declared.map(({name}) => name),
	});
	if (isHelp) return {isHelp, argv: null};
	// Operands go around yargs: nothing of them is an option, or a number.
	const parsed = (await yargs.parseAsync([...options])) as ParsedArguments;
	return {isHelp, argv: {...parsed, _: operands, $given: options}};
}

function configured(yargs: Argv, module: CommandModule): Argv {
	const settings = yargs
		.scriptName(`coppice ${module.name}`)
		.parserConfiguration({
			'halt-at-non-option': true,
			'boolean-negation': false,
			'greedy-arrays': false,
			'dot-notation': false,
			'parse-numbers': false,
			'parse-positional-numbers': false,
		})
		.version(false)
		.help(false)
		.exitProcess(false)
		.strictOptions()
		.showHelpOnFail(false)
		.fail((message, error) => {
			throw error instanceof UsageError ? error : new UsageError(message || error.message);
		});
	return module.builder(settings);
}
