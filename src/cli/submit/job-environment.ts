/**
 * The environment that a job gets of its submitter, by Flux's rules (`--env`): `VAR=VAL` sets, `-PATTERN` removes,
 * `^FILE` reads rules from a file, and anything else is a pattern that takes variables over. They apply in order, to a
 * copy of the caller's environment.
 */
import {SystemError} from '../../formats/errno.ts';
import {UsageError} from '../command-error.ts';
import {globSource} from './glob.ts';

export type Environment = Readonly<Record<string, string>>;

/** Rule files may include others this deep. */
export const RULE_FILE_DEPTH_MAX = 16;

/** Set anew for each task, or meant for the process that is submitting: a stale one would mislead the job. */
export const INSTANCE_VARIABLES: ReadonlySet<string> = new Set([
	'COPPICE_URI',
	'COPPICE_JOB_ID',
	'COPPICE_TASK_RANK',
	'COPPICE_TASK_LOCAL_ID',
	'COPPICE_JOB_SIZE',
	'COPPICE_JOB_NNODES',
	'COPPICE_JOB_ATTEMPT',
	'COPPICE_JOB_CC',
	'COPPICE_JOB_TMPDIR',
	'PMI_FD',
	'PMI_RANK',
	'PMI_SIZE',
	'PMI_SPAWNED',
	'COPPICE_PART',
]);

export interface EnvironmentOptions {
	readonly rules: readonly string[];
	/** The caller's environment. */
	readonly source: Readonly<Record<string, string | undefined>>;
	readonly readFile: (path: string) => Promise<string>;
}

/**
 * @throws {UsageError} a rule that makes no sense, an unset variable in a value.
 * @throws {SystemError} a file that can't be read.
 */
export async function jobEnvironment({rules, source, readFile}: EnvironmentOptions): Promise<Environment> {
	const base: Record<string, string> = {};
	for (const [name, value] of Object.entries(source)) {
		if (value !== undefined && !INSTANCE_VARIABLES.has(name)) base[name] = value;
	}
	const result = {...base};
	const apply = async (list: readonly string[], depth: number): Promise<void> => {
		if (depth > RULE_FILE_DEPTH_MAX) {
			throw new SystemError('ELOOP', `--env: rule files include each other ${RULE_FILE_DEPTH_MAX} deep`);
		}
		for (const rule of list) {
			if (rule.startsWith('^')) {
				await apply(rulesOf(await readFile(expandHome(rule.slice(1), base))), depth + 1);
			} else {
				applyRule(rule, {result, base});
			}
		}
	};
	await apply(rules, 0);
	return result;
}

interface Environments {
	readonly result: Record<string, string>;
	readonly base: Environment;
}

function applyRule(rule: string, {result, base}: Environments): void {
	if (rule.startsWith('-')) {
		const matches = matcherOf(rule.slice(1));
		for (const name of Object.keys(result)) if (matches(name)) delete result[name];
		return;
	}
	const equals = rule.indexOf('=');
	if (equals === 0) throw new UsageError(`--env=${rule}: the variable has no name`);
	if (equals > 0) {
		result[rule.slice(0, equals)] = substitute(rule, rule.slice(equals + 1), {result, base});
		return;
	}
	const matches = matcherOf(rule);
	for (const [name, value] of Object.entries(base))
		if (matches(name) && !(name in result)) result[name] = value;
}

function rulesOf(text: string): string[] {
	return text
		.split('\n')
		.map(line => line.trim())
		.filter(line => line !== '' && !line.startsWith('#'));
}

/** Python's string.Template: `$$`, `$name`, `${name}`; what is set so far, then the caller's. */
function substitute(rule: string, value: string, {result, base}: Environments): string {
	return value.replace(
		/\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\}|())/g,
		(...groups) => {
			const [, dollar, plain, braced] = groups as (string | undefined)[];
			if (dollar !== undefined) return '$';
			const name = plain ?? braced;
			if (name === undefined)
				throw new UsageError(`--env=${rule}: a $ that begins no variable; write $$ for one $`);
			const found = result[name] ?? base[name];
			if (found === undefined) throw new UsageError(`--env=${rule}: variable ${name} is not set`);
			return found;
		},
	);
}

/** `/regex/` (searched from the name's start), or a shell pattern for the whole name. */
function matcherOf(pattern: string): (name: string) => boolean {
	try {
		const regexp = pattern.startsWith('/')
			? new RegExp(`^(?:${pattern.replace(/^\//, '').replace(/\/$/, '')})`)
			: new RegExp(`^${globSource(pattern)}$`, 's');
		return name => regexp.test(name);
	} catch (error) {
		throw new UsageError(`--env: bad pattern '${pattern}': ${(error as Error).message}`);
	}
}

function expandHome(path: string, {HOME: home}: Environment): string {
	return home !== undefined && /^~(?=\/|$)/.test(path) ? home + path.slice(1) : path;
}
