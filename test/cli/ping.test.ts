/** Goal: `ping` prints round trips as Flux does, and names who is away. Method: a scripted broker. */
import test from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {FakeWorld} from './fake-world.ts';

test('ping prints its lines as Flux does', async t => {
	const {stdout} = await new FakeWorld().run(['ping', '-c2', '-i0', '-p3']);
	t.regex(stdout, /^broker\.ping pad=3 seq=0 time=\d+\.\d{3} ms \(c1!0\)\nbroker\.ping pad=3 seq=1 time=/);
	const ranked = await new FakeWorld().run(['ping', '-c1', '-r', '0', '--json']);
	t.like(JSON.parse(ranked.stdout) as object, {service: 'broker', seq: 0, pad: 0, rank: 0, route: 'c1!0'});
});

test('a failure of ping names whom it was for', async t => {
	const world = new FakeWorld();
	world.broker.on('kvs.ping', () => {
		throw new SystemError('EHOSTUNREACH', 'lost contact 2.1s ago');
	});
	const {stderr, exitCode} = await world.run(['ping', '3!kvs']);
	t.is(stderr, 'coppice ping: 3!kvs: EHOSTUNREACH: lost contact 2.1s ago\n');
	t.is(exitCode, 1);
	world.broker.on('kvs.ping', () => {
		throw new SystemError('EHOSTUNREACH', 'kvs.ping: rank 1 (n1): lost contact 2.1s ago');
	});
	const behind = await world.run(['ping', '3!kvs']);
	t.is(behind.stderr, 'coppice ping: rank 1 (n1): EHOSTUNREACH: lost contact 2.1s ago\n');
});
