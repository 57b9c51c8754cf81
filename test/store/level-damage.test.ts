/**
 * Goal: what real disks do to real LevelDB files is noticed, named, and led out of, with nothing lost whose
 * bytes are still there. Method: logs in temporary directories, their files damaged by hand.
 */
import {
	copyFile,
	mkdir,
	mkdtemp,
	open,
	readdir,
	readFile,
	rm,
	stat,
	truncate,
	unlink,
	writeFile,
} from 'node:fs/promises';
import {execFile, fork} from 'node:child_process';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {promisify} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import type {SystemError} from '../../src/formats/errno.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {executeSalvage, planSalvage, type SalvagePlan} from '../../src/store/salvage.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';
import {numbered, openLog, readAll, realClock, until} from './log-fixtures.ts';

const TIMEOUT_MS = 10_000;
const RECORDS = 300;
const run = promisify(execFile);
const rowKey = (n: number) => Buffer.from(`job/${String(n).padStart(4, '0')}`);

async function temporaryDirectory(t: ExecutionContext): Promise<string> {
	const path = await mkdtemp(join(tmpdir(), 'coppice-test-log-'));
	t.teardown(async () => rm(path, {recursive: true, force: true}));
	return path;
}

/** 300 records of one fact and one row each, as a crash leaves them: all in the write-ahead log. */
async function crashedLog(t: ExecutionContext): Promise<string> {
	const source = await temporaryDirectory(t);
	const log = await openLog(new LevelStoreDir(source));
	log.mark = 'job 300';
	for (let n = 1; n <= RECORDS; n += 1) {
		const rows = [{key: rowKey(n), value: Buffer.from(`row ${n}`)}];
		log.append([{...numbered(n, n)[0], text: 'x'.repeat(40)}], {durable: n % 50 === 0, rows});
		await log.flush(TIMEOUT_MS);
	}
	const path = await temporaryDirectory(t);
	await mkdir(join(path, 'db'));
	for (const name of await readdir(join(source, 'db'))) {
		await copyFile(join(source, 'db', name), join(path, 'db', name));
	}
	for (const name of ['HEAD', 'ballast']) await copyFile(join(source, name), join(path, name));
	await log.close();
	return path;
}

async function filesOf(path: string, pattern: RegExp): Promise<string[]> {
	const names = await readdir(join(path, 'db'));
	return names.filter(name => pattern.test(name)).map(name => join(path, 'db', name));
}

async function theFile(path: string, pattern: RegExp): Promise<string> {
	const [file, more] = await filesOf(path, pattern);
	if (file === undefined || more !== undefined) throw new Error(`Not one file of ${String(pattern)}`);
	return file;
}

async function patch(file: string, at: number, change: (bytes: Buffer) => void, size = 1): Promise<void> {
	const handle = await open(file, 'r+');
	const bytes = Buffer.alloc(size);
	await handle.read(bytes, 0, size, at);
	change(bytes);
	await handle.write(bytes, 0, size, at);
	await handle.close();
}

async function opened(t: ExecutionContext, path: string): Promise<EventLog> {
	const log = await openLog(new LevelStoreDir(path), {create: true});
	t.teardown(async () => log.close());
	return log;
}

async function salvage(t: ExecutionContext, path: string): Promise<{plan: SalvagePlan; log: EventLog}> {
	const dir = new LevelStoreDir(path);
	await dir.lock();
	const plan = await planSalvage(dir);
	await executeSalvage(dir, plan);
	await dir.unlock();
	const log = await opened(t, path);
	t.is(log.mode, 'normal', log.damages.map(({sentence}) => sentence).join(' '));
	return {plan, log};
}

const ns = (facts: readonly unknown[]) => (facts as {n: number}[]).map(({n}) => n);
const all = numbered(1, RECORDS).map(({n}) => n);

test('an undamaged crash is no damage: all is there, and no copy stays', async t => {
	const path = await crashedLog(t);
	const log = await opened(t, path);
	t.is(log.mode, 'normal');
	t.true(log.crashed);
	t.deepEqual(ns((await readAll(log, 1)).facts), all);
	t.deepEqual(await readdir(join(path, 'copies')), []);
});

for (const where of [0.1, 0.5, 0.9]) {
	test(`one flipped bit in the write-ahead log, at ${where}: named, and mended without loss`, async t => {
		const path = await crashedLog(t);
		const file = await theFile(path, /\.log$/);
		const at = Math.floor((await stat(file)).size * where);
		await patch(file, at, bytes => (bytes[0]! ^= 0x10));
		const log = await opened(t, path);
		t.is(log.mode, 'safe');
		t.true(['gap', 'lost-tail'].includes(log.damages[0]!.kind));
		t.true((await readAll(log, 1)).facts.length < RECORDS);
		await log.close();
		const {plan, log: whole} = await salvage(t, path);
		t.deepEqual(plan.lost, []);
		t.deepEqual(ns((await readAll(whole, 1)).facts), all);
		t.is(Buffer.from(whole.get(rowKey(RECORDS))!).toString(), `row ${RECORDS}`);
		for (const n of all) t.truthy(whole.get(rowKey(n)), `row ${n}`);
		t.true((await readdir(join(path, 'copies'))).includes('damaged-1'));
	});
}

test('every bit of one record of the write-ahead log may flip: header, length, type and data', async t => {
	const path = await crashedLog(t);
	const file = await theFile(path, /\.log$/);
	const {readLogFile} = await import('../../src/store/leveldb-log-file.ts');
	const original = await readFile(file);
	const whole = [...readLogFile(original)];
	t.true(whole.length >= RECORDS);
	const start = original.readUInt16LE(4) + 7; // The second record of the first block.
	const end = start + original.readUInt16LE(start + 4) + 7;
	for (let bit = start * 8; bit < end * 8; bit += 1) {
		const bytes = Buffer.from(original);
		bytes[bit >>> 3]! ^= 1 << (bit & 7);
		const read = [...readLogFile(bytes)];
		t.is(read.length, whole.length, `bit ${bit}`);
		t.true(read[1]!.isMended);
		t.deepEqual(read[1]!.bytes, whole[1]!.bytes);
	}
});

test('8 KiB of zeros in the write-ahead log: the hole is named, the intact rest of the block is recovered', async t => {
	const path = await crashedLog(t);
	const file = await theFile(path, /\.log$/);
	await patch(file, 12_000, bytes => bytes.fill(0), 8192);
	const log = await opened(t, path);
	t.is(log.mode, 'safe');
	const [damage] = log.damages;
	t.is(damage!.kind, 'gap');
	await log.close();
	const {plan, log: whole} = await salvage(t, path);
	t.is(plan.lost.length, 1);
	const [hole] = plan.lost;
	const lostCount = hole!.toSeq - hole!.fromSeq + 1;
	t.true(lostCount > 20 && lostCount < 60, `${lostCount} lost`);
	// LevelDB drops everything to the end of its block: that was more.
	t.true(damage!.toSeq! - damage!.fromSeq! + 1 > lostCount + 30);
	t.true(plan.recovered.some(({source}) => /\.log/.test(source)));
	t.deepEqual(
		ns((await readAll(whole, 1)).facts),
		all.filter(n => n < hole!.fromSeq || n > hole!.toSeq),
	);
});

test('a tail that was cut behind what HEAD knows is a lost tail; the sequence goes on behind it', async t => {
	const path = await crashedLog(t);
	const file = await theFile(path, /\.log$/);
	await truncate(file, Math.floor((await stat(file)).size * 0.8));
	const log = await opened(t, path);
	t.is(log.mode, 'safe');
	t.deepEqual(
		log.damages.map(({kind, toSeq}) => ({kind, toSeq})),
		[{kind: 'lost-tail', toSeq: RECORDS}],
	);
	await log.close();
	const {log: whole} = await salvage(t, path);
	t.is(whole.head.seq, RECORDS);
	t.is(whole.headMark, 'job 300');
	t.is(whole.append([{}], {durable: true}), RECORDS + 1);
});

test('a tail that was cut within the last record, when HEAD is older, costs that record alone', async t => {
	const path = await crashedLog(t);
	const log = await opened(t, path);
	const head = await readFile(join(path, 'HEAD'));
	log.append(numbered(RECORDS + 1, RECORDS + 1), {durable: false});
	await until(() => log.head.seq === RECORDS + 1);
	const [file] = (await filesOf(path, /\.log$/)).sort().slice(-1);
	const bytes = await readFile(file!);
	await log.close();
	await writeFile(file!, bytes.subarray(0, bytes.length - 5));
	await writeFile(join(path, 'HEAD'), head);
	const again = await opened(t, path);
	t.is(again.mode, 'normal');
	t.is(again.head.seq, RECORDS);
});

for (const [title, pattern] of [
	['CURRENT', /^CURRENT$/],
	['the manifest', /^MANIFEST-/],
] as const) {
	test(`without ${title} nothing is created over the old files, and all is recovered`, async t => {
		const path = await crashedLog(t);
		await (await opened(t, path)).close(); // So that there are tables too.
		for (const file of await filesOf(path, pattern)) await unlink(file);
		const log = await opened(t, path);
		t.is(log.mode, 'safe');
		t.deepEqual(
			log.damages.map(({kind}) => kind),
			['unopenable'],
		);
		t.deepEqual(ns((await readAll(log, 1)).facts), all);
		t.throws(() => log.append([{}], {durable: true}), {code: 'EROFS'});
		await log.close();
		const {plan, log: whole} = await salvage(t, path);
		t.deepEqual(plan.lost, []);
		t.deepEqual(ns((await readAll(whole, 1)).facts), all);
		t.truthy(whole.get(rowKey(7)));
	});
}

test('a corrupt manifest is no empty log', async t => {
	const path = await crashedLog(t);
	await (await opened(t, path)).close();
	await patch(await theFile(path, /^MANIFEST-/), 0, bytes => bytes.fill(0xff), 40);
	const log = await opened(t, path);
	t.is(log.mode, 'safe');
	t.is(log.damages[0]!.kind, 'unopenable');
	await log.close();
	const {plan, log: whole} = await salvage(t, path);
	t.deepEqual(plan.lost, []);
	t.deepEqual(ns((await readAll(whole, 1)).facts), all);
});

test('an emptied directory with its HEAD is an error that names what was there', async t => {
	const path = await crashedLog(t);
	await rm(join(path, 'db'), {recursive: true});
	const log = await opened(t, path);
	t.is(log.mode, 'safe');
	t.deepEqual(
		log.damages.map(({kind, toSeq}) => ({kind, toSeq})),
		[{kind: 'vanished', toSeq: RECORDS}],
	);
	t.deepEqual(await filesOf(path, /./).catch(() => []), []);
	await log.close();
	const {log: whole} = await salvage(t, path);
	t.is(whole.head.seq, RECORDS);
});

/** Everything in tables: the log was closed and compacted by a second opening. */
async function tabledLog(t: ExecutionContext): Promise<{path: string; table: string}> {
	const path = await crashedLog(t);
	await (await opened(t, path)).close();
	const tables = await filesOf(path, /\.ldb$/);
	const sizes = await Promise.all(tables.map(async file => ({file, size: (await stat(file)).size})));
	const [largest] = sizes.sort((a, b) => b.size - a.size);
	return {path, table: largest!.file};
}

for (const bit of [3, 7]) {
	test(`a bit flipped in a table (${bit}): not served as data, and mended`, async t => {
		const {path, table} = await tabledLog(t);
		const bytes = await readFile(table);
		const at = bytes.indexOf('x'.repeat(40)) + 5; // Within a fact.
		await patch(table, at, byte => (byte[0]! ^= 1 << bit));
		const log = await opened(t, path);
		t.is(log.mode, 'safe');
		t.is(log.damages[0]!.kind, 'changed');
		await log.close();
		const {plan, log: whole} = await salvage(t, path);
		t.deepEqual(plan.lost, []);
		t.regex(plan.sentences.join(' '), /one flipped bit mended/);
		t.deepEqual(ns((await readAll(whole, 1)).facts), all);
	});
}

for (const [what, anchor, step] of [
	['records', 'x'.repeat(40), 9],
	['rows', 'job/0001', 7],
] as const) {
	test(`a bit flipped in the structure of a table, at ${what}: whatever LevelDB makes of it, nothing is lost`, async t => {
		const {path, table} = await tabledLog(t);
		const middle = (await readFile(table)).indexOf(anchor);
		const kinds = new Set<string>();
		for (let at = Math.max(0, middle - 100); at < middle + 60; at += step) {
			const copy = await temporaryDirectory(t);
			await mkdir(join(copy, 'db'));
			for (const name of await readdir(join(path, 'db'))) {
				await copyFile(join(path, 'db', name), join(copy, 'db', name));
			}
			await copyFile(join(path, 'HEAD'), join(copy, 'HEAD'));
			await patch(join(copy, 'db', basename(table)), at, byte => (byte[0]! ^= 0x40));
			const log = await openLog(new LevelStoreDir(copy));
			if (log.mode === 'safe') kinds.add(log.damages[0]!.kind);
			for (const fact of (await readAll(log, 1)).facts) t.true((fact as {n: number}).n <= RECORDS);
			await log.close();
			const dir = new LevelStoreDir(copy);
			await dir.lock();
			await executeSalvage(dir, await planSalvage(dir));
			await dir.unlock();
			const whole = await openLog(new LevelStoreDir(copy));
			t.is(whole.mode, 'normal', `byte ${at}`);
			t.deepEqual(ns((await readAll(whole, 1)).facts), all, `byte ${at}`);
			for (const n of all) {
				t.is(Buffer.from(whole.get(rowKey(n)) ?? []).toString(), `row ${n}`, `byte ${at}`);
			}
			await whole.close();
		}
		t.true(kinds.size > 0 || what === 'rows'); // Rows are outside of the chain: each proves itself when it is read.
	});
}

test('a log in use is refused with the pid, and is free again when its process was killed', async t => {
	const path = await temporaryDirectory(t);
	const child = fork(new URL('log-writer.js', import.meta.url), [path], {
		stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
	});
	t.teardown(() => child.kill('SIGKILL'));
	let passed = 0;
	child.on('message', (seq: number) => (passed = seq));
	await until(() => passed >= 30, TIMEOUT_MS);
	await t.throwsAsync(openLog(new LevelStoreDir(path)), {
		code: 'EBUSY',
		message: new RegExp(`process ${child.pid}`),
	});
	const inspected = await EventLog.inspect(new LevelStoreDir(path), {clock: realClock});
	t.true((await readAll(inspected, 1)).facts.length >= 30);
	await inspected.close();
	const gone = new Promise(resolve => child.once('exit', resolve));
	child.kill('SIGKILL');
	await gone;
	const log = await opened(t, path);
	t.is(log.mode, 'normal');
	t.true(log.crashed);
	const {facts} = await readAll(log, 1);
	t.true(facts.length >= passed, `${facts.length} of ${passed}`);
	t.deepEqual(
		ns(facts),
		numbered(1, facts.length).map(({n}) => n),
	);
});

const isRoot = process.getuid?.() === 0;
(isRoot ? test : test.skip)(
	'a full disk: nothing acknowledged is lost, safe mode by the ballast, room leads out',
	async t => {
		const path = await temporaryDirectory(t);
		await run('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', path]);
		t.teardown(async () => run('umount', ['-l', path]));
		const log = await openLog(new LevelStoreDir(path));
		let fatal: SystemError | null = null as SystemError | null;
		log.onFatal = error => (fatal = error);
		let passed = 0;
		for (let n = 1; fatal === null; n += 1) {
			log.append([{n, text: 'y'.repeat(2000)}], {durable: true});
			log.whenDurable(() => (passed = n));
			await until(() => passed === n || fatal !== null);
		}
		t.is(fatal.code, 'ENOSPC');
		t.throws(() => log.append([{}], {durable: true}), {code: 'ENOSPC'});
		await log.close();
		const filler = join(path, 'filler');
		await run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096']).catch(() => undefined); // Until it is full.

		const safe = await openLog(new LevelStoreDir(path));
		t.is(safe.mode, 'safe');
		t.deepEqual(
			safe.damages.map(({kind}) => kind),
			['full'],
		);
		t.true((await readAll(safe, 1)).facts.length >= passed);
		await safe.close();

		await run('mount', ['-o', 'remount,size=32m', path]);
		await unlink(filler);
		const room = await openLog(new LevelStoreDir(path));
		t.is(room.mode, 'normal');
		const {facts} = await readAll(room, 1);
		t.true(facts.length >= passed && passed > 10, `${facts.length} of ${passed}`);
		t.deepEqual(
			ns(facts),
			numbered(1, facts.length).map(({n}) => n),
		);
		await room.close();
	},
);
