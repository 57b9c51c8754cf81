/**
 * Goal: brokers of several hosts, each started with `coppice broker` on the same configuration, meet over TLS, and what does
 * not belong to them is refused by name. Method: hosts are addresses of the loopback network; brokers are restarted as
 * systemd would.
 */
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {appendFileSync, chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {freePort} from '../net/free-port.ts';
import {call, until} from './start-fixture.ts';

const COPPICE = fileURLToPath(new URL('../../../bin/coppice', import.meta.url));

function coppice(...args: string[]) {
	const {status, stdout, stderr} = spawnSync(COPPICE, args, {encoding: 'utf8', timeout: 30_000});
	return {status, stdout, stderr};
}

class Cluster {
	readonly root = mkdtempSync(join(tmpdir(), 'coppice-cluster-'));
	readonly key = join(this.root, 'key');
	readonly conf = join(this.root, 'coppice.toml');
	readonly port: number;
	readonly #t: ExecutionContext;
	readonly #children = new Set<ChildProcess>();
	#isOver = false;

	constructor(t: ExecutionContext, port: number, {hosts = '127.0.0.[1-3]', topo = 'kary:1'} = {}) {
		this.#t = t;
		this.port = port;
		t.teardown(async () => this.#end());
		t.is(coppice('keygen', this.key).status, 0);
		writeFileSync(
			this.conf,
			`[bootstrap]\nhosts = "${hosts}"\nkey = "${this.key}"\nports = ${port}\n\n` +
				`[tbon]\ntopo = "${topo}"\nreconnect-max = "200ms"\n\n[resource]\ncores = 1\n`,
		);
	}

	argv(host: string, ...more: string[]): string[] {
		const at = (name: string) => join(this.root, `${host}-${name}`);
		const places = ['--statedir', at('state'), '--jobdir', at('jobs'), '--rundir', at('run')];
		return ['broker', '-S', `hostname=${host}`, ...places, '--conf', this.conf, ...more];
	}

	/** Runs a host's broker, again and again: as systemd, not after status 0 and 42. */
	run(host: string, ...more: string[]): void {
		const child = spawn(COPPICE, this.argv(host, ...more), {stdio: ['ignore', 'ignore', 'pipe']});
		this.#children.add(child);
		child.stderr.on('data', (chunk: Buffer) => appendFileSync(this.#logPath(host), chunk));
		child.once('exit', status => {
			this.#children.delete(child);
			if (!this.#isOver && status !== 0 && status !== 42) this.run(host, ...more);
		});
	}

	uri(host: string, rank: number): string {
		return `local://${join(this.root, `${host}-run`, `local-${rank}`)}`;
	}

	log(host: string): string {
		try {
			return readFileSync(this.#logPath(host), 'utf8');
		} catch {
			return '';
		}
	}

	/** An attribute, asked of one rank's own socket; null: it does not answer. */
	async attribute(host: string, rank: number, name: string): Promise<string | null> {
		try {
			return (await call(this.uri(host, rank), 'attr.get', {name}))['value'] as string;
		} catch {
			return null;
		}
	}

	/** The pid of a rank's broker, asked through the tree from the root; waits for it. */
	async pidThroughTree(rank: number, isOther = 0): Promise<number> {
		return until(`rank ${rank} through the tree`, async () => {
			const {stdout} = coppice(
				'--uri',
				this.uri('127.0.0.1', 0),
				'getattr',
				'-r',
				String(rank),
				'broker.pid',
			);
			const pid = Number(stdout);
			return pid > 0 && pid !== isOther ? pid : null;
		});
	}

	#logPath(host: string): string {
		return join(this.root, `${host}.log`);
	}

	async #end(): Promise<void> {
		this.#isOver = true;
		const ends = [...this.#children].map(child => new Promise(resolve => child.once('exit', resolve)));
		for (const child of this.#children) child.kill('SIGKILL');
		await Promise.all(ends);
		if (!this.#t.passed) for (const host of [1, 2, 3]) this.#t.log(this.log(`127.0.0.${host}`).slice(-2000));
		rmSync(this.root, {recursive: true, force: true});
	}
}

test.serial(
	'brokers of three hosts meet over TLS, and again after the one in the middle was killed',
	async t => {
		const cluster = new Cluster(t, await freePort());
		// A child may be there before its parent.
		for (const host of ['127.0.0.3', '127.0.0.2', '127.0.0.1']) cluster.run(host);
		const pid2 = await cluster.pidThroughTree(2);
		const pid1 = await cluster.pidThroughTree(1);
		t.is(await cluster.attribute('127.0.0.3', 2, 'broker.pid'), String(pid2));
		t.is(await cluster.attribute('127.0.0.2', 1, 'hostname'), '127.0.0.2');
		t.is(await cluster.attribute('127.0.0.1', 0, 'size'), '3');
		const ids = await Promise.all(
			[0, 1, 2].map(async rank => cluster.attribute(`127.0.0.${rank + 1}`, rank, 'instance-id')),
		);
		t.is(new Set(ids).size, 1);
		t.regex(ids[0]!, /^[0-9a-f-]{36}$/);

		process.kill(pid1, 'SIGKILL');
		t.not(await cluster.pidThroughTree(1, pid1), pid1);
		// Below a parent that was killed a broker begins anew.
		t.not(await cluster.pidThroughTree(2, pid2), pid2);

		const socket = connect(cluster.port, '127.0.0.1');
		t.teardown(() => socket.destroy());
		socket.on('error', () => {});
		socket.write('GET / HTTP/1.1\r\n\r\n');
		await until('the refusal in the log', async () =>
			/warning: tls: refused a connection from 127\.0\.0\.1:[0-9]+: EPROTO: TLS: /.test(
				cluster.log('127.0.0.1'),
			),
		);
	},
);

test.serial('a broker with another key gets nowhere, and both sides say so', async t => {
	const cluster = new Cluster(t, await freePort(), {hosts: '127.0.0.[1-2]'});
	cluster.run('127.0.0.1');
	const foreign = join(cluster.root, 'foreign');
	t.is(coppice('keygen', foreign).status, 0);
	cluster.run('127.0.0.2', '--conf', `bootstrap.key=${foreign}`);
	await until('the refusal at the parent', async () =>
		/refused a connection from 127\.0\.0\.1:[0-9]+: (EPERM: it has another key|ECONNRESET)/.test(
			cluster.log('127.0.0.1'),
		),
	);
	await until('the refusal at the child', async () =>
		cluster.log('127.0.0.2').includes('it is not a broker of this instance: it has another key'),
	);
});

test.serial(
	'what is wrong with a host, its rank or its key is refused with status 42, file and reason',
	async t => {
		const cluster = new Cluster(t, await freePort());
		const refuses = (argv: readonly string[], message: RegExp) => {
			const {status, stderr} = coppice(...argv);
			t.is(status, 42, stderr);
			t.regex(stderr, message);
		};
		const place = `${cluster.conf}:2: bootstrap\\.hosts: `;
		refuses(
			cluster.argv('127.0.0.9'),
			new RegExp(`EINVAL: ${place}this host, 127\\.0\\.0\\.9, is not one of them`),
		);
		refuses(
			cluster.argv('127.0.0.2', '--rank', '2'),
			new RegExp(`${place}rank 2 is 127\\.0\\.0\\.3, and this host, 127\\.0\\.0\\.2, is rank 1`),
		);
		refuses(cluster.argv('127.0.0.2', '--rank', '3'), new RegExp(`${place}there is no rank 3`));
		refuses(
			cluster.argv('127.0.0.2', '--conf', 'bootstrap.prots=1'),
			/--conf bootstrap\.prots=1: .*unknown key/,
		);
		refuses(
			cluster.argv('127.0.0.2', '--conf', 'bootstrap.key=/nowhere/key'),
			/ENOENT: key \/nowhere\/key: /,
		);
		chmodSync(cluster.key, 0o640);
		refuses(
			cluster.argv('127.0.0.2'),
			new RegExp(`EPERM: key ${cluster.key}: readable by group or others \\(mode 0640\\)`),
		);
		chmodSync(cluster.key, 0o600);
		const {status, stderr} = coppice('start', '--detach', '--conf', cluster.conf);
		t.is(status, 1);
		t.regex(
			stderr,
			new RegExp(`${place.replace('hosts: ', 'hosts')} names 3 hosts: run 'coppice broker' on each`),
		);
	},
);
