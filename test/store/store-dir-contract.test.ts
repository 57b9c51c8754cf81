/**
 * Goal: the log may trust every store directory in the same things. Method: one list of claims, run on the
 * simulated directory and on LevelDB.
 */
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import type {Store, StoreDir, StoreOp, StoreRange} from '../../src/ports/store.ts';
import {SimDisk} from '../../src/sim/store-dir.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';

/** Two views of one directory, as of two processes. */
type Factory = (t: ExecutionContext) => Promise<{dir: StoreDir; other: StoreDir}>;

const factories: Record<string, Factory> = {
	async simulated() {
		const disk = new SimDisk({freeBytes: 64 * 1024 * 1024});
		return {dir: disk.dir(process.pid), other: disk.dir(2)};
	},
	async LevelDB(t) {
		const path = await mkdtemp(join(tmpdir(), 'coppice-test-store-'));
		const [dir, other] = [new LevelStoreDir(path), new LevelStoreDir(path)];
		t.teardown(async () => {
			await dir.unlock();
			await other.unlock();
			await rm(path, {recursive: true, force: true});
		});
		return {dir, other};
	},
};

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const put = (key: string, value: string): StoreOp => ({type: 'put', key: bytes(key), value: bytes(value)});
const del = (key: string): StoreOp => ({type: 'del', key: bytes(key)});
const range = (gte: string, lt: string, extra: Partial<StoreRange> = {}) => ({
	gte: bytes(gte),
	lt: bytes(lt),
	...extra,
});

async function list(store: Store, wanted: StoreRange): Promise<string[]> {
	const found: string[] = [];
	for await (const [key, value] of store.iterate(wanted)) {
		found.push(`${Buffer.from(key).toString()}=${Buffer.from(value).toString()}`);
	}
	return found;
}

async function created(dir: StoreDir): Promise<Store> {
	await dir.lock();
	return dir.open({create: true});
}

for (const [name, factory] of Object.entries(factories)) {
	const claim = (
		title: string,
		run: (t: ExecutionContext, dirs: Awaited<ReturnType<Factory>>) => Promise<void>,
	) => test(`${name}: ${title}`, async t => run(t, await factory(t)));

	claim('a batch is read back in key order, either way round, within bounds', async (t, {dir}) => {
		const store = await created(dir);
		await store.write([put('b', '2'), put('a', '1'), put('d', '4'), put('c', '3'), del('d')], {sync: true});
		await store.write([put('b', 'two')], {sync: false});
		t.deepEqual(await list(store, range('a', 'z')), ['a=1', 'b=two', 'c=3']);
		t.deepEqual(await list(store, range('a', 'c', {reverse: true})), ['b=two', 'a=1']);
		t.deepEqual(await list(store, range('a', 'z', {limit: 1, reverse: true})), ['c=3']);
		t.deepEqual(store.get(bytes('c')), bytes('3'));
		t.is(store.get(bytes('d')), undefined);
		await store.close();
		await store.close();
	});

	claim('keys are ordered as bytes, also beyond ASCII', async (t, {dir}) => {
		const store = await created(dir);
		const keys = [[0x01, 0xff], [0x01], [0x02], [0x01, 0x7f], [0x01, 0x80]].map(key => Uint8Array.from(key));
		await store.write(
			keys.map(key => ({type: 'put', key, value: key})),
			{sync: true},
		);
		const found: number[][] = [];
		for await (const [key] of store.iterate({gte: Uint8Array.of(1), lt: Uint8Array.of(3)}))
			found.push([...key]);
		t.deepEqual(found, [[0x01], [0x01, 0x7f], [0x01, 0x80], [0x01, 0xff], [0x02]]);
		await store.close();
	});

	claim('an iteration shows what was there when it began', async (t, {dir}) => {
		const store = await created(dir);
		const ops = Array.from({length: 2500}, (_, n) => put(`k${String(n).padStart(5, '0')}`, String(n)));
		await store.write(ops, {sync: false});
		let count = 0;
		const iteration = store.iterateChunks(range('k', 'l'));
		await store.write([put('k00000x', 'late'), del('k02000')], {sync: false});
		for await (const entries of iteration) count += entries.length;
		t.is(count, 2500);
		await store.close();
	});

	claim('every entry is shown once and in order, and who leaves early holds nothing up', async (t, {dir}) => {
		const store = await created(dir);
		const keys = Array.from({length: 4500}, (_, n) => `k${String(n).padStart(5, '0')}`);
		await store.write(
			keys.map(key => put(key, key)),
			{sync: false},
		);
		t.deepEqual(
			await list(store, range('k', 'l')),
			keys.map(key => `${key}=${key}`),
		);
		let first = 0;
		for await (const entries of store.iterateChunks(range('k', 'l'))) {
			first = entries.length;
			break;
		}
		t.true(first > 0 && first < keys.length);
		await store.write([put('z', 'after')], {sync: true});
		await store.close();
	});

	claim('what was written is there after a close and another open', async (t, {dir}) => {
		const store = await created(dir);
		await store.write([put('a', '1')], {sync: true});
		await store.close();
		const again = await dir.open({create: false});
		t.deepEqual(await list(again, range('a', 'z')), ['a=1']);
		await again.close();
	});

	claim('a directory without a database is not opened unless it shall be created', async (t, {dir}) => {
		await dir.lock();
		t.false(await dir.exists());
		await t.throwsAsync(dir.open({create: false}), {code: 'ENOENT'});
		t.false(await dir.exists());
		await (await dir.open({create: true})).close();
		t.true(await dir.exists());
	});

	claim(
		'the lock has one holder, whose pid the other is told, and is free after unlock',
		async (t, {dir, other}) => {
			await dir.lock();
			await dir.lock();
			await t.throwsAsync(other.lock(), {code: 'EBUSY', message: new RegExp(`process ${process.pid}`)});
			await dir.unlock();
			await dir.unlock();
			await other.lock();
			await t.throwsAsync(dir.lock(), {code: 'EBUSY'});
			await other.unlock();
		},
	);

	claim('a copy keeps what was there, can be opened apart, and the two newest are kept', async (t, {dir}) => {
		const store = await created(dir);
		await store.write([put('a', '1')], {sync: true});
		await store.close();
		await dir.preserve('first');
		const second = await dir.open({create: false});
		await second.write([put('a', '2'), put('b', '2')], {sync: true});
		await second.close();
		const copy = await dir.openCopy({name: 'first', repair: false});
		t.deepEqual(await list(copy, range('a', 'z')), ['a=1']);
		await copy.close();
		for (const repair of [false, true]) {
			const own = await dir.openCopy({name: null, repair});
			t.deepEqual(await list(own, range('a', 'z')), ['a=2', 'b=2']);
			await own.write([put('a', 'never')], {sync: true});
			await own.close();
		}
		const same = await dir.open({create: false});
		t.deepEqual(await list(same, range('a', 'z')), ['a=2', 'b=2']);
		await same.close();
		await dir.preserve('second');
		await dir.preserve('third');
		t.deepEqual(await dir.copies(), ['second', 'third']);
		await dir.renameCopy('second', 'other');
		await t.throwsAsync(dir.renameCopy('second', 'other'), {code: 'ENOENT'});
		await dir.discard('other');
		await dir.discard('other');
		t.deepEqual(await dir.copies(), ['third']);
		await t.throwsAsync(dir.openCopy({name: 'second', repair: false}), {code: 'ENOENT'});
	});

	claim('a database is replaced whole, and the old one is kept', async (t, {dir}) => {
		const store = await created(dir);
		await store.write([put('a', 'old')], {sync: true});
		await store.close();
		const build = async (fresh: Store) => fresh.write([put('a', 'new')], {sync: true});
		const fail = async () => Promise.reject(new Error('no'));
		await t.throwsAsync(dir.replaceDatabase({keepAs: 'damaged', build: fail}));
		const old = await dir.open({create: false});
		t.deepEqual(await list(old, range('a', 'z')), ['a=old']);
		await old.close();
		await dir.replaceDatabase({keepAs: 'damaged', build});
		const fresh = await dir.open({create: false});
		t.deepEqual(await list(fresh, range('a', 'z')), ['a=new']);
		await fresh.close();
		t.deepEqual(await dir.copies(), ['damaged']);
		const copy = await dir.openCopy({name: 'damaged', repair: false});
		t.deepEqual(await list(copy, range('a', 'z')), ['a=old']);
		await copy.close();
		await dir.replaceDatabase({keepAs: null, build});
		for (const again of ['x', 'y', 'z']) await dir.preserve(again);
		t.deepEqual(await dir.copies(), ['damaged', 'y', 'z']);
	});

	claim('small files are replaced whole; HEAD is also overwritten in place', async (t, {dir}) => {
		await dir.lock();
		t.is(await dir.readFile('instance.json'), undefined);
		await dir.replaceFile('instance.json', bytes('one'));
		await dir.replaceFile('instance.json', bytes('2'));
		t.deepEqual(new Uint8Array((await dir.readFile('instance.json'))!), bytes('2'));
		await dir.writeHead(bytes('head 1'));
		await dir.writeHead(bytes('head 2'));
		await dir.replaceFile('HEAD', bytes('head 3'));
		await dir.writeHead(bytes('head 4'));
		t.deepEqual(new Uint8Array((await dir.readFile('HEAD'))!), bytes('head 4'));
	});

	claim('a ballast takes room and gives it back', async (t, {dir}) => {
		await dir.lock();
		const before = await dir.freeBytes();
		t.false(await dir.dropBallast());
		t.true(await dir.fillBallast(1024 * 1024));
		t.true(await dir.fillBallast(1024 * 1024));
		if (name === 'simulated') t.is(await dir.freeBytes(), before - 1024 * 1024);
		t.true(await dir.dropBallast());
		t.false(await dir.dropBallast());
	});
}
