/** What a command is: the shape of every module in `commands/`, which the table loads when its name is called. */
import type {Argv} from 'yargs';
import type {CliContext} from './context.ts';

/** Options by their long names and by yargs' camel case; what follows the options is in `_`, always strings. */
export interface ParsedArguments {
	readonly _: readonly string[];
	/** The options as they were given, each `--name`, `--name=value` or `-n`. */
	readonly $given?: readonly string[];
	readonly [option: string]: unknown;
}

export interface CommandModule {
	/** As it is typed after `coppice`: `submit`, `job attach`. */
	readonly name: string;
	/** One line for the list of commands. */
	readonly describe: string;
	/** What follows the options, for the usage line: `COMMAND [ARG…]`. Default: nothing. */
	readonly operands?: string;
	/** At least one line that can be typed as it is. */
	readonly example: string;
	/** Options that stand for another one, so that the order among them is kept: `--env-remove X` is `--env=-X`. */
	readonly rewrites?: Readonly<Record<string, (value: string) => string>>;
	/** Declares the options. */
	builder(yargs: Argv): Argv;
	/** Resolves to the exit status; nothing is 0. What it throws is reported by `runCli`. */
	handler(argv: ParsedArguments, context: CliContext): Promise<number | void>;
}

export const EXIT_SUCCESS = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
/** The instance stayed out of reach for longer than `--reconnect-timeout`. */
export const EXIT_LOST = 125;
