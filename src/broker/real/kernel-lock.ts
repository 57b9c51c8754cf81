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

export interface LockHolder {
	/** Null: it does not say. */
	readonly pid: number | null;
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

/**
 * Who has the lock: null when nobody has, `{pid: null}` when its holder does not say. One that ends in the middle of the question
 * (its socket closes some time after its main thread has gone) has it no more: it is asked again.
 */
export async function lockHolder(name: string): Promise<LockHolder | null> {
	const endMs = performance.now() + HOLDER_ANSWER_MS;
	for (;;) {
		const holder = await ask(name, endMs - performance.now());
		if (holder !== 'hung up') return holder;
		if (performance.now() >= endMs) return {pid: null};
	}
}

async function ask(name: string, timeoutMs: number): Promise<LockHolder | null | 'hung up'> {
	return new Promise(resolve => {
		const socket = connect(`\0${name}`);
		let text = '';
		const settle = (holder: LockHolder | null | 'hung up') => {
			clearTimeout(timer);
			socket.destroy();
			resolve(holder);
		};
		const timer = setTimeout(() => settle({pid: null}), timeoutMs);
		socket.setEncoding('latin1');
		socket.on('data', chunk => (text = `${text}${String(chunk)}`.slice(0, 32)));
		socket.on('end', () => settle(/^[1-9][0-9]*\n$/.test(text) ? {pid: Number(text)} : 'hung up'));
		socket.on('error', ({code}: NodeJS.ErrnoException) => {
			if (code === 'ECONNRESET' || code === 'EPIPE') return settle('hung up');
			// Nobody listens; anything else (a full backlog) means that somebody does.
			settle(code === 'ECONNREFUSED' || code === 'ENOENT' ? null : {pid: null});
		});
	});
}
