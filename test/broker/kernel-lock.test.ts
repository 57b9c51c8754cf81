/** Goal: a lock is told by who has it, and by nobody who has just died. Method: abstract sockets of the test's own. */
import {randomUUID} from 'node:crypto';
import {createServer} from 'node:net';
import test from 'ava';
import {lockHolder, takeLock} from '../../src/broker/real/kernel-lock.ts';

test('one at a time has a lock, and says who it is', async t => {
	const name = `coppice-test-${randomUUID()}`;
	t.is(await lockHolder(name), null);
	const lock = await takeLock(name);
	t.is(await takeLock(name), null);
	t.deepEqual(await lockHolder(name), {pid: process.pid});
	await lock!.release();
	t.is(await lockHolder(name), null);
});

test('a holder that ends while it is asked has the lock no more', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const dying = createServer(socket => {
		dying.close();
		socket.destroy();
	});
	await new Promise<void>(resolve => dying.listen(`\0${name}`, resolve));
	t.is(await lockHolder(name), null);
});

test('a holder that does not answer has the lock, but no name', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const silent = createServer(() => undefined);
	await new Promise<void>(resolve => silent.listen(`\0${name}`, resolve));
	silent.unref();
	t.deepEqual(await lockHolder(name), {pid: null});
	silent.close();
});
