/**
 * Shell completion: what a command line may go on with. A line each on stdout, `WORD` or `WORD<tab>DESCRIPTION`; `:files`,
 * `:directories` and `:commands` leave it to the shell. Invariant: it never fails and never waits long; what can't be found
 * out is left out.
 */
import {commandPage, type CommandPage, type PageOption} from './command-page.ts';
import {COMMANDS, findCommand, GROUP_NAMES, isGroup} from './command-table.ts';
import type {CliContext} from './context.ts';
import {completeValue} from './complete-value.ts';

export interface Candidate {
	readonly word: string;
	readonly describe?: string;
}

/** @param words those after `coppice`, the last one as far as it is typed. */
export async function completeWords(
	words: readonly string[],
	context: CliContext,
): Promise<readonly Candidate[]> {
	const {before, current, isSplit} = joined(words);
	const at = before.findIndex((word, index) => !word.startsWith('-') && before[index - 1] !== '--uri');
	const candidates = at === -1 ? globalWords(current) : await inCommand(before.slice(at), current, context);
	const equals = /^--[^=]+=/.exec(current)?.[0] ?? '';
	const typed = current.slice(equals.length);
	// bash takes `=` for a word of its own, and replaces only what is behind it.
	const prefix = isSplit ? '' : equals;
	const isAscii = typed.startsWith('f'); // Nobody has the other one on a keyboard.
	return candidates
		.map(each => (isAscii ? {...each, word: each.word.replace(/^ƒ/, 'f')} : each))
		.filter(({word}) => word.startsWith(':') || word.startsWith(typed))
		.map(each => (each.word.startsWith(':') ? each : {...each, word: prefix + each.word}));
}

interface Joined {
	readonly before: readonly string[];
	readonly current: string;
	/** `=` came as a word of its own. */
	readonly isSplit: boolean;
}

/** Puts `--name`, `=`, `value` together again, as bash has them apart. */
function joined(words: readonly string[]): Joined {
	const all: string[] = [];
	let isSplit = false;
	for (const [index, word] of words.entries()) {
		const isAfterName = all.at(-1)?.startsWith('--') === true;
		isSplit = false;
		if (word === '=' && isAfterName) {
			all.push(`${all.pop()}=`);
			isSplit = true;
		} else if (words[index - 1] === '=' && all.at(-1)?.endsWith('=') === true) {
			all.push(`${all.pop()}${word}`);
			isSplit = true;
		} else {
			all.push(word);
		}
	}
	const current = all.pop() ?? '';
	return {before: all, current, isSplit};
}

function globalWords(current: string): Candidate[] {
	if (current.startsWith('-'))
		return [
			{word: '--uri=', describe: 'the instance'},
			{word: '--verbose', describe: 'say what happens'},
			{word: '--version', describe: 'print the version'},
			{word: '--help', describe: 'print the list of commands'},
		];
	const own = COMMANDS.filter(({name}) => !name.includes(' ')).map(({name, describe}) => ({
		word: name,
		describe,
	}));
	return [...own, ...[...GROUP_NAMES].map(word => ({word, describe: 'a group of commands'}))];
}

async function inCommand(
	words: readonly string[],
	current: string,
	context: CliContext,
): Promise<readonly Candidate[]> {
	const [first = '', second] = words;
	if (first === 'help') return words.length === 1 ? globalWords('') : groupWords(words[1]!);
	if (isGroup(first) && second === undefined) return groupWords(first);
	const name = isGroup(first) ? `${first} ${second}` : first;
	const module = await findCommand(name)?.load();
	if (module === undefined) return [];
	const page = await commandPage(module);
	const rest = words.slice(name.split(' ').length);
	return inOptions({page, rest, current}, context);
}

function groupWords(group: string): Candidate[] {
	return COMMANDS.filter(({name}) => name.startsWith(`${group} `)).map(({name, describe}) => ({
		word: name.slice(group.length + 1),
		describe,
	}));
}

interface Line {
	readonly page: CommandPage;
	readonly rest: readonly string[];
	readonly current: string;
}

async function inOptions({page, rest, current}: Line, context: CliContext): Promise<readonly Candidate[]> {
	const find = (flag: string) => page.options.find(({flags}) => flags.includes(flag));
	let wanted: PageOption | undefined;
	let index = 0;
	for (; index < rest.length; index += 1) {
		const word = rest[index]!;
		if (word === '--' || !word.startsWith('-') || word === '-') break;
		const option = word.includes('=') ? undefined : find(word);
		if (option === undefined || option.value === null) continue;
		if (index === rest.length - 1) wanted = option;
		else index += 1;
	}
	if (wanted !== undefined) return completeValue(wanted, context);
	const operandsBefore = rest.slice(index);
	if (operandsBefore.length === 0 && current.startsWith('-')) {
		const equals = current.indexOf('=');
		const option = equals === -1 ? undefined : find(current.slice(0, equals));
		if (option !== undefined) return completeValue(option, context);
		return [...page.options.map(optionWord), {word: '--help', describe: 'print the help'}];
	}
	return completeOperand(page, operandsBefore, context);
}

/** They fail for a job that has ended. */
const FOR_ACTIVE_JOBS: ReadonlySet<string> = new Set([
	'cancel',
	'job kill',
	'job raise',
	'job timeleft',
	'job urgency',
]);

function optionWord({flags, value, describe}: PageOption): Candidate {
	const long = flags.find(flag => flag.startsWith('--')) ?? flags[0]!;
	return {word: value === null || !long.startsWith('--') ? long : `${long}=`, describe};
}

async function completeOperand(
	{name, operands}: CommandPage,
	before: readonly string[],
	context: CliContext,
): Promise<readonly Candidate[]> {
	const [first = ''] = operands.trim().split(' ');
	if (/COMMAND|CMD/.test(first)) return [{word: before.length === 0 ? ':commands' : ':files'}];
	if (/SCRIPT|FILE|DIR/.test(first)) return [{word: ':files'}];
	if (/\bID/.test(first) && (before.length === 0 || first.includes('…')))
		return completeValue(
			{flags: [], value: FOR_ACTIVE_JOBS.has(name) ? 'ACTIVE-JOBID' : 'JOBID', describe: name},
			context,
		);
	if (first.includes('SHELL')) return ['bash', 'zsh', 'fish'].map(word => ({word}));
	return [];
}
