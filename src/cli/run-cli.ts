/**
 * From a command line to an exit status: reads the global options, loads the one command that is called, and reports
 * how it failed. Invariant: nothing of other commands is loaded, and every failure is one message on stderr.
 */
import type {Argv} from 'yargs';
import {asSystemError} from '../formats/errno.ts';
import {
	EXIT_FAILURE,
	EXIT_LOST,
	EXIT_SUCCESS,
	EXIT_USAGE,
	type CommandModule,
	type ParsedArguments,
} from './command.ts';
import {CommandError, isDefect, unreachable, UsageError} from './command-error.ts';
import {COMMANDS, findCommand, isGroup} from './command-table.ts';
import {CliContext, type World} from './context.ts';
import {LostContactError} from './broker-session.ts';
import {declaredOptions} from './declared-options.ts';
import {normalizeArgv} from './normalize-argv.ts';

export const DEFAULT_URI = 'local:///run/coppice/local';

/** Runs one command line (without `node` and the script) and resolves to its exit status; never rejects. */
export async function runCli(argv: readonly string[], world: World): Promise<number> {
	let what = 'coppice';
	let context: CliContext | null = null;
	try {
		const global = readGlobal(argv);
		if (global.isVersion) {
			await world.stdout.write(`coppice ${world.version}\n`);
			return EXIT_SUCCESS;
		}
		if (global.isHelp) {
			await world.stdout.write(overview());
			return EXIT_SUCCESS;
		}
		const {name, rest} = nameOf(global.rest);
		what = `coppice ${name}`;
		if (isGroup(name)) {
			await world.stdout.write(overview(name));
			return EXIT_SUCCESS;
		}
		const entry = findCommand(name);
		if (entry === undefined) throw new UsageError(`unknown command '${name}'; see coppice --help`);
		const uri = global.uri ?? (world.env['COPPICE_URI'] || DEFAULT_URI);
		context = new CliContext(world, {commandName: name, uri, isVerbose: global.isVerbose});
		return await runCommand(await entry.load(), rest, context);
	} catch (error) {
		return await report(error, what, world);
	} finally {
		context?.close();
	}
}

interface Global {
	readonly uri?: string;
	readonly isVerbose: boolean;
	readonly isHelp: boolean;
	readonly isVersion: boolean;
	readonly rest: readonly string[];
}

/** Few and fixed, so that a command line is read without yargs up to its subcommand. */
function readGlobal(argv: readonly string[]): Global {
	const find = (name: string) => {
		const long = {v: 'verbose', V: 'version'}[name] ?? name;
		if (long === 'uri') return {name: long, takesValue: true, isList: false};
		return long === 'verbose' || long === 'version'
			? {name: long, takesValue: false, isList: false}
			: undefined;
	};
	const {options, operands, isHelp} = normalizeArgv(argv, {find});
	const uri = options.find(option => option.startsWith('--uri='))?.slice('--uri='.length);
	if (operands.length === 0 && !isHelp && !options.includes('--version')) {
		throw new UsageError('a command is missing; see coppice --help');
	}
	return {
		...(uri === undefined ? {} : {uri}),
		isVerbose: options.includes('--verbose'),
		isHelp,
		isVersion: options.includes('--version'),
		rest: operands,
	};
}

function nameOf(rest: readonly string[]): {readonly name: string; readonly rest: readonly string[]} {
	const [first = '', second] = rest;
	if (!isGroup(first)) return {name: first, rest: rest.slice(1)};
	if (second === undefined)
		throw new UsageError(`a command after '${first}' is missing; see coppice ${first} --help`);
	if (second === '--help' || second === '-h') return {name: first, rest: []};
	return {name: `${first} ${second}`, rest: rest.slice(2)};
}

async function runCommand(
	module: CommandModule,
	argv: readonly string[],
	context: CliContext,
): Promise<number> {
	const {default: makeYargs} = await import('yargs');
	const yargs = configured(makeYargs([]), module, context);
	const find = declaredOptions(yargs);
	const {options, operands, isHelp} = normalizeArgv(argv, {find, rewrites: module.rewrites ?? {}});
	if (isHelp) {
		await context.print(`${await yargs.getHelp()}\n`);
		return EXIT_SUCCESS;
	}
	// Operands go around yargs: nothing of them is an option, or a number.
	const parsed = (await yargs.parseAsync([...options])) as ParsedArguments;
	const isVerbose = context.isVerbose || parsed['verbose'] === true || Number(parsed['verbose']) > 0;
	const own = isVerbose === context.isVerbose ? context : context.verbose();
	return (await module.handler({...parsed, _: operands, $given: options}, own)) ?? EXIT_SUCCESS;
}

function configured(yargs: Argv, module: CommandModule, context: CliContext): Argv {
	const operands = module.operands === undefined ? '' : ` ${module.operands}`;
	const settings = yargs
		.scriptName(`coppice ${module.name}`)
		.usage(`Usage: coppice ${module.name} [OPTIONS]${operands}\n\n${module.describe}`)
		.parserConfiguration({
			'halt-at-non-option': true,
			'boolean-negation': false,
			'greedy-arrays': false,
			'dot-notation': false,
			'parse-numbers': false,
			'parse-positional-numbers': false,
		})
		.epilogue(`Example:\n${module.example.replace(/^/gm, '  ')}`)
		.version(false)
		.exitProcess(false)
		.strictOptions()
		.showHelpOnFail(false)
		.wrap(Math.min(context.world.stdout.columns, HELP_COLUMNS_MAX))
		.fail((message, error) => {
			throw error instanceof UsageError ? error : new UsageError(message || error.message);
		});
	return module.builder(settings);
}

const HELP_COLUMNS_MAX = 100;

function overview(group?: string): string {
	const entries = COMMANDS.filter(({name}) => group === undefined || name.startsWith(`${group} `));
	const width = Math.max(...entries.map(({name}) => name.length));
	const lines = entries.map(({name, describe}) => `  ${name.padEnd(width)}  ${describe}`);
	const usage = group === undefined ? '[GLOBAL OPTIONS] COMMAND' : `${group} COMMAND`;
	const globals = [
		'Global options:',
		`  --uri URI      the instance; default: $COPPICE_URI, else ${DEFAULT_URI}`,
		'  -v, --verbose  say what happens, on stderr',
		'  -V, --version  print the version',
		'  -h, --help     of every command: its options and an example',
	];
	const example = 'Example:\n  coppice run -n2 hostname';
	return [
		`Usage: coppice ${usage} [OPTIONS] [ARG…]`,
		'',
		'Commands:',
		...lines,
		'',
		...globals,
		'',
		example,
		'',
	].join('\n');
}

async function report(error: unknown, what: string, world: World): Promise<number> {
	const say = (text: string) => world.stderr.write(`${what}: ${text}\n`).catch(() => undefined);
	if (error instanceof UsageError) {
		await say(error.message);
		return EXIT_USAGE;
	}
	if (error instanceof CommandError) {
		await say(error.message);
		return error.exitCode;
	}
	if (error instanceof LostContactError) {
		await say(error.message);
		return EXIT_LOST;
	}
	if (isDefect(error)) {
		await say(`this is a defect of coppice: ${error.stack ?? error.message}`);
		return EXIT_FAILURE;
	}
	await say(unreachable(error) ?? asSystemError(error).toString());
	return EXIT_FAILURE;
}
