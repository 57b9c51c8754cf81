/**
 * From accepted TCP connections to links of peers that have the instance's key. Invariants: bytes of a peer reach nobody
 * before it has proved that it has the key; what waits for a proof is bounded in number and time, so that whoever has no
 * key costs little; each one that is refused is told about once, with its address and the reason.
 */
import type {KeyObject} from 'node:crypto';
import type {Socket} from 'node:net';
import {createServer, type SecureContextOptions, type Server, type TLSSocket} from 'node:tls';
import {SystemError} from '../../formats/errno.ts';
import {hostPortText, networkOf, plainAddress} from '../address.ts';
import {RateLimit, SourceLimits, type Rate} from '../rate-limit.ts';
import {keyFault} from './key-fault.ts';
import {tlsReason} from './tls-reason.ts';

export interface AcceptLimits {
	/** From the connection to the proof. */
	readonly handshakeMs: number;
	/** Handshakes at a time; when one more comes, the oldest gives way: who has the key needs milliseconds. */
	readonly handshakesMax: number;
	/** Handshakes altogether. */
	readonly rate: Rate;
	/** Handshakes of one address (IPv6: of one /64), so that one host can't use up the others' share. */
	readonly ratePerAddress: Rate;
}

/** A connection that got nowhere. */
export interface Refusal {
	/** `host:port` of the other side. */
	readonly address: string;
	readonly error: SystemError;
}

export interface AcceptorOptions {
	readonly secure: SecureContextOptions;
	readonly publicKey: KeyObject;
	readonly limits: AcceptLimits;
	readonly onSecure: (socket: TLSSocket, address: string) => void;
	readonly onRefused: (refusal: Refusal) => void;
}

/** A connection whose other side has proved nothing yet. */
interface Pending {
	readonly raw: Socket;
	readonly address: string;
	readonly deadline: NodeJS.Timeout;
}

export class TlsAcceptor {
	readonly #options: AcceptorOptions;
	readonly #tls: Server;
	/** The oldest first. */
	readonly #pending = new Map<string, Pending>();
	readonly #rate: RateLimit;
	readonly #addressRates: SourceLimits;

	constructor(options: AcceptorOptions) {
		this.#options = options;
		this.#rate = new RateLimit(options.limits.rate);
		this.#addressRates = new SourceLimits(options.limits.ratePerAddress);
		// Never listens: connections are put in one by one. Who is accepted is for keyFault to say, and for nothing else:
		// there is no authority to ask, and Node's own check would refuse without telling why.
		this.#tls = createServer({...options.secure, requestCert: true, rejectUnauthorized: false});
		this.#tls.on('secureConnection', socket => this.#judge(socket));
		this.#tls.on('tlsClientError', (error, socket) => {
			// Node destroys the socket.
			this.#told(nameOf(socket), new SystemError('EPROTO', `TLS: ${tlsReason(error)}`));
		});
	}

	/** Takes charge of a connection. */
	accept(raw: Socket): void {
		const {limits} = this.#options;
		const {remoteAddress = '', remotePort = 0} = raw;
		const address = hostPortText(plainAddress(remoteAddress), remotePort);
		const nowMs = performance.now();
		if (!this.#addressRates.take(networkOf(remoteAddress), nowMs)) {
			const perS = limits.ratePerAddress.perS;
			this.#drop(raw, address, `more than ${perS} connections a second from this address`);
			return;
		}
		if (!this.#rate.take(nowMs)) {
			this.#drop(raw, address, `more than ${limits.rate.perS} connections a second`);
			return;
		}
		if (this.#pending.size >= limits.handshakesMax) {
			const [oldest = ''] = this.#pending.keys();
			const text = `gave way to a newer one: ${limits.handshakesMax} handshakes were under way`;
			this.#refuse(oldest, new SystemError('EAGAIN', text));
		}
		const name = nameOf(raw);
		const deadline = setTimeout(() => {
			this.#refuse(name, new SystemError('ETIMEDOUT', `no handshake within ${limits.handshakeMs} ms`));
		}, limits.handshakeMs);
		this.#pending.set(name, {raw, address, deadline});
		raw.once('close', () => {
			this.#told(name, new SystemError('ECONNRESET', 'closed the connection within the handshake'));
		});
		raw.on('error', () => undefined); // 'close' follows.
		this.#tls.emit('connection', raw);
	}

	/** Ends what has proved nothing yet. */
	close(): void {
		for (const {raw, deadline} of this.#pending.values()) {
			clearTimeout(deadline);
			raw.destroy();
		}
		this.#pending.clear();
	}

	#judge(socket: TLSSocket): void {
		const name = nameOf(socket);
		const pending = this.#pending.get(name);
		if (pending === undefined) return; // It was refused just now, and its end is under way.
		const fault = keyFault(socket, this.#options.publicKey);
		if (fault !== null) {
			this.#told(name, new SystemError('EPERM', fault));
			socket.on('error', () => undefined);
			socket.destroy();
			return;
		}
		clearTimeout(pending.deadline);
		this.#pending.delete(name);
		this.#options.onSecure(socket, pending.address);
	}

	/** Never together with a `destroy` of the TLS socket on it, which must not find its ground gone: Node would crash. */
	#refuse(name: string, error: SystemError): void {
		const raw = this.#pending.get(name)?.raw;
		this.#told(name, error);
		raw?.destroy();
	}

	#told(name: string, error: SystemError): void {
		const pending = this.#pending.get(name);
		if (pending === undefined) return; // It got through, or was told about before.
		clearTimeout(pending.deadline);
		this.#pending.delete(name);
		this.#options.onRefused({address: pending.address, error});
	}

	/** Without any cryptography. */
	#drop(raw: Socket, address: string, text: string): void {
		raw.on('error', () => undefined);
		raw.resetAndDestroy();
		this.#options.onRefused({address, error: new SystemError('EAGAIN', text)});
	}
}

/** What tells a connection from all others that are open; the same for the plain socket and for the TLS socket on it. */
function nameOf({localAddress, localPort, remoteAddress, remotePort}: Socket): string {
	return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
