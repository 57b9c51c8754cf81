/** What can follow at the end of a line: names, members of a value, job ids, machines. Pure. */
import {MACHINE_NAMES} from './machines.ts';
import {nameOf, REPL_NAMES} from './names.ts';

/** As readline wants it: whole replacements for `fragment`, the end of the line. */
export type Completion = readonly [matches: string[], fragment: string];

const TAKES_JOB = /\b(?:job|why|timeline|find|watch)\(\s*(["'`]?)([\w.]*)$/;
const TAKES_MACHINE = /\bmachine\(\s*(["'`]?)(\w*)$/;
const PATH = /((?:[\w$]+(?:\[\d+\])?\.)*)([\w$]*)$/;

export function completionsOf(line: string, scope: Readonly<Record<string, unknown>>): Completion {
	const job = TAKES_JOB.exec(line);
	if (job !== null) {
		const quoted = quote(jobIdsOf(scope), job);
		if (quoted[0].length > 0) return quoted;
	}
	const machine = TAKES_MACHINE.exec(line);
	if (machine !== null) return quote(MACHINE_NAMES, machine);
	const [, path = '', start = ''] = PATH.exec(line) ?? [];
	const names = path === '' ? globalNames(scope) : membersOf(valueAt(scope, path));
	return [names.filter(name => name.startsWith(start)).map(name => path + name), path + start];
}

/** The values that begin with what is there, in quotes. */
function quote(values: readonly string[], [, mark = '', start = '']: RegExpExecArray): Completion {
	const sign = mark === '' ? '"' : mark;
	return [values.filter(value => value.startsWith(start)).map(value => sign + value + sign), mark + start];
}

function jobIdsOf({jobs}: Readonly<Record<string, unknown>>): string[] {
	return Array.isArray(jobs) ? (jobs as {readonly f58: string}[]).map(({f58}) => f58) : [];
}

function globalNames(scope: Readonly<Record<string, unknown>>): string[] {
	const own = REPL_NAMES.map(one => nameOf(one) + (one.usage.includes('(') ? '(' : ''));
	const assigned = Object.keys(scope).filter(name => !REPL_NAMES.some(one => nameOf(one) === name));
	return [...own, ...assigned];
}

function membersOf(value: unknown): string[] {
	if (Array.isArray(value)) return ['length', 'map(', 'filter(', 'find('];
	return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

/** Along members only: nothing is called. */
function valueAt(scope: Readonly<Record<string, unknown>>, path: string): unknown {
	return path
		.split(/[.[\]]+/)
		.filter(name => name !== '')
		.reduce<unknown>(
			(value, name) =>
				typeof value === 'object' && value !== null && Object.hasOwn(value, name)
					? (value as Record<string, unknown>)[name]
					: undefined,
			scope,
		);
}
