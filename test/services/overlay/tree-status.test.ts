/** Goal: the tree is told as it is, whoever is silent. Method: reports by hand on `kary:2` of seven ranks. */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import type {ChildReport, RankReport} from '../../../src/services/overlay/rank-report.ts';
import {judgeTree, type StatusEntry} from '../../../src/services/overlay/tree-status.ts';

const SIZE = 7;
const NOW_S = 1000;
const topology = Topology.kary(SIZE, 2);
const hosts = Array.from({length: SIZE}, (_, rank) => `n${rank}`);

function identityOf(rank: number) {
	return {rank, pid: 100 + rank, uuid: `u${rank}`, boot_count: 1, version: '1', since: 10 + rank};
}

function child(
	rank: number,
	state: ChildReport['state'] = 'online',
	more: Partial<ChildReport> = {},
): ChildReport {
	return {...identityOf(rank), state, error: '', ...more};
}

function report(
	rank: number,
	children: readonly ChildReport[] = topology.childrenOf(rank).map(one => child(one)),
): RankReport {
	return {...identityOf(rank), children};
}

/** All answer as `answers` says, else well. */
function tree(
	answers: Readonly<Record<number, RankReport | SystemError>> = {},
	top = 0,
): readonly StatusEntry[] {
	const all = topology.subtreeOf(top).map(rank => [rank, answers[rank] ?? report(rank)] as const);
	return judgeTree({top, topology, hosts, answers: new Map(all), nowS: NOW_S});
}

function words(entries: readonly StatusEntry[]): string {
	return entries.map(({status}) => status).join(' ');
}

const LATE = new SystemError('ETIMEDOUT', 'no answer');

test('a tree that is whole is full everywhere, with who everyone is', t => {
	const entries = tree();
	t.is(words(entries), 'full full full full full full full');
	t.deepEqual(entries[3], {
		rank: 3,
		hostname: 'n3',
		parent: 1,
		pid: 103,
		uuid: 'u3',
		boot_count: 1,
		status: 'full',
		since: 13,
		version: '1',
		error: null,
	});
	t.is(entries[0]!.parent, null);
	t.is(entries[1]!.since, 14, 'the newest change at or below it');
});

test('what is offline makes those above it partial, and one that was never seen has an entry', t => {
	const entries = tree({1: report(1, [child(3)]), 4: new SystemError('EHOSTUNREACH', 'not online so far')});
	t.is(words(entries), 'partial partial full full offline full full');
	t.is(entries[4]!.pid, null);
	t.is(entries[4]!.since, 11, 'since the start of its parent');
	t.is(entries[4]!.error, null);
});

test('what is lost makes those above it degraded, and stands with its reason and its last life', t => {
	const lost = child(2, 'lost', {since: 900, error: 'ETIMEDOUT: silent for 30.0 s'});
	const gone = new SystemError('EHOSTUNREACH', 'lost');
	const entries = tree({0: report(0, [child(1), lost]), 2: gone, 5: gone, 6: gone});
	t.is(words(entries), 'degraded full lost full full lost lost');
	t.like(entries[2], {pid: 102, since: 900, error: 'ETIMEDOUT: silent for 30.0 s'});
	t.like(entries[5], {since: 900, error: 'behind rank 2 (n2), which is lost', pid: null});
});

test('a rank that is known to be silent is torpid since then, one that only did not answer since now', t => {
	const known = tree({0: report(0, [child(1, 'torpid', {since: 990}), child(2)]), 1: LATE, 3: LATE, 4: LATE});
	t.is(words(known), 'degraded torpid full torpid torpid full full');
	t.like(known[1], {since: 990, error: 'silent'});
	const fresh = tree({4: LATE});
	t.is(words(fresh), 'degraded degraded full full torpid full full');
	t.like(fresh[4], {since: NOW_S, error: 'ETIMEDOUT: no answer', pid: 104});
});

test('a rank that was lost after its parent spoke is lost', t => {
	t.is(
		words(tree({4: new SystemError('EHOSTUNREACH', 'lost')})),
		'degraded degraded full full lost full full',
	);
});

test('degraded outweighs partial', t => {
	const silent = new SystemError('EHOSTUNREACH', 'away');
	const entries = tree({1: report(1, [child(3, 'offline'), child(4, 'lost')]), 3: silent, 4: silent});
	t.is(words(entries), 'degraded degraded full offline lost full full');
});

test('a subtree is judged by itself', t => {
	const entries = tree({}, 2);
	t.deepEqual(
		entries.map(({rank}) => rank),
		[2, 5, 6],
	);
});
