/**
 * Goal: what passes the gate is durable, what is durable is read back, and a failed write ends everything.
 * Method: the log on the simulated disk, killed with every possible remainder of unsynced writes.
 */
import test from 'ava';
import fc from 'fast-check';
import {SimDisk} from '../../src/sim/store-dir.ts';
import {EventLog, type LogRecord} from '../../src/store/event-log.ts';
import {keyspaceRange, KEYSPACE, recordKey, snapshotKey} from '../../src/store/keyspaces.ts';
import {RECORD_FACTS_MAX} from '../../src/store/record-codec.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {ManualClock, numbered, openLog, readAll, settled, until} from './log-fixtures.ts';

const TIMEOUT_MS = 5000;

test('a new log begins with a genesis record and gives back what was appended', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	t.is(log.mode, 'normal');
	t.is(log.append(numbered(1, 3), {durable: true}), 3);
	t.is(log.append([{type: 'fact', n: 4, big: 2n ** 60n, at: 1_700_000_000_123}], {durable: true}), 4);
	await log.flush(TIMEOUT_MS);
	const records: LogRecord[] = [];
	for await (const piece of log.read({fromSeq: 0})) for (const record of piece) records.push(record);
	t.deepEqual(
		records.map(({seq, endSeq, kind}) => ({seq, endSeq, kind})),
		[
			{seq: 0, endSeq: 0, kind: 'genesis'},
			{seq: 1, endSeq: 4, kind: 'facts'},
		],
	);
	t.deepEqual(records[1]!.facts.at(-1), {type: 'fact', n: 4, big: 2n ** 60n, at: 1_700_000_000_123});
	t.deepEqual(Buffer.from(records[1]!.prevHash), Buffer.from(records[0]!.hash));
	const {logId} = log;
	await log.close();

	const again = await openLog(disk.dir(), {create: false});
	t.is(again.logId, logId);
	t.false(again.crashed);
	t.is(again.head.seq, 4);
	t.deepEqual((await readAll(again, 1)).facts.slice(0, 3), numbered(1, 3));
	t.is(again.append(numbered(5, 5), {durable: true}), 5);
	await again.close();
});

test('a log that was not closed says so', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	log.append(numbered(1, 1), {durable: true});
	await log.flush(TIMEOUT_MS);
	disk.crash();
	const again = await openLog(disk.dir());
	t.true(again.crashed);
	t.is(again.mode, 'normal');
	t.deepEqual(disk.copies.size, 0);
});

test('without create, a directory that has no log is an error', async t => {
	const disk = new SimDisk();
	await t.throwsAsync(openLog(disk.dir(), {create: false}), {instanceOf: SystemError, code: 'ENOENT'});
	t.is(disk.owner, null);
});

test('a second opener is refused with the pid of the first', async t => {
	const disk = new SimDisk();
	await openLog(disk.dir(41));
	await t.throwsAsync(openLog(disk.dir(42)), {code: 'EBUSY', message: /process 41/});
	disk.crash();
	t.is((await openLog(disk.dir(42))).mode, 'normal');
});

test('the gate runs at once without durable facts, and in order after the commit otherwise', async t => {
	const clock = new ManualClock();
	const disk = new SimDisk({clock});
	const log = await createOn(disk, clock);
	const ran: string[] = [];
	log.append(numbered(1, 1), {durable: false});
	log.whenDurable(() => ran.push('relaxed'));
	t.deepEqual(ran, ['relaxed']);
	log.append(numbered(2, 2), {durable: true});
	log.whenDurable(() => {
		ran.push('first');
		log.whenDurable(() => ran.push('nested'));
	});
	log.whenDurable(() => ran.push('second'));
	await settled();
	log.append(numbered(3, 3), {durable: true}); // While the commit of 2 is under way.
	log.whenDurable(() => ran.push('third'));
	t.deepEqual(ran, ['relaxed']);
	await clock.advance(1.05);
	t.deepEqual(ran, ['relaxed', 'first', 'second', 'third'].slice(0, 3));
	t.is(log.durableSeq, 2);
	await clock.advance(1.05);
	t.deepEqual(ran, ['relaxed', 'first', 'second', 'third', 'nested']);
	t.is(log.durableSeq, 3);
});

test('relaxed facts are written within 50 ms, without an fsync', async t => {
	const clock = new ManualClock();
	const disk = new SimDisk({clock});
	const log = await createOn(disk, clock);
	log.append(numbered(1, 2), {durable: false});
	await clock.advance(49);
	t.is(log.head.seq, 0);
	await clock.advance(2);
	t.is(log.head.seq, 2);
	t.is(log.durableSeq, 0);
	t.is(disk.unsyncedCount, 1);
	const flushed = log.flush(TIMEOUT_MS);
	await clock.advance(2);
	await flushed;
	t.is(log.durableSeq, 2);
	t.is(disk.unsyncedCount, 0);
	t.is(clock.timerCount, 0);
});

test('flush gives up at its deadline and says what it waited for', async t => {
	const clock = new ManualClock();
	const disk = new SimDisk({clock, syncMs: 100});
	const opening = EventLog.open(disk.dir(), {clock, create: true, random: fixedRandom});
	await clock.advance(500);
	const log = await opening;
	log.append(numbered(1, 1), {durable: true});
	const flushed = t.throwsAsync(log.flush(20), {code: 'ETIMEDOUT', message: /facts up to 1 within 20 ms/});
	await clock.advance(200);
	await flushed;
	t.is(log.durableSeq, 1);
});

test('an append beyond one record is refused whole; a backlog becomes several records', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	t.throws(() => log.append(numbered(1, RECORD_FACTS_MAX + 1), {durable: true}), {code: 'EMSGSIZE'});
	t.is(log.appendedSeq, 0);
	log.append(numbered(1, RECORD_FACTS_MAX), {durable: true});
	log.append(numbered(RECORD_FACTS_MAX + 1, RECORD_FACTS_MAX + 2), {durable: true});
	await log.flush(TIMEOUT_MS);
	const ends: number[] = [];
	for await (const piece of log.read({fromSeq: 1})) for (const record of piece) ends.push(record.endSeq);
	t.deepEqual(ends, [RECORD_FACTS_MAX, RECORD_FACTS_MAX + 2]);
	t.is(disk.writeCount, 1);
});

test('a fact that MessagePack cannot carry is refused and leaves no trace', async t => {
	const log = await openLog(new SimDisk().dir());
	t.throws(() => log.append([{ok: 1}, {run: () => undefined}], {durable: true}), {
		message: /[Uu]nrecognized/,
	});
	t.is(log.append(numbered(1, 1), {durable: true}), 1);
});

test('after a failed write nothing passes the gate and nothing is written, for every n', async t => {
	for (let nth = 1; nth <= 6; nth += 1) {
		for (const isApplied of [false, true]) {
			const disk = new SimDisk();
			const log = await openLog(disk.dir());
			const fatal: SystemError[] = [];
			log.onFatal = error => fatal.push(error);
			const passed: number[] = [];
			disk.failWrite({nth, code: 'EIO', isApplied});
			for (let n = 1; n <= 6 && fatal.length === 0; n += 1) {
				const seq = log.append(numbered(n, n), {durable: true});
				log.whenDurable(() => passed.push(seq));
				await settled();
			}
			t.is(fatal.length, 1, `n=${nth}`);
			t.deepEqual(
				passed,
				numbered(1, nth - 1).map(({n}) => n),
			);
			t.throws(() => log.append(numbered(99, 99), {durable: true}), {code: 'EIO'});
			await t.throwsAsync(log.flush(TIMEOUT_MS), {code: 'EIO'});
			log.whenDurable(() => passed.push(99));
			await log.close();
			t.false(passed.includes(99));

			const again = await openLog(disk.dir());
			t.is(again.mode, 'normal');
			t.true(again.crashed);
			t.deepEqual((await readAll(again, 1)).facts, numbered(1, isApplied ? nth : nth - 1));
		}
	}
});

test('after a failed write of relaxed facts nothing passes the gate either', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	let fatal: SystemError | null = null as SystemError | null;
	log.onFatal = error => (fatal = error);
	disk.failWrite({nth: 1, code: 'ENOSPC'});
	log.append(numbered(1, 1), {durable: false});
	await until(() => fatal !== null);
	let ran = false;
	log.whenDurable(() => (ran = true));
	t.false(ran);
	t.is(fatal?.code, 'ENOSPC');
	await log.close();
});

test('a record says which durable fact is the last, whatever it was batched with', async t => {
	const log = await openLog(new SimDisk().dir());
	log.append(numbered(1, 2), {durable: false});
	log.append(numbered(3, 3), {durable: true});
	log.append(numbered(4, 4), {durable: false});
	await log.flush(TIMEOUT_MS);
	log.append(numbered(5, 5), {durable: false});
	await log.flush(TIMEOUT_MS);
	const found: number[][] = [];
	for await (const piece of log.read({fromSeq: 1}))
		for (const {seq, endSeq, durableSeq} of piece) found.push([seq, endSeq, durableSeq]);
	t.deepEqual(found, [
		[1, 4, 3],
		[5, 5, 3],
	]);
});

test('a reader notices records that vanish under an open log', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	for (let n = 1; n <= 3; n += 1) {
		log.append(numbered(n, n), {durable: true});
		await log.flush(TIMEOUT_MS);
	}
	disk.drop({gte: recordKey(3), lt: recordKey(4)});
	const {facts, error} = await readAll(log, 1);
	t.deepEqual(facts, numbered(1, 2));
	t.is(error?.damage.kind, 'lost-tail');
	t.deepEqual(
		(await log.verify()).map(({kind}) => kind),
		['lost-tail'],
	);
});

test('a row that is written again while its first write is under way keeps the newer value', async t => {
	const clock = new ManualClock();
	const disk = new SimDisk({clock, syncMs: 5});
	const log = await createOn(disk, clock);
	const key = Buffer.from('k');
	const write = (n: number) =>
		log.append(numbered(n, n), {durable: true, rows: [{key, value: Buffer.from(`${n}`)}]});
	write(1);
	await clock.advance(1);
	write(2);
	await clock.advance(5); // The first is committed, the second under way.
	t.is(log.durableSeq, 1);
	t.is(Buffer.from(log.get(key)!).toString(), '2');
	await clock.advance(20);
	t.is(Buffer.from(log.get(key)!).toString(), '2');
});

test('what passed the gate survives every crash, and what survives is a prefix of what was appended', async t => {
	let torn = 0;
	const step = fc.record({facts: fc.integer({min: 1, max: 4}), durable: fc.boolean(), waitMs: fc.nat(60)});
	const scenario = fc.record({
		steps: fc.array(step, {minLength: 1, maxLength: 12}),
		keepWrites: fc.nat(6),
		loseHeads: fc.nat(3),
	});
	await fc.assert(
		fc.asyncProperty(scenario, async ({steps, keepWrites, loseHeads}) => {
			const clock = new ManualClock();
			const disk = new SimDisk({clock, syncMs: 7});
			const log = await createOn(disk, clock);
			const appended: unknown[] = [];
			let passedCount = 0;
			for (const {facts, durable, waitMs} of steps) {
				const batch = numbered(appended.length + 1, appended.length + facts);
				appended.push(...batch);
				log.append(batch, {durable});
				if (durable) log.whenDurable(() => (passedCount = Math.max(passedCount, batch.at(-1)!.n)));
				await clock.advance(waitMs);
			}
			disk.crash({keepWrites, loseHeads});
			const opening = EventLog.open(disk.dir(), {clock, create: false, random: fixedRandom});
			await clock.advance(100);
			const again = await opening;
			t.is(again.mode, 'normal');
			const {facts, error} = await readAll(again, 1);
			t.is(error, null);
			t.true(facts.length >= passedCount);
			t.deepEqual(facts, appended.slice(0, facts.length));
			if (facts.length < appended.length) torn += 1;
		}),
		{numRuns: 150},
	);
	t.true(torn > 10); // Not vacuous.
});

test('rows are written with their facts, are seen at once, and survive', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	const key = (name: string) => Buffer.from(`job/${name}`);
	const put = (name: string, text: string | null) => ({
		key: key(name),
		value: text === null ? null : Buffer.from(text),
	});
	log.append(numbered(1, 1), {durable: true, rows: [put('a', 'one'), put('b', 'two'), put('d', 'four')]});
	t.is(Buffer.from(log.get(key('a'))!).toString(), 'one');
	await log.flush(TIMEOUT_MS);
	log.append(numbered(2, 2), {durable: true, rows: [put('a', null), put('b', 'TWO'), put('c', 'three')]});
	t.is(log.get(key('a')), undefined);
	const list = async (source: EventLog, extra: object = {}) => {
		const found: string[] = [];
		const range = {gte: Buffer.from('job/'), lt: Buffer.from('job0'), ...extra};
		for await (const [, value] of source.rows(range)) found.push(Buffer.from(value).toString());
		return found;
	};
	t.deepEqual(await list(log), ['TWO', 'three', 'four']);
	t.deepEqual(await list(log, {reverse: true}), ['four', 'three', 'TWO']);
	t.deepEqual(await list(log, {limit: 2}), ['TWO', 'three']);
	const {hash, row} = log.putBlob(Buffer.from('content'));
	log.append(numbered(3, 3), {durable: true, rows: [row]});
	await log.close();
	const again = await openLog(disk.dir());
	t.deepEqual(await list(again), ['TWO', 'three', 'four']);
	t.is(Buffer.from(again.getBlob(hash)!).toString(), 'content');
	disk.flipBit(key('b'), 50);
	t.throws(() => again.get(key('b')), {code: 'EBADMSG'});
	disk.flipBit(row.key, 3);
	t.throws(() => again.getBlob(hash), {code: 'EBADMSG'});
});

test('a row may not lie in the keyspaces of the log', async t => {
	const log = await openLog(new SimDisk().dir());
	const rows = [{key: Uint8Array.of(1, 2), value: null}];
	t.throws(() => log.append(numbered(1, 1), {durable: true, rows}), {message: /may not begin/});
	t.is(log.appendedSeq, 0);
});

test('the newest snapshot is where replay begins; a damaged one is passed over; all may be lost', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	log.onSeal = seq => Buffer.from(`state ${seq}`);
	for (let n = 1; n <= 4; n += 1) {
		log.append(numbered(n, n), {durable: true});
		await log.flush(TIMEOUT_MS);
	}
	disk.crash();
	t.is(disk.database!.range(keyspaceRange(KEYSPACE.snapshot)).length, 2);
	const seen: (number | undefined)[] = [];
	for (const damage of [
		() => undefined,
		() => disk.flipBit(snapshotKey(4), 700),
		() => disk.drop(keyspaceRange(2)),
	]) {
		damage();
		const again = await openLog(disk.dir());
		t.is(again.mode, 'normal');
		seen.push(again.snapshot?.seq);
		t.deepEqual(
			(await readAll(again, (again.snapshot?.seq ?? 0) + 1)).facts.at(-1),
			again.snapshot?.seq === 4 ? undefined : numbered(4, 4)[0],
		);
		disk.crash();
	}
	t.deepEqual(seen, [4, 3, undefined]);
	t.truthy(disk.database!.get(recordKey(1)));
});

test('a checkpoint becomes the base: replay begins there, with every snapshot deleted', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	log.append(numbered(1, 10), {durable: true});
	t.is(await log.checkpoint(Buffer.from('state 10'), {keepFromSeq: 5}), 11);
	t.is(log.base, 0); // Nothing before 5 could be replayed without the genesis.
	log.append(numbered(12, 20), {durable: true});
	t.is(await log.checkpoint(Buffer.from('state 20'), {keepFromSeq: 15}), 21);
	t.is(log.base, 11);
	log.append(numbered(22, 22), {durable: true});
	const {logId} = log;
	await log.flush(TIMEOUT_MS);
	disk.crash();
	const again = await openLog(disk.dir());
	t.is(again.mode, 'normal');
	t.is(again.logId, logId);
	t.is(again.base, 11);
	t.is(again.snapshot?.seq, 11);
	t.is(Buffer.from(again.snapshot!.bytes).toString(), 'state 10');
	t.deepEqual((await readAll(again, 12)).facts, [...numbered(12, 20), ...numbered(22, 22)]);
	t.deepEqual(await again.verify(), []);
});

for (const keep of [
	[22, 15],
	[15, 22],
]) {
	test(`two checkpoints at a time leave the later base, keeping from ${keep.join(' and ')}`, async t => {
		const disk = new SimDisk();
		const log = await openLog(disk.dir());
		for (const from of [1, 12]) {
			log.append(numbered(from, from + 9), {durable: true});
			await log.checkpoint(Buffer.from(`state ${from + 9}`), {keepFromSeq: 5});
		}
		await Promise.all(keep.map(keepFromSeq => log.checkpoint(Buffer.from('state 22'), {keepFromSeq})));
		t.is(log.base, 22);
		t.deepEqual(await log.verify(), []);
		await log.flush(TIMEOUT_MS);
		disk.crash();
		const again = await openLog(disk.dir());
		t.deepEqual([again.mode, again.base], ['normal', 22]);
		t.deepEqual(await again.verify(), []);
	});
}

test('the mark in HEAD is that of the last synced commit', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	log.mark = {lastJobId: 77n};
	log.append(numbered(1, 1), {durable: true});
	await log.flush(TIMEOUT_MS);
	await settled();
	disk.crash();
	t.deepEqual((await openLog(disk.dir())).headMark, {lastJobId: 77n});
	t.throws(() => (log.mark = 'x'.repeat(300)), {code: 'EMSGSIZE'});
});

const fixedRandom = {float: () => 0, bytes: (n: number) => new Uint8Array(n), uuid: () => 'id'};

async function createOn(disk: SimDisk, clock: ManualClock): Promise<EventLog> {
	const opening = EventLog.open(disk.dir(), {clock, create: true, random: fixedRandom});
	await clock.advance(100);
	return opening;
}
