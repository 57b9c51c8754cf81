/**
 * Locks that the kernel releases with their holder: listening abstract unix sockets (unix(7)). Whoever connects is told
 * the holder's pid. They are known to all processes of one network namespace.
 */
import {connect, createServer} from 'node:net';
import {asSystemError} from '../../formats/errno.ts';

export interface KernelLock {
	/** Gives the lock back; so does the end of the process. Idempotent. */
	release(): Promise<void>;
}

/** A holder that is stopped or wedged does not answer. */
const HOLDER_ANSWER_MS = 500;

/** Takes the lock, or returns null when another process has it. It does not keep the process alive. */
export async function takeLock(name: string): Promise<KernelLock | null> {
	const server = createServer(socket => {
		socket.on('error', () => undefined); // The asker went away; nothing is owed to it.
		socket.end(`${process.pid}\n`);
	});
	try {
		await new Promise<void>((resolve, reject) => {
			server.once('error', reject);
			server.listen(`\0${name}`, resolve);
		});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return null;
		throw asSystemError(error, 'EIO', `lock ${name}`);
	}
	server.unref();
	let released: Promise<void> | null = null;
	return {
		release: () => (released ??= new Promise<void>(resolve => server.close(() => resolve()))),
	};
}

/** Who has the lock: null when nobody has, `{pid: null}` when its holder does not say. */
export async function lockHolder(name: string): Promise<{readonly pid: number | null} | null> {
	return new Promise(resolve => {
		const socket = connect(`\0${name}`);
		let text = '';
		const settle = (holder: {readonly pid: number | null} | null) => {
			clearTimeout(timer);
			socket.destroy();
			resolve(holder);
		};
		const timer = setTimeout(() => settle({pid: null}), HOLDER_ANSWER_MS);
		socket.setEncoding('latin1');
		socket.on('data', chunk => (text = `${text}${String(chunk)}`.slice(0, 32)));
		socket.on('end', () => settle({pid: /^[1-9][0-9]*\n$/.test(text) ? Number(text) : null}));
		socket.on('error', (error: NodeJS.ErrnoException) =>
			// Nobody listens; anything else (a full backlog) means that somebody does.
			settle(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? null : {pid: null}),
		);
	});
}
