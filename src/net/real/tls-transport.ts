/**
 * The transport port over TCP with TLS 1.3, where both sides prove that they have the instance's key. Invariant: there is no
 * link, and not a byte for anyone, without that proof; nothing is ever sent or taken in the clear.
 */
import {createServer, type Server} from 'node:net';
import {connect, createSecureContext, type SecureContext, type SecureContextOptions} from 'node:tls';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Link, Listener, Transport} from '../../ports/transport.ts';
import {ANY_HOST, hostPortOf, hostPortText, type HostPort} from '../address.ts';
import type {InstanceKey} from './instance-key.ts';
import {keyFault} from './key-fault.ts';
import {SocketLink} from './socket-link.ts';
import {TlsAcceptor, type AcceptLimits, type Refusal} from './tls-acceptor.ts';
import {tlsReason} from './tls-reason.ts';

/** Handshakes under way at one listener. */
export const HANDSHAKES_MAX = 64;

export const ACCEPT_LIMITS: AcceptLimits = {
	handshakeMs: 10_000,
	handshakesMax: HANDSHAKES_MAX,
	// A handshake costs about a millisecond of the event loop.
	rate: {burst: 128, perS: 128},
	ratePerAddress: {burst: 64, perS: 16},
};

export class TlsTransport implements Transport {
	/** Called once with each connection that did not become a link. */
	onRefused: (refusal: Refusal) => void = () => {};
	/** Called with each connection that the kernel had and this process could not take (EMFILE). */
	onAcceptError: (error: SystemError) => void = () => {};

	readonly #key: InstanceKey;
	readonly #limits: AcceptLimits;
	readonly #secure: SecureContextOptions;
	readonly #context: SecureContext;

	constructor(key: InstanceKey, limits: AcceptLimits = ACCEPT_LIMITS) {
		this.#key = key;
		this.#limits = limits;
		this.#secure = {
			key: key.privateKeyPem,
			cert: key.certificatePem,
			minVersion: 'TLSv1.3',
			maxVersion: 'TLSv1.3',
		};
		this.#context = createSecureContext(this.#secure);
	}

	/** `tls://host:port`, or `tls://*:port` for all interfaces. @throws {SystemError} EADDRINUSE, EACCES, EINVAL, EIO */
	async listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
		const at = hostPortOf(address);
		const acceptor = new TlsAcceptor({
			secure: this.#secure,
			publicKey: this.#key.publicKey,
			limits: this.#limits,
			onSecure: (socket, peer) => onLink(new SocketLink(socket, peer)),
			onRefused: refusal => this.onRefused(refusal),
		});
		const server = createServer(
			{noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS},
			socket => acceptor.accept(socket),
		);
		await bind(server, at);
		server.on('error', error => this.onAcceptError(asSystemError(error, 'EIO', `accepting at ${address}`)));
		return {
			address,
			close: async () => {
				acceptor.close();
				await closeServer(server);
			},
		};
	}

	/**
	 * @throws {SystemError} EPERM: the other side has not the instance's key; EPROTO: it does not speak TLS 1.3;
	 * EHOSTUNREACH: nobody has that name or address; ECONNREFUSED, ECONNRESET, ETIMEDOUT.
	 */
	async connect(address: string, {timeoutMs}: {readonly timeoutMs: number}): Promise<Link> {
		const at = hostPortOf(address);
		if (at.host === ANY_HOST) throw new SystemError('EINVAL', `address ${address} is for listening only`);
		return this.#dial(at, timeoutMs);
	}

	#dial(at: HostPort, timeoutMs: number): Promise<Link> {
		const peer = hostPortText(at.host, at.port);
		return new Promise((resolve, reject) => {
			const socket = connect({
				...at,
				secureContext: this.#context,
				rejectUnauthorized: false, // keyFault judges instead: there is no authority, and no host names.
			});
			socket.setNoDelay(true);
			socket.setKeepAlive(true, KEEPALIVE_MS);
			const settle = (error: SystemError | null) => {
				clearTimeout(giveUp);
				socket.off('error', fail);
				if (error === null) {
					resolve(new SocketLink(socket, peer)); // Here, so that no event of the socket is missed.
					return;
				}
				socket.on('error', () => undefined);
				socket.destroy();
				reject(error);
			};
			const fail = (error: Error) => settle(connectError(error, peer));
			const giveUp = setTimeout(() => {
				settle(new SystemError('ETIMEDOUT', `connecting to ${peer}: no answer within ${timeoutMs} ms`));
			}, timeoutMs);
			socket.once('error', fail);
			socket.once('secureConnect', () => {
				const fault = keyFault(socket, this.#key.publicKey);
				const text = `connecting to ${peer}: it is not a broker of this instance: ${fault}`;
				settle(fault === null ? null : new SystemError('EPERM', text));
			});
		});
	}
}

/** Silence after which the kernel asks the other side; ten unanswered questions, one a second, end the connection. */
const KEEPALIVE_MS = 10_000;

/** Of errors that errno does not know. */
const UNREACHABLE: readonly unknown[] = ['ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN'];

function connectError(error: Error, peer: string): SystemError {
	// A name with several addresses: each attempt has its error.
	const last = error instanceof AggregateError ? ((error.errors as Error[]).at(-1) ?? error) : error;
	const {code} = last as {readonly code?: unknown};
	const what = `connecting to ${peer}`;
	if (UNREACHABLE.includes(code))
		return new SystemError('EHOSTUNREACH', `${what}: ${last.message}`, {cause: error});
	if (typeof code === 'string' && code.startsWith('ERR_SSL_')) {
		return new SystemError('EPROTO', `${what}: TLS: ${tlsReason(last)}`, {cause: error});
	}
	return asSystemError(last, 'ECONNREFUSED', what);
}

async function bind(server: Server, {host, port}: HostPort): Promise<void> {
	const where = host === ANY_HOST ? {port} : {host, port, ipv6Only: true};
	await new Promise<void>((resolve, reject) => {
		const fail = (error: Error) =>
			reject(asSystemError(error, 'EIO', `listening at ${hostPortText(host, port)}`));
		server.once('error', fail);
		server.listen(where, () => {
			server.off('error', fail);
			resolve();
		});
	});
}

function closeServer(server: Server): Promise<void> {
	// Not the callback of close: that waits for the links, which are not ours. The handle is gone when this returns.
	return new Promise(resolve => {
		if (server.listening) server.close();
		setImmediate(resolve);
	});
}
