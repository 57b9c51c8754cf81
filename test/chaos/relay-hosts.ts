/**
 * Hosts in a row as loopback addresses, for machines without network namespaces: each host r + 1 reaches host r through a relay
 * of the test, and a direction is cut when the relay stops to pass on what comes. Both sockets stay open, and the end of one is not
 * told to the other either. Invariant: after `destroy` the relay has no socket.
 */
import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {freePort} from '../net/free-port.ts';
import type {HostRow} from './host-row.ts';

export class RelayHosts implements HostRow {
	readonly #ports: readonly number[];
	readonly #relays: readonly Server[];
	readonly #pipes = new Set<Pipe>();
	readonly #cuts = new Set<string>();

	private constructor(ports: readonly number[], relays: readonly Server[]) {
		this.#ports = ports;
		this.#relays = relays;
		for (const [host, relay] of relays.entries()) {
			relay.on('connection', (below: Socket) => this.#join({above: host, below: host + 1, socket: below}));
		}
	}

	static async open(count: number): Promise<RelayHosts> {
		const hosts = Array.from({length: count}, (_, host) => host);
		const ports = await Promise.all(hosts.map(async host => freePort(addressOf(host))));
		const relays = await Promise.all(hosts.slice(0, -1).map(async host => listening(addressOf(host))));
		return new RelayHosts(ports, relays);
	}

	address(host: number): string {
		return addressOf(host);
	}

	/** A child is told the port of the relay for its parent's. */
	portsFor(host: number): readonly number[] {
		return this.#ports.map((port, of) => (of === host - 1 ? portOf(this.#relays[of]!) : port));
	}

	enter(): string[] {
		return [];
	}

	cut(from: number, to: number): void {
		this.#cuts.add(`${from} ${to}`);
		for (const pipe of this.#pipes) if (pipe.name === `${from} ${to}`) pipe.stop();
	}

	heal(): void {
		this.#cuts.clear();
		for (const pipe of this.#pipes) pipe.resume();
	}

	destroy(): void {
		for (const relay of this.#relays) relay.close();
		for (const pipe of this.#pipes) pipe.destroy();
	}

	#join({above, below, socket}: {above: number; below: number; socket: Socket}): void {
		const upper = connect(this.#ports[above]!, addressOf(above));
		const up = new Pipe(`${below} ${above}`, socket, upper);
		const down = new Pipe(`${above} ${below}`, upper, socket);
		for (const pipe of [up, down]) {
			this.#pipes.add(pipe);
			pipe.onEnd = () => this.#pipes.delete(pipe);
			if (this.#cuts.has(pipe.name)) pipe.stop();
		}
	}
}

/** One direction of a connection. */
class Pipe {
	readonly name: string;
	onEnd: () => void = () => {};
	readonly #from: Socket;
	readonly #to: Socket;
	#isStopped = false;
	#isOver = false;

	constructor(name: string, from: Socket, to: Socket) {
		this.name = name;
		this.#from = from;
		this.#to = to;
		from.on('error', () => undefined); // 'close' follows.
		from.on('data', (chunk: Buffer) => to.write(chunk));
		from.on('close', () => {
			this.#isOver = true;
			if (!this.#isStopped) this.#end();
		});
	}

	stop(): void {
		this.#isStopped = true;
		this.#from.pause();
	}

	resume(): void {
		this.#isStopped = false;
		if (this.#isOver) this.#end();
		else this.#from.resume();
	}

	destroy(): void {
		this.#from.destroy();
		this.#to.destroy();
	}

	#end(): void {
		this.#to.end();
		this.onEnd();
	}
}

function addressOf(host: number): string {
	return `127.0.0.${host + 1}`;
}

async function listening(address: string): Promise<Server> {
	const server = createServer();
	server.listen(0, address);
	await once(server, 'listening');
	return server;
}

function portOf(server: Server): number {
	return (server.address() as AddressInfo).port;
}
