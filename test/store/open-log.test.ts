/**
 * Goal: a log that is not whole never opens as if it were, and never as an empty one.
 * Method: twenty records of one fact each on the simulated disk, one damage, one opening; a table of both.
 */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {SimDisk} from '../../src/sim/store-dir.ts';
import type {DamageKind} from '../../src/store/damage.ts';
import {keyspaceRange, KEYSPACE, META_BASE, recordKey, snapshotKey} from '../../src/store/keyspaces.ts';
import {BALLAST_BYTES, OPENING_COPY} from '../../src/store/open-log.ts';
import {numbered, openLog, readAll, settled, until} from './log-fixtures.ts';

const TIMEOUT_MS = 5000;
const RECORDS = 20;

async function filledDisk({snapshotAt = 0, durable = true} = {}): Promise<SimDisk> {
	const disk = new SimDisk({freeBytes: 16 * 1024 * 1024});
	const log = await openLog(disk.dir());
	log.onSeal = seq => (seq === snapshotAt ? Buffer.from(`state ${seq}`) : null);
	for (let n = 1; n <= RECORDS; n += 1) {
		log.append(numbered(n, n), {durable: durable || n <= 10});
		await log.flush(TIMEOUT_MS);
	}
	await settled();
	disk.crash();
	return disk;
}

const records = (from: number, to: number) => ({gte: recordKey(from), lt: recordKey(to + 1)});

interface Case {
	readonly damage: (disk: SimDisk) => void;
	readonly kinds: readonly DamageKind[];
	readonly from?: number | null;
	readonly to?: number | null;
	/** The last fact that is still served. */
	readonly served: number;
	readonly snapshotAt?: number;
	/** Default: behind the snapshot. */
	readonly readFrom?: number;
}

const cases: Record<string, Case> = {
	'a record is missing': {damage: d => d.drop(records(8, 8)), kinds: ['gap'], from: 8, to: 8, served: 7},
	'a block of records is missing': {
		damage: d => d.drop(records(8, 15)),
		kinds: ['gap'],
		from: 8,
		to: 15,
		served: 7,
	},
	'two holes': {
		damage: d => void (d.drop(records(5, 6)), d.drop(records(15, 15))),
		kinds: ['gap', 'gap'],
		from: 5,
		to: 6,
		served: 4,
	},
	'the last record is missing': {
		damage: d => d.drop(records(20, 20)),
		kinds: ['lost-tail'],
		from: 20,
		to: 20,
		served: 19,
	},
	'the tail is cut': {
		damage: d => d.drop(records(12, 20)),
		kinds: ['lost-tail'],
		from: 12,
		to: 20,
		served: 11,
	},
	'a hole and a cut tail': {
		damage: d => void (d.drop(records(5, 5)), d.drop(records(19, 20))),
		kinds: ['gap', 'lost-tail'],
		from: 5,
		to: 5,
		served: 4,
	},
	'a bit of a fact is flipped': {
		damage: d => void d.flipBit(recordKey(9), 8 * 45),
		kinds: ['changed'],
		from: 9,
		to: 9,
		served: 8,
	},
	'a bit of the last fact is flipped': {
		damage: d => void d.flipBit(recordKey(20), 8 * 45),
		kinds: ['changed'],
		from: 20,
		to: null,
		served: 19,
	},
	'a record is garbage': {
		damage: d => void d.database!.set(recordKey(9), Uint8Array.of(1, 2, 3)),
		kinds: ['undecodable'],
		from: 9,
		to: 9,
		served: 8,
	},
	'two records in a row are garbage': {
		damage: d => void [9, 10].map(seq => d.database!.set(recordKey(seq), Uint8Array.of(0xc1))),
		kinds: ['undecodable'],
		from: 9,
		to: 10,
		served: 8,
	},
	'the genesis is missing': {
		damage: d => d.drop(records(0, 0)),
		kinds: ['base-missing'],
		from: 0,
		to: 0,
		served: 0,
		readFrom: 0,
	},
	'all records are missing': {
		damage: d => d.drop(keyspaceRange(KEYSPACE.record)),
		kinds: ['base-missing', 'lost-tail'],
		from: 0,
		to: null,
		served: 0,
	},
	'HEAD is missing': {
		damage: d => d.files.delete('HEAD'),
		kinds: ['head-missing'],
		from: null,
		to: null,
		served: 20,
	},
	'HEAD is garbage': {
		damage: d => d.files.set('HEAD', new Uint8Array(4608).fill(7)),
		kinds: ['head-missing'],
		from: null,
		to: null,
		served: 20,
	},
	'the database is gone': {damage: d => (d.database = null), kinds: ['vanished'], from: 0, to: 20, served: 0},
	'the database is gone, and HEAD; the instance file is there': {
		damage(disk) {
			disk.database = null;
			disk.files.delete('HEAD');
			disk.files.set('instance.json', Uint8Array.of(1));
		},
		kinds: ['vanished'],
		from: 0,
		to: null,
		served: 0,
	},
	'LevelDB refuses to open': {
		damage: d => (d.openError = new SystemError('EBADMSG', 'Corruption: CURRENT')),
		kinds: ['unopenable'],
		from: null,
		to: null,
		served: 20,
	},
	'a hole behind the snapshot': {
		damage: d => d.drop(records(15, 15)),
		kinds: ['gap'],
		from: 15,
		to: 15,
		served: 14,
		snapshotAt: 12,
	},
};

for (const [title, {damage, kinds, from, to, served, snapshotAt = 0, readFrom}] of Object.entries(cases)) {
	test(`safe mode, named, with everything before the damage served: ${title}`, async t => {
		const disk = await filledDisk({snapshotAt});
		damage(disk);
		for (const attempt of ['first', 'second']) {
			const log = await openLog(disk.dir());
			t.is(log.mode, 'safe', attempt);
			t.deepEqual(
				log.damages.map(({kind}) => kind),
				kinds,
			);
			t.is(log.damages[0]!.fromSeq, from ?? null);
			t.is(log.damages[0]!.toSeq, to ?? null);
			t.regex(log.damages[0]!.sentence, /^[A-Z].*\.$/);
			t.is(log.snapshot?.seq, snapshotAt === 0 ? undefined : snapshotAt);
			const {facts, error} = await readAll(log, readFrom ?? snapshotAt + 1);
			t.deepEqual(facts, numbered(snapshotAt + 1, served));
			t.is(error?.damage.sentence, from === null ? undefined : log.damages[0]!.sentence);
			t.throws(() => log.append(numbered(1, 1), {durable: true}), {code: 'EROFS', message: /safe mode/});
			let ran = false;
			log.whenDurable(() => (ran = true));
			t.true(ran);
			await log.flush(TIMEOUT_MS);
			t.deepEqual([...disk.copies.keys()], disk.database === null ? [] : [OPENING_COPY]);
			await log.close();
		}
	});
}

test('the evidence of the first opening is kept through crashes of later ones', async t => {
	const disk = await filledDisk();
	disk.copies.set(OPENING_COPY, disk.database!.clone());
	disk.drop(records(8, 9));
	for (let n = 0; n < 4; n += 1) {
		await openLog(disk.dir());
		disk.crash();
	}
	t.truthy(disk.copies.get(OPENING_COPY)?.get(recordKey(8)));
});

test('damage before the newest snapshot does not stop the log, and verify finds it', async t => {
	const disk = await filledDisk({snapshotAt: 12});
	disk.drop(records(5, 6));
	const log = await openLog(disk.dir());
	t.is(log.mode, 'normal');
	const found = await log.verify();
	t.deepEqual(
		found.map(({kind, fromSeq, toSeq}) => ({kind, fromSeq, toSeq})),
		[{kind: 'gap', fromSeq: 5, toSeq: 6}],
	);
	t.deepEqual((await readAll(log, 13)).error, null);
	t.is((await readAll(log, 0)).facts.length, 4);
});

test('a snapshot that does not belong to the record it names is not used', async t => {
	const disk = await filledDisk({snapshotAt: 12});
	const value = disk.database!.get(snapshotKey(12))!;
	disk.database!.set(snapshotKey(13), value);
	t.is((await openLog(disk.dir())).snapshot?.seq, 12);
});

test('HEAD of another log, or of another course of this one, is noticed', async t => {
	const [one, two] = [await filledDisk(), await filledDisk()];
	const other = new SimDisk();
	const foreign = await openLog(other.dir());
	foreign.append([{other: true}], {durable: true});
	await foreign.close();
	two.files.set('HEAD', other.files.get('HEAD')!);
	// The same log id (the ids of tests are counted), but another fact 1.
	const diverged = await openLog(two.dir());
	t.deepEqual(
		diverged.damages.map(({kind}) => kind),
		['foreign-head'],
	);
	t.regex(diverged.damages[0]!.sentence, /differ at fact 1/);
	t.is((await readAll(diverged, 1)).facts.length, RECORDS);

	const renamed = Buffer.from(one.files.get('HEAD')!);
	const {HeadFile} = await import('../../src/store/head-file.ts');
	const file = new HeadFile();
	const head = file.load(renamed)!;
	one.files.set('HEAD', Uint8Array.from(file.next({...head, logId: 'another'})));
	const wrong = await openLog(one.dir());
	t.deepEqual(
		wrong.damages.map(({kind}) => kind),
		['foreign-head'],
	);
	t.regex(wrong.damages[0]!.sentence, /log another/);
});

test('a torn slot of HEAD costs one commit of its knowledge, not safe mode', async t => {
	const disk = await filledDisk();
	const head = disk.files.get('HEAD')!;
	for (const offset of [0, 4096]) {
		const torn = Uint8Array.from(head);
		torn.fill(0xee, offset + 20, offset + 60);
		disk.files.set('HEAD', torn);
		const log = await openLog(disk.dir());
		t.is(log.mode, 'normal');
		t.is(log.head.seq, RECORDS);
		disk.crash();
	}
});

test('facts that a power cut tore out behind the last fsync are dropped, and the log goes on', async t => {
	const disk = await filledDisk();
	const log = await openLog(disk.dir());
	for (let n = 21; n <= 23; n += 1) {
		log.append(numbered(n, n), {durable: false});
		await until(() => log.head.seq === n);
	}
	t.is(log.head.seq, 23);
	disk.crash();
	disk.drop(records(21, 21)); // Pages reached the disk out of order.
	const again = await openLog(disk.dir());
	t.is(again.mode, 'normal');
	t.deepEqual(again.torn, {fromSeq: 21, toSeq: 23});
	t.is(again.head.seq, 20);
	t.is(again.append([{next: true}], {durable: true}), 21);
	await again.close();
	const third = await openLog(disk.dir());
	t.is(third.mode, 'normal');
	t.deepEqual((await readAll(third, 21)).facts, [{next: true}]);
});

for (const [title, durable, loseHeads] of [
	['HEAD knows that they were fsynced', false, 0],
	['a later record was durable', true, 3],
] as const) {
	test(`a hole in relaxed facts is damage when ${title}`, async t => {
		const disk = await filledDisk();
		const log = await openLog(disk.dir());
		log.append(numbered(21, 21), {durable: false});
		await until(() => log.head.seq === 21);
		log.append(numbered(22, 22), {durable});
		await log.flush(TIMEOUT_MS);
		await settled();
		disk.crash({loseHeads});
		disk.drop(records(21, 21));
		const again = await openLog(disk.dir());
		t.is(again.mode, 'safe');
		t.deepEqual(
			again.damages.map(({kind}) => kind),
			['gap'],
		);
	});
}

test('a creation that was interrupted at any write is finished, not taken for damage', async t => {
	const disk = new SimDisk();
	const log = await openLog(disk.dir());
	const {logId} = log;
	disk.crash();
	disk.files.delete('HEAD'); // As if it had died between the two.
	const again = await openLog(disk.dir());
	t.is(again.mode, 'normal');
	t.is(again.logId, logId);
	t.truthy(disk.files.get('HEAD'));
});

test('a full disk opens in safe mode by giving up the ballast, and in normal mode when there is room', async t => {
	const disk = await filledDisk();
	t.is(disk.ballastBytes, BALLAST_BYTES);
	const full = new SystemError('ENOSPC', 'No space left on device');
	disk.freeBytes = 0;
	disk.openError = full;
	const dropping = disk.dir();
	const drop = dropping.dropBallast.bind(dropping);
	dropping.dropBallast = async () => {
		disk.openError = null;
		return drop();
	};
	const log = await openLog(dropping);
	t.is(log.mode, 'safe');
	t.deepEqual(
		log.damages.map(({kind}) => kind),
		['full'],
	);
	t.deepEqual((await readAll(log, 1)).facts, numbered(1, RECORDS));
	t.is(disk.copies.size, 0);
	await log.close();
	disk.freeBytes = 0;
	const still = await openLog(disk.dir());
	t.is(still.mode, 'safe');
	await still.close();
	disk.freeBytes = 10 * 1024 * 1024;
	const room = await openLog(disk.dir());
	t.is(room.mode, 'normal');
	t.is(disk.ballastBytes, BALLAST_BYTES);
});

test('a truncation that was interrupted is finished by the next opening', async t => {
	const disk = await filledDisk();
	const log = await openLog(disk.dir());
	await log.checkpoint(Buffer.from('state'), {keepFromSeq: 100});
	await log.close();
	const base = disk.database!.get(META_BASE);
	t.truthy(base);
	const value = disk.database!.get(recordKey(21))!;
	disk.database!.set(recordKey(3), value); // Not deleted yet when the machine died.
	const again = await openLog(disk.dir());
	t.is(again.mode, 'normal');
	t.is(again.base, 21);
	await again.close();
	t.is(disk.database!.get(recordKey(3)), undefined);
});

test('inspection reads a directory in use and changes nothing', async t => {
	const disk = await filledDisk();
	const owner = await openLog(disk.dir(1));
	const {EventLog} = await import('../../src/store/event-log.ts');
	const {realClock} = await import('./log-fixtures.ts');
	const before = disk.writeCount;
	const log = await EventLog.inspect(disk.dir(2), {clock: realClock});
	t.is(log.mode, 'safe');
	t.deepEqual(log.damages, []);
	t.deepEqual((await readAll(log, 1)).facts, numbered(1, RECORDS));
	t.throws(() => log.append([{}], {durable: true}), {code: 'EROFS', message: /inspection/});
	await log.close();
	t.is(disk.writeCount, before);
	t.is(owner.append([{}], {durable: true}), RECORDS + 1);
});

test('whatever record is dropped or flipped in whatever bit, no changed fact is ever served', async t => {
	const kinds = new Set<string>();
	await fc.assert(
		fc.asyncProperty(fc.integer({min: 0, max: RECORDS}), fc.option(fc.nat(4000)), async (seq, bit) => {
			const disk = await filledDisk();
			if (bit === null) disk.drop(records(seq, seq));
			else disk.flipBit(recordKey(seq), bit);
			const log = await openLog(disk.dir());
			t.is(log.mode, 'safe');
			for (const {kind} of log.damages) kinds.add(kind);
			const {facts} = await readAll(log, log.base);
			t.deepEqual(facts, numbered(1, facts.length));
			t.true(facts.length >= seq - 1);
		}),
		{numRuns: 150},
	);
	t.true(kinds.has('gap') && kinds.has('changed') && kinds.has('undecodable'));
});
