/**
 * The lock of a state directory: an abstract unix socket named by the directory's device, inode and time of birth, which the kernel
 * releases when its holder dies, by whatever path the directory was reached. Whoever connects is told the pid.
 * LevelDB's own LOCK (fcntl) stands behind it for other network namespaces.
 */
import {stat} from 'node:fs/promises';
import {connect, createServer, type Server} from 'node:net';
import {SystemError} from '../../formats/errno.ts';

/** How long the holder may take to say its pid; it is only needed for the message. */
const PID_TIMEOUT_MS = 500;
/**
 * A lock that nobody answers for may be that of a process that is gone: whatever it had just forked holds all its
 * descriptors until it has called execve, and lets go within milliseconds.
 */
const RELEASE_TIMEOUT_MS = 3000;
const RELEASE_POLL_MS = 20;

export interface StoreLock {
	release(): Promise<void>;
}

/** @throws {SystemError} EBUSY with the holder's pid when it is known. */
export async function lockDirectory(path: string): Promise<StoreLock> {
	// An inode number is used again as soon as its directory is deleted, perhaps under the feet of a holder.
	const {dev, ino, birthtimeNs} = await stat(path, {bigint: true});
	const address = `\0coppice-store-${dev}-${ino}-${birthtimeNs}`;
	const endMs = performance.now() + RELEASE_TIMEOUT_MS;
	for (;;) {
		const server = createServer(socket => {
			socket.on('error', () => undefined); // The asker went away; nothing is owed to it.
			socket.end(`${process.pid}\n`);
		});
		try {
			await listen(server, address);
			server.unref(); // Holding a lock is no reason to stay alive.
			return {release: async () => new Promise(resolve => server.close(() => resolve()))};
		} catch (error) {
			if ((error as {code?: unknown}).code !== 'EADDRINUSE') throw error;
			const pid = await askHolder(address);
			if (pid === '' && performance.now() < endMs) {
				await new Promise(resolve => setTimeout(resolve, RELEASE_POLL_MS));
				continue;
			}
			const who = pid === '' ? 'another process' : `process ${pid}`;
			throw new SystemError('EBUSY', `The state directory ${path} is in use by ${who}`, {cause: error});
		}
	}
}

async function listen(server: Server, address: string): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(address, () => {
			server.off('error', reject);
			resolve();
		});
	});
}

async function askHolder(address: string): Promise<string> {
	return new Promise(resolve => {
		let text = '';
		const socket = connect(address);
		const end = () => {
			clearTimeout(timer);
			socket.destroy();
			resolve(/^\d+$/.test(text.trim()) ? text.trim() : '');
		};
		const timer = setTimeout(end, PID_TIMEOUT_MS);
		socket.setEncoding('latin1');
		socket.on('data', chunk => (text = `${text}${String(chunk)}`.slice(0, 32)));
		socket.on('end', end);
		socket.on('error', end);
	});
}
