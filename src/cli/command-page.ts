/** What is to be said of a command, read from its module: the one source of `--help`, the man pages and completion. */
import type {CommandModule} from './command.ts';
import {listOptions, type DeclaredOption} from './declared-options.ts';

export interface PageOption {
	/** Letters first, with their dashes. */
	readonly flags: readonly string[];
	/** What stands for its value; null: it takes none. */
	readonly value: string | null;
	readonly describe: string;
	readonly choices?: readonly string[];
}

export interface CommandPage {
	/** As it is typed after `coppice`. */
	readonly name: string;
	readonly describe: string;
	/** With a space before, or ''. */
	readonly operands: string;
	readonly options: readonly PageOption[];
	/** A line each. */
	readonly examples: readonly string[];
}

/** What stands for the values of options, where their own names would say too little. Completion reads it as well. */
const VALUES: Readonly<Record<string, string>> = {
	size: 'N',
	topo: 'kary:N',
	statedir: 'DIR',
	jobdir: 'DIR',
	rundir: 'DIR',
	dir: 'DIR',
	cwd: 'DIR',
	setattr: 'KEY[=VALUE]',
	setopt: 'KEY[=VALUE]',
	conf: 'FILE|KEY=VALUE',
	timeout: 'DURATION',
	'wait-timeout': 'DURATION',
	'reconnect-timeout': 'DURATION',
	'time-limit': 'MINUTES|DURATION',
	count: 'N',
	interval: 'SECONDS',
	pad: 'BYTES',
	nodes: 'N',
	ntasks: 'N',
	'cores-per-task': 'N',
	'gpus-per-task': 'N',
	cores: 'N',
	'tasks-per-node': 'N',
	nslots: 'N',
	'cores-per-slot': 'N',
	'gpus-per-slot': 'N',
	requires: 'CONSTRAINT',
	'job-name': 'NAME',
	urgency: '0-31|NAME',
	input: 'FILE',
	output: 'FILE',
	error: 'FILE',
	log: 'FILE',
	'log-stderr': 'FILE',
	env: 'RULE',
	'env-remove': 'PATTERN',
	'env-file': 'FILE',
	'request-id': 'ID',
	cc: 'IDSET',
	bcc: 'IDSET',
	'wait-event': 'EVENT',
	sep: 'TEXT',
	define: 'NAME=CODE',
	exclude: 'RANKS',
	filter: 'STATES',
	since: 'WHEN',
	message: 'TEXT',
	'match-context': 'KEY=VALUE',
	include: 'TARGETS',
	to: 'FORM',
	release: 'ID',
	eval: 'EXPRESSION',
	flags: 'FLAGS',
	dependency: 'SCHEME:VALUE',
	'begin-time': 'WHEN',
	rlimit: 'RULE',
	'age-limit': 'DURATION',
	'num-limit': 'N',
};

/** What a command says of itself. */
export async function commandPage(module: CommandModule): Promise<CommandPage> {
	const {default: makeYargs} = await import('yargs');
	const yargs = module.builder(makeYargs([]).help(false).version(false));
	const {name, describe, operands, example} = module;
	return {
		name,
		describe,
		operands: operands === undefined ? '' : ` ${operands}`,
		options: listOptions(yargs).map(pageOption),
		examples: example.split('\n'),
	};
}

function pageOption({names, takesValue, describe, choices, name}: DeclaredOption): PageOption {
	const letters = names.filter(each => each.length === 1).map(letter => `-${letter}`);
	const long = names.filter(each => each.length > 1).map(each => `--${each}`);
	return {
		flags: [...letters, ...long],
		value: takesValue ? (VALUES[name] ?? name.split('-').at(-1)!.toUpperCase()) : null,
		describe,
		...(choices === undefined ? {} : {choices}),
	};
}
