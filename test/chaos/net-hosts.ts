/**
 * Hosts in a row as network namespaces of the test's own: host r and host r + 1 share one link, and each hop has a subnet of
 * its own. A direction of a link can be cut: packets are dropped, sockets stay open, and nobody is told. Invariant: `destroy`
 * leaves no namespace; those of a test that was killed are removed by the next one.
 *
 * A cut is a wrong hardware address in the sender's neighbour table: the frames cross the link, and the kernel of the other
 * host drops them, since they are for somebody else. That needs neither a packet filter nor a queueing discipline.
 */
import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import type {HostRow} from './host-row.ts';

const PREFIX = 'coppice-test-';
const PORT = 8050;
const NOBODY = '02:00:00:00:00:99';

/** Why this machine can't do it; null: it can. */
export function netHostsFault(): string | null {
	const name = `${PREFIX}${process.pid}-probe`;
	try {
		ip('netns', 'add', name);
		ip('-n', name, 'link', 'add', 'probe', 'type', 'veth', 'peer', 'name', 'probe2');
		return null;
	} catch (error) {
		return `no network namespaces: ${(error as Error).message}`;
	} finally {
		try {
			ip('netns', 'del', name);
		} catch {
			// It was not made.
		}
	}
}

export class NetHosts implements HostRow {
	readonly count: number;
	readonly #wrong = new Set<string>();

	constructor(count: number) {
		this.count = count;
		removeStale();
		try {
			for (let host = 0; host < count; host += 1) {
				ip('netns', 'add', this.#name(host));
				ip('-n', this.#name(host), 'link', 'set', 'lo', 'up');
			}
			for (let host = 0; host + 1 < count; host += 1) this.#link(host, host + 1);
		} catch (error) {
			this.destroy();
			throw error;
		}
	}

	/** Where others find this host: its address on the link to the next one; the last host has one only. */
	address(host: number): string {
		return host + 1 < this.count ? addressOn(host, host) : addressOn(host - 1, host);
	}

	portsFor(): readonly number[] {
		return [PORT];
	}

	/** The words before a command that runs on this host; mounts stay those of everybody. */
	enter(host: number): string[] {
		return ['nsenter', `--net=/run/netns/${this.#name(host)}`];
	}

	/** From now on nothing that `from` sends arrives at its neighbour `to`. */
	cut(from: number, to: number): void {
		this.#teach(from, to, NOBODY);
		this.#wrong.add(`${from} ${to}`);
	}

	heal(): void {
		for (const each of this.#wrong) {
			const [from, to] = each.split(' ').map(Number) as [number, number];
			this.#teach(from, to, hardwareOf(Math.min(from, to), to));
		}
		this.#wrong.clear();
	}

	destroy(): void {
		for (let host = 0; host < this.count; host += 1) removeNamespace(this.#name(host));
	}

	#link(left: number, right: number): void {
		const [a, b] = [this.#name(left), this.#name(right)];
		const ends = [deviceOf(left, left), deviceOf(left, right)] as const;
		ip('-n', a, 'link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1], 'netns', b);
		for (const [index, host] of [left, right].entries()) {
			const [name, device] = [this.#name(host), ends[index]!];
			ip('-n', name, 'link', 'set', device, 'address', hardwareOf(left, host));
			ip('-n', name, 'addr', 'add', `${addressOn(left, host)}/24`, 'dev', device);
			ip('-n', name, 'link', 'set', device, 'up');
		}
		this.#teach(left, right, hardwareOf(left, right));
		this.#teach(right, left, hardwareOf(left, left));
	}

	#teach(from: number, to: number, hardware: string): void {
		const link = Math.min(from, to);
		const neighbour = [
			addressOn(link, to),
			'lladdr',
			hardware,
			'dev',
			deviceOf(link, from),
			'nud',
			'permanent',
		];
		ip('-n', this.#name(from), 'neigh', 'replace', ...neighbour);
	}

	#name(host: number): string {
		return `${PREFIX}${process.pid}-${host}`;
	}
}

/** The link between host `link` and the next one is a subnet; its left end is .1, its right end .2. */
function addressOn(link: number, host: number): string {
	return `10.213.${link}.${host === link ? 1 : 2}`;
}

function hardwareOf(link: number, host: number): string {
	return `02:00:00:00:0${link}:0${host === link ? 1 : 2}`;
}

function deviceOf(link: number, host: number): string {
	return `l${link}${host === link ? 'a' : 'b'}`;
}

function removeStale(): void {
	for (const line of ip('netns', 'list').split('\n')) {
		const [, pid] = /^coppice-test-(\d+)-/.exec(line) ?? [];
		if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(line.split(' ')[0]!);
	}
}

function removeNamespace(name: string): void {
	if (existsSync(`/run/netns/${name}`)) ip('netns', 'del', name);
}

function ip(...args: string[]): string {
	return execFileSync('ip', args, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
}
