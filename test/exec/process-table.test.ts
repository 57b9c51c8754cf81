/**
 * Goal: what belongs to a part is found, and nothing else. Method: tables of processes as a scan could have read them.
 */

import test from 'ava';
import {markInCommandLine, markInEnvironment} from '../../src/exec/process-mark.ts';
import {membersOf, type KnownProcess, type ProcessRow} from '../../src/exec/process-table.ts';

const TASK = {part: '7.1', role: 'payload'} as const;
const SHIM = {part: '7.1', role: 'shim'} as const;

function row(pid: number, more: Partial<ProcessRow> = {}): ProcessRow {
	return {pid, startTicks: pid * 10, parent: 1, group: pid, session: pid, mark: null, ...more};
}

function found(rows: readonly ProcessRow[], known: readonly KnownProcess[] = []): string[] {
	return [...membersOf(rows, known).values()].map(({pid, part, role}) => `${pid} ${part} ${role}`).sort();
}

test('what carries a mark belongs to its part, wherever its parents and session are', t => {
	t.deepEqual(found([row(5), row(6, {mark: TASK}), row(7, {mark: SHIM})]), ['6 7.1 payload', '7 7.1 shim']);
});

test('descendants belong to it in any order of pids, with no mark of their own', t => {
	const rows = [
		row(2, {parent: 9}),
		row(3, {parent: 2}),
		row(9, {mark: TASK, parent: 1}),
		row(4, {parent: 1}),
	];
	t.deepEqual(found(rows), ['2 7.1 payload', '3 7.1 payload', '9 7.1 payload']);
});

test('what a shim has adopted is payload', t => {
	t.deepEqual(found([row(3, {parent: 8}), row(8, {mark: SHIM})]), ['3 7.1 payload', '8 7.1 shim']);
});

test('a session belongs to it as long as its leader lives, and that of a shim does not', t => {
	const rows = [row(4, {mark: TASK}), row(5, {session: 4}), row(6, {session: 8}), row(8, {mark: SHIM})];
	t.deepEqual(found(rows), ['4 7.1 payload', '5 7.1 payload', '8 7.1 shim']);
	t.deepEqual(found([row(5, {session: 4})], [{pid: 4, startTicks: 40, ...TASK}]), []);
});

test('a process that a claim names belongs to it only with its start ticks', t => {
	const known = [{pid: 4, startTicks: 40, ...TASK}];
	t.deepEqual(found([row(4)], known), ['4 7.1 payload']);
	t.deepEqual(found([row(4, {startTicks: 41})], known), []);
});

test('the fork of a shim that has become a task is payload', t => {
	t.deepEqual(found([row(4, {mark: TASK})], [{pid: 4, startTicks: 40, ...SHIM}]), ['4 7.1 payload']);
});

test('marks are read whole, and only those of this rank', t => {
	t.deepEqual(markInEnvironment('A=b\0COPPICE_PART=i.0/7.1\0C=d\0', 'i.0'), TASK);
	t.deepEqual(markInEnvironment('COPPICE_PART=i.0/7.1', 'i.0'), TASK);
	for (const environ of [
		'',
		'COPPICE_PART=i.01/7.1\0',
		'XCOPPICE_PART=i.0/7.1\0',
		'COPPICE_PART=i.0/7\0',
		'A=COPPICE_PART=i.0/7.1\0',
	])
		t.is(markInEnvironment(environ, 'i.0'), null);
	t.deepEqual(markInCommandLine('coppice-shim 7.1/3 i.0\0', 'i.0'), SHIM);
	t.deepEqual(markInCommandLine('coppice-rescue 7.1/3 i.0', 'i.0'), SHIM);
	t.deepEqual(markInCommandLine('coppice-task 7.1/3 i.0\0\0', 'i.0'), TASK);
	t.is(markInCommandLine('coppice-shim 7.1/3 i.1', 'i.0'), null);
	t.is(markInCommandLine('vi coppice-shim 7.1/3 i.0', 'i.0'), null);
});
