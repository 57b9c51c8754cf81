/** Goal: a lock is told by who has it, and by nobody who has just died. Method: abstract sockets of the test's own. */
import {spawn} from 'node:child_process';
import {randomUUID} from 'node:crypto';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import test from 'ava';
import {lockHolder, takeLock} from '../../src/ports/real/kernel-lock.ts';

test('one at a time has a lock, and says who it is', async t => {
	const name = `coppice-test-${randomUUID()}`;
	t.is(await lockHolder(name), null);
	const lock = await takeLock(name);
	t.is(await takeLock(name), null);
	t.deepEqual(await lockHolder(name), {pid: process.pid});
	await lock!.release();
	t.is(await lockHolder(name), null);
});

test('a lock has one name, whatever length a release of Node.js gives to addresses', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const lock = await takeLock(name);
	const bound = readFileSync('/proc/net/unix', 'latin1')
		.split('\n')
		.find(line => line.includes(`@${name}`));
	t.is(bound?.slice(bound.indexOf('@')).length, 108, 'all of sun_path');
	await lock!.release();
	await t.throwsAsync(takeLock('x'.repeat(108)), {instanceOf: RangeError, message: /too long/});
});

test('a lock that is given back can be taken at once, also while one who asked keeps the line open', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const first = await takeLock(name);
	const asker = connect({path: addressOf(name), allowHalfOpen: true});
	t.teardown(() => asker.destroy());
	await once(asker, 'readable');
	await first!.release();
	const second = await takeLock(name);
	t.deepEqual(await lockHolder(name), {pid: process.pid});
	await second!.release();
});

test('a holder that ends while it is asked has the lock no more', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const dying = createServer(socket => {
		dying.close();
		socket.destroy();
	});
	await new Promise<void>(resolve => dying.listen(addressOf(name), resolve));
	t.is(await lockHolder(name), null);
});

test('a lock is taken as soon as its last holder has gone, also one that only inherited it', async t => {
	const name = `coppice-test-${randomUUID()}`;
	// Like a process between fork and exec: it has the socket, answers nobody, and goes some time after the test has asked.
	const heir = spawn('perl', ['-MSocket', '-e', HEIR, name], {stdio: ['ignore', 'pipe', 'inherit']});
	t.teardown(() => heir.kill());
	await once(heir.stdout, 'data');
	const lock = await takeLock(name);
	t.deepEqual(await lockHolder(name), {pid: process.pid});
	await lock!.release();
});

test('a holder that does not answer has the lock, but no name', async t => {
	const name = `coppice-test-${randomUUID()}`;
	const silent = createServer(() => undefined);
	await new Promise<void>(resolve => silent.listen(addressOf(name), resolve));
	silent.unref();
	t.deepEqual(await lockHolder(name), {pid: null});
	t.is(await takeLock(name), null);
	silent.close();
});

/** The form that every holder of a lock must use (unix(7): all of sun_path counts). */
const addressOf = (name: string): string => `\0${name.padEnd(107, '\0')}`;

const HEIR = String.raw`
	socket(my $lock, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
	bind($lock, pack('S a108', AF_UNIX, "\0$ARGV[0]")) or die "bind: $!\n";
	listen($lock, 8) or die "listen: $!\n";
	syswrite(STDOUT, "has it\n");
	vec(my $asked = '', fileno($lock), 1) = 1;
	select($asked, undef, undef, 20);
	select(undef, undef, undef, 0.7); # Longer than anyone waits for a pid that is only for a message.
`;
