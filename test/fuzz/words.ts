/** What a fuzzer must know of the protocol: topics and fields as the documentation names them, and a recorded conversation. */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {encodeMessage} from '../../src/net/message.ts';
import {attachLink} from '../../src/net/attach-link.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import type {FrameWords} from './frames.ts';

const ROOT = new URL('../../../', import.meta.url);
/** A valid one of these ends the instance, or a part of it, or makes a service hang, as it should. */
const DEADLY = new Set([
	'shutdown.start',
	'broker.stop',
	'overlay.disconnect-subtree',
	'attr.set',
	'event-log.salvage',
]);
const COSTLY = [
	'event-log.replay',
	'event-log.verify',
	'event-log.dump',
	'repl.state',
	'overlay.trace',
	'log.dmesg',
];
/** Between brokers only: a client that asks is refused. */
const OF_BROKERS = [
	'job-exec.start',
	'job-exec.kill',
	'job-exec.relay',
	'job-exec.forget',
	'overlay.scatter',
	'overlay.hello',
];

/** @param uri of a broker that runs: a few requests of every kind are made to it, and recorded. */
export async function frameWords(uri: string): Promise<FrameWords> {
	const text = ['docs/services.md', 'docs/resiliency.md']
		.map(name => readFileSync(fileURLToPath(new URL(name, ROOT)), 'utf8'))
		.join('\n');
	const services = /^[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*$/;
	const quoted = [...text.matchAll(/`([^`\s]+)`/g)].map(match => match[1]!);
	const known = new Set(quoted.filter(word => services.test(word) && SERVICE.test(word)));
	const topics = [...known, ...OF_BROKERS].filter(topic => !DEADLY.has(topic) && !COSTLY.includes(topic));
	const fields = [...new Set(quoted.filter(word => /^[A-Za-z][A-Za-z_]{0,20}$/.test(word)))];
	return {topics, costly: COSTLY, fields, recorded: await record(uri)};
}

const SERVICE =
	/^(attr|broker|config|event|event-log|groups|health|job-[a-z]+|log|overlay|queue|repl|resource|sched|state-machine)\./;

async function record(uri: string): Promise<readonly Buffer[]> {
	const clock = new SystemClock();
	const link = await new UnixTransport().connect(uri, {timeoutMs: 5000});
	const frames: Buffer[] = [];
	const client = attachLink(link, {
		clock,
		keepaliveMs: null,
		open: channel =>
			new RpcClient(
				{
					...channel,
					send: message => {
						frames.push(Buffer.from(encodeMessage(message)));
						return channel.send(message);
					},
				},
				{clock},
			),
	});
	const ask = async (topic: string, payload: object, options: object = {}) => {
		await client.call(topic, payload, {timeoutMs: 10_000, ...options}).catch(() => undefined);
	};
	await ask('broker.ping', {seq: 1, pad: 'x'.repeat(50)});
	await ask('broker.ping', {seq: 2}, {nodeid: 2});
	await ask('attr.get', {name: 'rank'});
	await ask('job-list.list-id', {id: 1n, attrs: ['all']});
	await ask('job-manager.raise', {id: 1n, type: 'cancel', severity: 0, note: 'no such job', userid: 0});
	await ask('job-manager.getinfo', {});
	await ask('job-info.lookup', {id: 1n, keys: ['J', 'R', 'eventlog'], flags: 0});
	await ask('job-list.job-stats', {});
	await ask('resource.status', {});
	await ask('event.publish', {topic: 'fuzz.event', flags: 0, payload: 'eA=='});
	await ask('overlay.status', {timeout: 1});
	await ask('health.status', {timeout: 1});
	client.close();
	return frames;
}
