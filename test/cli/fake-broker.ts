/**
 * A process that behaves as a broker to its daemon, and does nothing else: `fake-broker.js ORDERS --rank R …`. ORDERS is a
 * directory: a file `mode` in it says how to end at the next start (`exit:N`, `refuse`, `throw`, `hang`), `lives` gets
 * the pid of each start.
 */
import {appendFile, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {RpcServer} from '../../src/net/rpc-server.ts';
import {ServiceRegistry} from '../../src/net/service-registry.ts';
import {localUri} from '../../src/broker/instance.ts';
import {runBrokerProcess} from '../../src/broker/real/broker-process.ts';
import {readStartRecord} from '../../src/broker/real/instance-scan.ts';
import type {RunningBroker, StartBrokerOptions} from '../../src/broker/running-broker.ts';

const orders = process.argv[2]!;
const {values} = parseArgs({
	args: process.argv.slice(3),
	strict: false,
	options: {rundir: {type: 'string'}, rank: {type: 'string'}},
});
const record = await readStartRecord(String(values['rundir']));
if (record === null) throw new Error('no start record');

async function startFake(options: StartBrokerOptions): Promise<RunningBroker> {
	const {instance, rank, create, daemon} = options;
	await appendFile(join(orders, 'lives'), `${process.pid}\n`);
	const mode = (await readFile(join(orders, 'mode'), 'utf8').catch(() => '')).trim();
	if (mode === 'refuse') throw new SystemError('EINVAL', 'told to refuse');
	if (mode === 'hang') await new Promise(() => setInterval(() => undefined, 1000));
	const head = join(instance.statedir, 'HEAD');
	if (create) await writeFile(head, 'x');
	await readFile(head);
	let end!: (end: {exitCode: number; reason: string}) => void;
	const ended = new Promise<{exitCode: number; reason: string}>(resolve => (end = resolve));
	const registry = new ServiceRegistry();
	registry.register('state-machine.get', request => request.respond({state: 'run', duration: 0}));
	registry.register('attr.get', request => request.respond({value: String(daemon.pid), flags: 0}));
	registry.register(
		'shutdown.start',
		async request => {
			await daemon.shutdownAsked();
			request.respondStream({log: 'bye'});
			request.end();
			setTimeout(() => end({exitCode: 0, reason: 'shutdown'}), 50);
		},
		{streaming: 'always'},
	);
	const server = new RpcServer({
		registry,
		clock: new SystemClock(),
		leave: run => run(),
		name: `rank ${rank}`,
	});
	await options.beforeServing();
	// One that ends never answers: a start that asks in between would be told that it is up.
	if (mode.startsWith('exit:')) end({exitCode: Number(mode.slice(5)), reason: 'told to'});
	else await new UnixTransport().listen(localUri(instance.rundir, rank), link => server.accept(link));
	if (mode === 'throw') setImmediate(() => void Promise.reject(new Error('told to throw')));
	return {
		ended,
		terminate: async reason => end({exitCode: 0, reason}),
		panic: reason => end({exitCode: 1, reason}),
	};
}

process.exit(
	await runBrokerProcess({
		info: record.info,
		rank: Number(values['rank']),
		confs: [],
		attributes: {},
		hasDaemon: true,
		startBroker: startFake,
	}),
);
