/**
 * A real instance whose brokers are on hosts of their own and speak TLS: one `coppice broker` a host, restarted as systemd
 * would. Hosts stand in a row, and the tree is that row: rank 0, below it rank 1, below that rank 2.
 */
import {spawn} from 'node:child_process';
import {appendFileSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {COPPICE} from './coppice-command.ts';
import type {HostRow} from './host-row.ts';
import {Tree} from './tree.ts';

const EXIT_REFUSED = 42;
const RESTART_MS = 100;

export class Hosts extends Tree {
	readonly net: HostRow;
	#isOver = false;

	constructor({
		size,
		net,
		tbon,
	}: {
		readonly size: number;
		readonly net: HostRow;
		readonly tbon: readonly string[];
	}) {
		super({size, fanout: 1});
		this.net = net;
		const hosts = this.ranks.map(rank => JSON.stringify(net.address(rank))).join(', ');
		for (const rank of this.ranks) {
			const ports = `ports = [${net.portsFor(rank).join(', ')}]`;
			const bootstrap = ['[bootstrap]', `hosts = [${hosts}]`, `key = "${this.#key}"`, ports];
			const lines = [...bootstrap, '[tbon]', 'topo = "kary:1"', ...tbon, '[resource]', 'cores = 4', ''];
			writeFileSync(this.#confOf(rank), lines.join('\n'));
		}
	}

	override async start(): Promise<void> {
		await this.ok('keygen', this.#key);
		for (const rank of this.ranks) {
			mkdirSync(this.rundirOf(rank), {mode: 0o700});
			this.#run(rank);
		}
		await this.whole();
		await this.began();
	}

	override rundirOf(rank: number): string {
		return rank === 0 ? this.rundir : `${this.rundir}-${rank}`;
	}

	override async destroy(): Promise<void> {
		this.#isOver = true;
		try {
			await super.destroy();
		} finally {
			this.net.destroy();
		}
	}

	get #key(): string {
		return join(this.root, 'key');
	}

	#confOf(rank: number): string {
		return join(this.root, `coppice-${rank}.toml`);
	}

	/** Again and again: as systemd, not after status 0 and 42. */
	#run(rank: number): void {
		const of = (path: string) => (rank === 0 ? path : `${path}-${rank}`);
		const places = [
			'--statedir',
			of(this.statedir),
			'--jobdir',
			of(this.jobdir),
			'--rundir',
			this.rundirOf(rank),
		];
		const argv = [
			COPPICE,
			'broker',
			...places,
			'--conf',
			this.#confOf(rank),
			'-S',
			`hostname=${this.net.address(rank)}`,
		];
		const [command, ...words] = [...this.net.enter(rank), process.execPath, ...argv];
		const child = spawn(command!, words, {stdio: ['ignore', 'ignore', 'pipe'], cwd: this.root});
		const log = join(this.rundirOf(rank), `broker-${rank}.log`);
		child.stderr.on('data', (chunk: Buffer) => {
			if (!this.#isOver) appendFileSync(log, chunk);
		});
		child.once('exit', status => {
			if (this.#isOver || status === 0 || status === EXIT_REFUSED) return;
			setTimeout(() => {
				if (!this.#isOver) this.#run(rank);
			}, RESTART_MS);
		});
	}
}
