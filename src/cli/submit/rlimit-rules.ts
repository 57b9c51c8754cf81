/**
 * The resource limits that a job gets of its submitter, by Flux's rules (`--rlimit`): `-PATTERN` leaves limits out,
 * `NAME=VALUE` sets one, and anything else is a pattern that takes limits over. They apply in order.
 */
import {RLIMIT_UNLIMITED, RLIMITS} from '../../formats/rlimit.ts';
import {UsageError} from '../command-error.ts';
import {globSource} from './glob.ts';

/** Not taken over unless a rule asks for it: they are meant for one login, or one machine. */
const LEFT_OUT = new Set(['memlock', 'msgqueue', 'nice', 'rtprio', 'rttime', 'sigpending']);

/**
 * @param current the caller's soft limits by name
 * @throws {UsageError} a rule that fits no limit, or a value that is none.
 */
export function propagatedLimits(
	rules: readonly string[],
	current: Readonly<Record<string, number>>,
): Record<string, number> {
	const limits: Record<string, number> = {};
	for (const [name, value] of Object.entries(current)) if (!LEFT_OUT.has(name)) limits[name] = value;
	for (const rule of rules) applyRule(rule, {limits, current});
	return limits;
}

function applyRule(
	rule: string,
	{limits, current}: {limits: Record<string, number>; readonly current: Readonly<Record<string, number>>},
): void {
	if (rule.startsWith('-')) {
		for (const name of namesOf(rule, rule.slice(1))) delete limits[name];
		return;
	}
	const equals = rule.indexOf('=');
	const names = namesOf(rule, equals === -1 ? rule : rule.slice(0, equals));
	for (const name of names) {
		const value = equals === -1 ? current[name] : parseValue(rule, rule.slice(equals + 1));
		if (value !== undefined) limits[name] = value;
	}
}

function namesOf(rule: string, pattern: string): string[] {
	const regexp = new RegExp(`^${globSource(pattern.toLowerCase())}$`, 's');
	const names = Object.keys(RLIMITS).filter(name => regexp.test(name));
	if (names.length === 0) {
		throw new UsageError(
			`--rlimit=${rule}: there is no such limit; known: ${Object.keys(RLIMITS).join(' ')}`,
		);
	}
	return names;
}

function parseValue(rule: string, text: string): number {
	if (/^(unlimited|infinity|inf)$/i.test(text)) return RLIMIT_UNLIMITED;
	const value = Number(text);
	if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value))
		throw new UsageError(`--rlimit=${rule}: the value must be an integer or unlimited`);
	return value;
}
