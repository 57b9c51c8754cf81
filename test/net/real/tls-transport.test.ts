/** Goal: the TLS transport keeps the contract of transports, over IPv4, IPv6 and names. */
import test, {type ExecutionContext} from 'ava';
import {TlsTransport} from '../../../src/net/real/tls-transport.ts';
import {until} from '../clocks.ts';
import {frameOf, pair, transportContract, type TransportFixture} from '../transport-contract.ts';
import {freePort} from '../free-port.ts';
import {newKey} from './instance-key-fixture.ts';

const key = await newKey();
const pass = (durationMs: number) => new Promise<void>(resolve => setTimeout(resolve, durationMs));

async function make(_t: ExecutionContext, host = '127.0.0.1'): Promise<TransportFixture> {
	const address = `tls://${host}:${await freePort(host.replace(/[[\]]/g, ''))}`;
	const [server, client] = [new TlsTransport(key), new TlsTransport(key)];
	return {server, client, address, until, pass, settle: async promise => promise};
}

// Serially: some of them keep the event loop busy, and others have 200 ms.
transportContract(test.serial, {name: 'tls', make});

for (const host of ['[::1]', 'localhost', '127.0.0.2']) {
	test.serial(`brokers meet at ${host}`, async t => {
		const [near, far] = await pair(t, await make(t, host));
		near.link.send(frameOf(10, 1));
		far.link.send(frameOf(10, 2));
		await until(() => near.frames.length === 1 && far.frames.length === 1, 'the frames');
		t.is(near.link.peer, near.link.peer.toLowerCase());
		t.true(near.link.peer.startsWith(`${host}:`));
		t.regex(far.link.peer, /^(127\.0\.0\.1|\[::1\]):[0-9]+$/);
	});
}
