/**
 * Goal: after a salvage the log opens, everything that could be found is in it, and the rest is bridged.
 * Method: the simulated disk, which has no raw files, so that what the database itself holds is all there is.
 */
import test from 'ava';
import fc from 'fast-check';
import {SimDisk} from '../../src/sim/store-dir.ts';
import {keyspaceRange, KEYSPACE, META_BASE, recordKey} from '../../src/store/keyspaces.ts';
import {OPENING_COPY} from '../../src/store/open-log.ts';
import {executeSalvage, planSalvage} from '../../src/store/salvage.ts';
import type {EventLog} from '../../src/store/event-log.ts';
import {numbered, openLog, readAll, settled} from './log-fixtures.ts';

const TIMEOUT_MS = 5000;
const RECORDS = 20;
const rowKey = (n: number) => Buffer.from(`job/${String(n).padStart(4, '0')}`);

async function filledDisk(): Promise<SimDisk> {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	log.mark = 'job 20';
	for (let n = 1; n <= RECORDS; n += 1) {
		const rows = [{key: rowKey(n), value: Buffer.from(`row ${n}`)}];
		log.append(numbered(n, n), {durable: true, rows});
		await log.flush(TIMEOUT_MS);
	}
	await settled();
	disk.crash();
	return disk;
}

const records = (from: number, to: number) => ({gte: recordKey(from), lt: recordKey(to + 1)});

async function salvaged(disk: SimDisk): Promise<{sentences: readonly string[]; log: EventLog}> {
	const safe = await openLog(disk.dir());
	await safe.close();
	const dir = disk.dir();
	await dir.lock();
	const plan = await planSalvage(dir);
	await executeSalvage(dir, plan);
	await dir.unlock();
	const log = await openLog(disk.dir());
	return {sentences: plan.sentences, log};
}

interface Case {
	readonly damage: (disk: SimDisk) => void;
	readonly lost: readonly number[];
	readonly says: RegExp;
}

const cases: Record<string, Case> = {
	'a hole': {damage: d => d.drop(records(8, 9)), lost: [8, 9], says: /Lost, and given up: 8 to 9\./},
	'two holes': {
		damage: d => void (d.drop(records(3, 3)), d.drop(records(12, 14))),
		lost: [3, 12, 13, 14],
		says: /3\. Lost, and given up: 12 to 14\./,
	},
	'a changed record': {damage: d => void d.flipBit(recordKey(9), 8 * 45), lost: [9], says: /given up: 9\./},
	garbage: {
		damage: d => void d.database!.set(recordKey(9), Uint8Array.of(1)),
		lost: [9],
		says: /given up: 9\./,
	},
	'garbage at the end': {
		damage: d => void d.database!.set(recordKey(20), Uint8Array.of(1)),
		lost: [20],
		says: /given up: 20\./,
	},
	'a cut tail': {damage: d => d.drop(records(18, 20)), lost: [18, 19, 20], says: /given up: 18 to 20\./},
	'a lost genesis': {damage: d => d.drop(records(0, 0)), lost: [], says: /given up: 0\./},
	'a lost beginning': {damage: d => d.drop(records(0, 4)), lost: [1, 2, 3, 4], says: /given up: 0 to 4\./},
	'a lost HEAD': {damage: d => d.files.delete('HEAD'), lost: [], says: /^HEAD is missing/},
	'a vanished database': {
		damage: d => (d.database = null),
		lost: numbered(1, 20).map(({n}) => n),
		says: /has vanished\. Lost, and given up: 0 to 20\./,
	},
};

for (const [title, {damage, lost, says}] of Object.entries(cases)) {
	test(`salvage leads out: ${title}`, async t => {
		const disk = await filledDisk();
		const isVanished = title === 'a vanished database';
		damage(disk);
		const {sentences, log} = await salvaged(disk);
		t.regex(sentences.join(' '), says);
		t.is(log.mode, 'normal');
		t.is(log.head.seq, RECORDS);
		const {facts, error} = await readAll(log, log.base);
		t.is(error, null);
		t.deepEqual(
			facts,
			numbered(1, RECORDS).filter(({n}) => !lost.includes(n)),
		);
		t.is(log.get(rowKey(20)) === undefined, isVanished);
		t.is(log.append([{next: true}], {durable: true}), RECORDS + 1);
		t.is(log.headMark, title === 'a lost HEAD' ? null : 'job 20');
		t.deepEqual(await log.verify(), []);
		await log.close();
		const again = await openLog(disk.dir());
		t.is(again.mode, 'normal');
		t.deepEqual((await readAll(again, RECORDS + 1)).facts, [{next: true}]);
		t.false(disk.copies.has(OPENING_COPY));
	});
}

test('the damaged database is kept, and a plan changes nothing', async t => {
	const disk = await filledDisk();
	disk.drop(records(8, 9));
	const before = disk.writeCount;
	const safe = await openLog(disk.dir());
	const owner = disk.owner!;
	const plan = await planSalvage(owner); // By the owner, beside its open log.
	t.deepEqual(plan.lost, [{fromSeq: 8, toSeq: 9}]);
	t.is(disk.writeCount, before);
	await safe.close();
	const {log} = await salvaged(disk);
	t.is(log.mode, 'normal');
	t.deepEqual([...disk.copies.keys()].sort(), ['damaged-1', 'damaged-1-evidence']);
	t.is(disk.copies.get('damaged-1')!.get(recordKey(8)), undefined);
});

test('a whole log needs no salvage, and is left alone', async t => {
	const disk = await filledDisk();
	const dir = disk.dir();
	const plan = await planSalvage(dir);
	t.false(plan.isNeeded);
	await executeSalvage(dir, plan);
	t.deepEqual(disk.copies.size, 0);
});

test('where nothing tells the id of the log, the salvage is refused with the reason', async t => {
	const disk = await filledDisk();
	disk.database = null;
	disk.files.clear();
	disk.files.set('instance.json', Uint8Array.of(1));
	const plan = await planSalvage(disk.dir());
	t.false(plan.isPossible);
	await t.throwsAsync(executeSalvage(disk.dir(), plan), {code: 'ENODATA', message: /empty state directory/});
});

test('a truncated log keeps its base through a salvage', async t => {
	const disk = await filledDisk();
	const log = await openLog(disk.dir());
	await log.checkpoint(Buffer.from('state'), {keepFromSeq: 100});
	log.append(numbered(22, 22), {durable: true});
	await log.flush(TIMEOUT_MS);
	log.append(numbered(23, 23), {durable: true});
	await log.close();
	disk.drop(records(22, 22));
	const result = await salvaged(disk);
	t.is(result.log.mode, 'normal');
	t.is(result.log.base, 21);
	t.is(Buffer.from(result.log.snapshot!.bytes).toString(), 'state');
	t.deepEqual((await readAll(result.log, 22)).facts, numbered(23, 23));
	t.truthy(disk.database!.get(META_BASE));
});

test('any set of records may be lost or changed: the rest is there after the salvage', async t => {
	const step = fc.record({seq: fc.integer({min: 0, max: RECORDS}), bit: fc.option(fc.nat(4000))});
	await fc.assert(
		fc.asyncProperty(fc.array(step, {minLength: 1, maxLength: 5}), async steps => {
			const disk = await filledDisk();
			const touched = new Set<number>();
			for (const {seq, bit} of steps) {
				if (bit === null) disk.drop(records(seq, seq));
				else disk.flipBit(recordKey(seq), bit);
				touched.add(seq);
			}
			const {log} = await salvaged(disk);
			t.is(log.mode, 'normal');
			t.is(log.head.seq, RECORDS);
			const {facts, error} = await readAll(log, log.base);
			t.is(error, null);
			const kept = new Set((facts as {n: number}[]).map(({n}) => n));
			for (const {n} of numbered(1, RECORDS)) t.true(kept.has(n) || touched.has(n), `fact ${n}`);
			t.deepEqual(
				facts,
				numbered(1, RECORDS).filter(({n}) => kept.has(n)),
			);
			t.is(disk.database!.range(keyspaceRange(KEYSPACE.blob + 10)).length, 0);
		}),
		{numRuns: 100},
	);
});
