/** Goal: no rank above the root begins anew by itself, and none vanishes with its jobs. */
import test from 'ava';
import type {InstanceInfo} from '../../src/broker/instance.ts';
import {decideRanks, type RankFound, type RanksQuestion} from '../../src/broker/rank-decision.ts';
import {SystemError} from '../../src/formats/errno.ts';

const info: InstanceInfo = {
	instance: 'x',
	hostname: 'n1',
	statedir: '/s',
	jobdir: '/j',
	rundir: '/r',
	size: 3,
	topo: 'kary:2',
	cgroupBase: '/sys/fs/cgroup',
	createdMs: 1,
};
const made = (rank: number): RankFound => ({rank, log: 'made', hasLog: true, unfinished: []});
const fresh = (rank: number): RankFound => ({rank, log: null, hasLog: false, unfinished: []});
const part = {job: 'fA', attempt: 1, rank: 2, isAlive: true, pids: [41], sinceMs: 0};
const question: RanksQuestion = {info, size: 3, found: [made(1), made(2)], adopt: false};

function refusal(change: Partial<RanksQuestion>): string {
	try {
		return `not refused: ${JSON.stringify(decideRanks({...question, ...change}))}`;
	} catch (error) {
		if (error instanceof SystemError) return error.toString();
		throw error;
	}
}

test('ranks that were there go on, new ones are made', t => {
	t.deepEqual(decideRanks({...question, size: 4, found: [made(1), made(2), fresh(3)]}), [
		{rank: 1, log: 'made', isAdopted: false},
		{rank: 2, log: 'made', isAdopted: false},
		{rank: 3, log: 'new', isAdopted: false},
	]);
});

test('a rank whose first start was cut off before its log was marked may make it', t => {
	for (const hasLog of [false, true]) {
		const found: RankFound[] = [{...made(1), log: 'new', hasLog}, made(2)];
		t.is(decideRanks({...question, found})[0]?.log, 'new');
	}
});

test('a rank whose state directory is lost is named, and with --adopt it alone begins anew', t => {
	const found = [made(1), {...made(2), hasLog: false}];
	t.regex(refusal({found}), /^ENOENT: .*rank 2 \(n1-2\): \/s\/rank-2; jobs are untouched.*--adopt/s);
	t.deepEqual(decideRanks({...question, found, adopt: true}), [
		{rank: 1, log: 'made', isAdopted: false},
		{rank: 2, log: 'new', isAdopted: true},
	]);
});

test('fewer brokers are refused while a rank that would vanish has jobs, adopted or not', t => {
	const found = [made(1), {...made(2), unfinished: [part]}];
	for (const adopt of [false, true]) {
		t.regex(
			refusal({size: 2, found, adopt}),
			/^EBUSY: --size 2: .* had 3 brokers.*job fA on rank 2: running \(pids 41\).*--size 3/s,
		);
	}
	t.deepEqual(decideRanks({...question, size: 2}), [{rank: 1, log: 'made', isAdopted: false}]);
});

test('a lost directory of a rank that is not wanted any more is no matter', t => {
	const found = [made(1), {...made(2), hasLog: false}];
	t.is(decideRanks({...question, size: 2, found}).length, 1);
});
