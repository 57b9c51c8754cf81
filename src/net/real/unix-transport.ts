/**
 * The transport port over unix sockets. A socket file is taken over only from a listener that is provably gone, by one
 * process at a time; the directory around it must be closed to other users, since whoever connects is the owner.
 */
import {promises} from 'node:fs';
import {connect, createServer, type Server, type Socket} from 'node:net';
import {dirname} from 'node:path';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {takeLock} from '../../ports/real/kernel-lock.ts';
import type {Link, Listener, Transport} from '../../ports/transport.ts';
import {socketPathOf} from '../address.ts';
import {SocketLink} from './socket-link.ts';

const PROBE_MS = 1000;
/** A full backlog of a unix socket says EAGAIN at once; another attempt follows until the time is up. */
const BUSY_RETRY_MS = 10;

export class UnixTransport implements Transport {
	/**
	 * Called with each connection that the kernel had and this process could not take (EMFILE); its client sees
	 * ECONNRESET, and listening goes on.
	 */
	onAcceptError: (error: SystemError) => void = () => {};

	async listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
		const path = socketPathOf(address);
		await checkDirectory(path);
		let accepted = 0;
		const server = createServer(socket => onLink(new SocketLink(socket, `client ${++accepted} of ${path}`)));
		try {
			await bind(server, path);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') {
				throw asSystemError(error, 'EIO', `listening at ${path}`);
			}
			await takeOver(server, path);
		}
		server.on('error', error => this.onAcceptError(asSystemError(error, 'EIO', `accepting at ${path}`)));
		return {address, close: async () => closeServer(server)};
	}

	async connect(address: string, {timeoutMs}: {readonly timeoutMs: number}): Promise<Link> {
		const path = socketPathOf(address);
		return dial(path, timeoutMs);
	}
}

async function checkDirectory(path: string): Promise<void> {
	const directory = dirname(path);
	let mode: number;
	try {
		mode = (await promises.stat(directory)).mode & 0o777;
	} catch (error) {
		throw asSystemError(error, 'EIO', `directory of the socket ${path}`);
	}
	if ((mode & 0o077) !== 0) {
		throw new SystemError(
			'EPERM',
			`directory ${directory} of the socket is open to other users (mode 0${mode.toString(8)}); it must have mode 0700`,
		);
	}
}

/**
 * Two processes that find the same dead socket could each remove the other's new one: a lock lets one of them through
 * at a time.
 */
async function takeOver(server: Server, path: string): Promise<void> {
	const {createHash} = process.getBuiltinModule('node:crypto'); // Listeners need it, and short commands are none.
	const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
	const lock = await takeLock(`coppice-listen-${name}`);
	if (lock === null) throw new SystemError('EADDRINUSE', `another process is about to listen at ${path}`);
	try {
		await removeDeadSocket(path);
		await bind(server, path);
	} catch (error) {
		if (error instanceof SystemError) throw error;
		throw asSystemError(error, 'EIO', `listening at ${path}`);
	} finally {
		await lock.release();
	}
}

/** @throws {SystemError} EADDRINUSE when somebody serves it, EEXIST when it is no socket. */
async function removeDeadSocket(path: string): Promise<void> {
	if (!(await promises.lstat(path)).isSocket())
		throw new SystemError('EEXIST', `${path} is in the way: it is not a socket`);
	try {
		(await dial(path, PROBE_MS)).destroy();
	} catch (error) {
		const {code} = asSystemError(error);
		if (code === 'ECONNREFUSED' || code === 'ENOENT') {
			await promises.unlink(path).catch((cause: NodeJS.ErrnoException) => {
				if (cause.code !== 'ENOENT') throw cause;
			});
			return;
		}
		if (code !== 'ETIMEDOUT' && code !== 'EAGAIN') throw error;
		// Somebody serves it, too busy or stopped to accept.
	}
	throw new SystemError('EADDRINUSE', `another process serves ${path}`);
}

function bind(server: Server, path: string): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(path, () => {
			server.off('error', reject);
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

/** A connected link, or a rejection: all attempts together take at most `timeoutMs`. */
function dial(path: string, timeoutMs: number): Promise<SocketLink> {
	return new Promise((resolve, reject) => {
		let socket: Socket;
		let retry: NodeJS.Timeout | undefined;
		const giveUp = setTimeout(() => {
			clearTimeout(retry);
			socket.destroy();
			reject(new SystemError('ETIMEDOUT', `connecting to ${path}: no answer within ${timeoutMs} ms`));
		}, timeoutMs);
		const attempt = () => {
			socket = connect(path);
			const fail = (error: NodeJS.ErrnoException) => {
				if (error.code === 'EAGAIN') {
					retry = setTimeout(attempt, BUSY_RETRY_MS);
					return;
				}
				clearTimeout(giveUp);
				reject(asSystemError(error, 'ECONNREFUSED', `connecting to ${path}`));
			};
			socket.once('error', fail);
			socket.once('connect', () => {
				clearTimeout(giveUp);
				socket.off('error', fail);
				resolve(new SocketLink(socket, path)); // Here, so that no event of the socket is missed.
			});
		};
		attempt();
	});
}
