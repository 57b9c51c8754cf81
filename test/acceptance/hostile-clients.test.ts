/** Goal: what single hostile requests once did to a broker, they do no more. Method: each is sent to a tree of two brokers, which must stay. */
import test from 'ava';
import {encodeMessage, type Request} from '../../src/net/message.ts';
import {encodePayload} from '../../src/net/payload.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {Instance} from '../chaos/instance.ts';

const instance = new Instance({size: 2, cores: 2});
const TIMEOUT_MS = 20_000;
test.before(() => instance.start());
test.after.always(() => instance.destroy());

async function client(): Promise<RpcClient> {
	const link = await new UnixTransport().connect(instance.uri, {timeoutMs: TIMEOUT_MS});
	return RpcClient.over(link, {clock: new SystemClock()});
}

const request = (change: Partial<Request>): Request => ({
	type: 'request',
	topic: 'broker.ping',
	matchtag: 1,
	nodeid: 1,
	userid: 0,
	rolemask: 0,
	route: [],
	upstream: false,
	streaming: false,
	noresponse: false,
	deadlineMs: null,
	payload: encodePayload({seq: 1}),
	...change,
});

async function unharmed(run: () => Promise<void>): Promise<boolean> {
	const before = [...instance.brokers().values()].map(({pid}) => pid).sort();
	await run();
	await instance.ok('ping', '-r', '1', '-c', '1', 'broker');
	const after = [...instance.brokers().values()].map(({pid}) => pid).sort();
	return before.length === 2 && String(before) === String(after);
}

test.serial('a request to another rank with every role of 32 bits passes', async t => {
	const isUnharmed = await unharmed(async () => {
		const link = await new UnixTransport().connect(instance.uri, {timeoutMs: TIMEOUT_MS});
		const answer = new Promise<void>(resolve => (link.onFrame = () => resolve()));
		link.send(encodeMessage(request({rolemask: 0xffff_ffff, userid: 1})));
		await answer;
		link.close();
	});
	t.true(isUnharmed);
});

test.serial('a payload as deep as one may be is traced without its payload', async t => {
	const isUnharmed = await unharmed(async () => {
		const [tracer, sender] = [await client(), await client()];
		const stream = tracer.stream('overlay.trace', {topic_glob: 'broker.ping', full: true});
		const entries = stream[Symbol.asyncIterator]();
		let deep: unknown = 1;
		for (let depth = 0; depth < 63; depth += 1) deep = [deep];
		const first = entries.next();
		await tracer.call('attr.get', {name: 'rank'}, {timeoutMs: TIMEOUT_MS});
		await sender
			.call('broker.ping', {seq: 1, deep}, {nodeid: 1, timeoutMs: TIMEOUT_MS})
			.catch(() => undefined);
		t.like((await first).value, {topic: 'broker.ping', payload: null});
		tracer.close();
		sender.close();
	});
	t.true(isUnharmed);
});

test.serial(
	'a job id that is none, and what only brokers say to each other, are refused with a reason',
	async t => {
		const asker = await client();
		const refused = async (topic: string, payload: object | Uint8Array) =>
			(
				await t.throwsAsync(asker.call(topic, payload, {timeoutMs: TIMEOUT_MS}), {instanceOf: SystemError})
			).toString();
		for (const id of [-1n, -(2n ** 63n), 1.5, 'x', null, []])
			t.regex(
				await refused('job-manager.kill', {id, signum: 15}),
				/EPROTO: job-manager\.kill: 'id' must be a job id/,
			);
		for (const topic of [
			'job-exec.kill',
			'job-manager.exec-report',
			'job-exec.relay',
			'overlay.scatter',
			'broker.stop',
		])
			t.regex(await refused(topic, {id: 1n}), /EPERM: .*only brokers speak this topic/);
		asker.close();
	},
);
