/**
 * Goal: many clients, and clients that misbehave by doing nothing, cost the broker little and the others nothing.
 * Method: real sockets to one real broker.
 */
import {connect, type Socket} from 'node:net';
import {readdirSync} from 'node:fs';
import test from 'ava';
import {encodeMessage} from '../../src/net/message.ts';
import {encodePayload} from '../../src/net/payload.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {Instance} from '../chaos/instance.ts';
import {statusField} from '../chaos/processes.ts';
import {until} from '../chaos/until.ts';

const CLIENTS = 1000;
const TIMEOUT_MS = 60_000;
const MIB = 1024;
const instance = new Instance({cores: 2});
test.before(() => instance.start());
test.after.always(() => instance.destroy());

const broker = async () => (await instance.process('broker')).pid;
const rssKib = (pid: number) => Number.parseInt(statusField(pid, 'VmRSS'), 10);
const fds = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

async function client(): Promise<RpcClient> {
	const link = await new UnixTransport().connect(instance.uri, {timeoutMs: TIMEOUT_MS});
	return RpcClient.over(link, {clock: new SystemClock()});
}

async function rawSocket(): Promise<Socket> {
	const socket = connect(instance.uri.slice('local://'.length));
	socket.on('error', () => undefined);
	await new Promise(resolve => socket.once('connect', resolve));
	return socket;
}

const ping = (matchtag: number, pad: number) =>
	encodeMessage({
		type: 'request',
		topic: 'broker.ping',
		matchtag,
		nodeid: 0,
		userid: 0,
		rolemask: 1,
		route: [],
		upstream: false,
		streaming: false,
		noresponse: false,
		deadlineMs: null,
		payload: encodePayload({pad: 'x'.repeat(pad)}),
	});

test.serial('a thousand clients at once are served, and leave nothing behind', async t => {
	t.timeout(180_000);
	const pid = await broker();
	const before = {fds: fds(pid), rss: rssKib(pid)};
	const clients = await Promise.all(Array.from({length: CLIENTS}, client));
	const answers = await Promise.all(
		clients.map(async (one, seq) => one.call('broker.ping', {seq}, {timeoutMs: TIMEOUT_MS})),
	);
	t.deepEqual(
		answers.map(answer => (answer as {seq: number}).seq),
		Array.from({length: CLIENTS}, (_, seq) => seq),
	);
	t.true(fds(pid) >= before.fds + CLIENTS - 10);
	t.is((await instance.run(['run', 'true'])).status, 0, 'a job among them');
	const grownKib = rssKib(pid) - before.rss;
	t.log(`${CLIENTS} clients cost ${grownKib} KiB`);
	t.true(grownKib < 250 * MIB);
	for (const one of clients) one.close();
	await until('their descriptors are back', () => fds(pid) <= before.fds + 4);
	t.is(await broker(), pid);
});

test.serial(
	'a client that asks and does not read is not read either, and costs no memory and no time of others',
	async t => {
		t.timeout(120_000);
		const pid = await broker();
		const before = rssKib(pid);
		const deaf = await rawSocket();
		deaf.pause();
		let sent = 0;
		let isStuck = false;
		for (let matchtag = 1; matchtag < 200_000 && !isStuck; matchtag += 1) {
			sent += 1;
			if (deaf.write(ping(matchtag, 4000))) continue;
			isStuck = await Promise.race([
				new Promise<boolean>(resolve => deaf.once('drain', () => resolve(false))),
				new Promise<boolean>(resolve => setTimeout(() => resolve(true), 2000)),
			]);
		}
		t.true(isStuck, `${sent} requests were taken`);
		t.true(rssKib(pid) < before + 100 * MIB, `${before} then ${rssKib(pid)} KiB`);
		const other = await client();
		for (let seq = 0; seq < 100; seq += 1) await other.call('broker.ping', {seq}, {timeoutMs: 10_000});
		other.close();
		deaf.destroy();
		t.is(await broker(), pid);
	},
);

test.serial('clients that say nothing, half a frame, or a byte at a time hold up nobody', async t => {
	t.timeout(120_000);
	const pid = await broker();
	const before = fds(pid);
	const silent = await Promise.all(Array.from({length: 50}, rawSocket));
	const halfClosed = await Promise.all(Array.from({length: 50}, rawSocket));
	for (const socket of halfClosed) {
		socket.write(ping(1, 10).subarray(0, 20));
		socket.end();
	}
	const slow = await rawSocket();
	const heard = new Promise<void>(resolve => slow.once('data', () => resolve()));
	for (const byte of ping(9, 30)) {
		slow.write(Buffer.from([byte]));
		await new Promise(resolve => setTimeout(resolve, 2));
	}
	await heard;
	const other = await client();
	await other.call('broker.ping', {seq: 1}, {timeoutMs: 10_000});
	other.close();
	for (const socket of [...silent, slow]) socket.destroy();
	await until('all are gone', () => fds(pid) <= before + 4);
	t.is(await broker(), pid);
});
