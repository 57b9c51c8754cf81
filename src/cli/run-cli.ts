/**
 * From a command line to an exit status: reads the global options, loads the one command that is called, and reports
 * how it failed. Invariant: nothing of other commands is loaded, and every failure is one message on stderr.
 */
import {defaultLink} from '../broker/instance.ts';
import {asSystemError} from '../formats/errno.ts';
import {EXIT_FAILURE, EXIT_LOST, EXIT_SUCCESS, EXIT_USAGE, type CommandModule} from './command.ts';
import {CommandError, isDefect, unreachable, UsageError} from './command-error.ts';
import {COMMANDS, findCommand, GROUP_NAMES, isGroup} from './command-table.ts';
import {CliContext, type World} from './context.ts';
import {LostContactError} from './broker-session.ts';
import {normalizeArgv} from './normalize-argv.ts';
import {parseArguments} from './parse-arguments.ts';
import {suggestion} from './suggest.ts';

const ROOT_URI = 'local:///run/coppice/local';

/** That of the user's default instance, else that of root's. */
export function defaultUri({env, userid}: Pick<World, 'env' | 'userid'>): string {
	const link = defaultLink(env, userid);
	return link === null ? ROOT_URI : `local://${link}`;
}

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
		if (global.rest.length === 0) {
			await world.stderr.write(overview());
			return EXIT_USAGE;
		}
		const {name, rest} = nameOf(global.rest);
		what = `coppice ${name}`;
		if (name === '' || isGroup(name)) {
			await world.stdout.write(overview(name === '' ? undefined : name));
			return EXIT_SUCCESS;
		}
		const entry = findCommand(name);
		if (entry === undefined) {
			what = 'coppice';
			throw new UsageError(`unknown command '${name}'${suggestionFor(name)}; see coppice --help`);
		}
		const uri = global.uri ?? (world.env['COPPICE_URI'] || defaultUri(world));
		const uriSource = global.uri === undefined ? 'COPPICE_URI' : 'option --uri';
		context = new CliContext(world, {commandName: name, uri, uriSource, isVerbose: global.isVerbose});
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
	const {options, operands, isHelp} = normalizeArgv(argv, {find, names: ['uri', 'verbose', 'version']});
	const uri = options.find(option => option.startsWith('--uri='))?.slice('--uri='.length);
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
	if (first === 'help' && second !== '--help') return helpName(rest.slice(1));
	if (!isGroup(first)) return {name: first, rest: rest.slice(1)};
	if (second === undefined)
		throw new UsageError(`a command after '${first}' is missing; see coppice ${first} --help`);
	if (second === '--help' || second === '-h') return {name: first, rest: []};
	return {name: `${first} ${second}`, rest: rest.slice(2)};
}

/** `help`, `help CMD`, `help GROUP CMD`: as `--help` of it. */
function helpName(words: readonly string[]): {readonly name: string; readonly rest: readonly string[]} {
	const [first = '', second] = words;
	if (isGroup(first) && second === undefined) return {name: first, rest: []};
	const name = words.join(' ');
	if (name !== '' && findCommand(name) === undefined)
		throw new UsageError(`help: unknown command '${name}'${suggestionFor(name)}; see coppice --help`);
	return {name, rest: ['--help']};
}

function suggestionFor(name: string): string {
	const [group = '', ...words] = name.split(' ');
	const all = COMMANDS.map(entry => entry.name);
	if (words.length > 0 && isGroup(group)) return suggestion(name, all);
	// `coppice attach` is meant to be `coppice job attach`.
	const inGroup = all.find(each => each.endsWith(` ${name}`));
	return inGroup === undefined ? suggestion(name, [...all, ...GROUP_NAMES]) : `; did you mean ${inGroup}?`;
}

async function runCommand(
	module: CommandModule,
	words: readonly string[],
	context: CliContext,
): Promise<number> {
	const {argv} = await parseArguments(module, words);
	if (argv === null) {
		const [{commandPage}, {helpText}] = await Promise.all([
			import('./command-page.ts'),
			import('./help-text.ts'),
		]);
		await context.print(helpText(await commandPage(module), context.world.stdout.columns));
		return EXIT_SUCCESS;
	}
	const isVerbose = context.isVerbose || argv['verbose'] === true || Number(argv['verbose']) > 0;
	const own = isVerbose === context.isVerbose ? context : context.verbose();
	return (await module.handler(argv, own)) ?? EXIT_SUCCESS;
}

function overview(group?: string): string {
	const entries = COMMANDS.filter(({name}) => group === undefined || name.startsWith(`${group} `));
	const width = Math.max(...entries.map(({name}) => name.length));
	const lines = entries.map(({name, describe}) => `  ${name.padEnd(width)}  ${describe}`);
	const usage = group === undefined ? '[GLOBAL OPTIONS] COMMAND' : `${group} COMMAND`;
	const globals = [
		'Global options:',
		`  --uri URI      the instance; default: $COPPICE_URI, else local://$XDG_RUNTIME_DIR/coppice/local; root: ${ROOT_URI}`,
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
