/**
 * Locks that the kernel releases with their holder: listening abstract unix sockets (unix(7)). Whoever connects is told
 * the holder's pid. They are known to all processes of one network namespace.
 */
import {connect, createServer, type Server} from 'node:net';

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
/**
 * A lock that nobody answers for may be that of a process that is gone: whatever it had just forked holds all its
 * descriptors until it has called execve, and lets go within milliseconds.
 */
const RELEASE_TIMEOUT_MS = 3000;
/** Of sun_path, but for the NUL byte that makes it abstract. */
const NAME_BYTES = 107;

/**
 * Takes the lock, or returns null when another process has it: at once if that says so, after 3 s if it says nothing.
 * The lock does not keep the process alive.
 *
 * @param name at most 107 ASCII characters.
 * @throws {RangeError} for a longer one. @throws {Error} with the code that bind(2) or listen(2) gave, such as EMFILE.
 */
export async function takeLock(name: string): Promise<KernelLock | null> {
	const address = addressOf(name);
	const endMs = performance.now() + RELEASE_TIMEOUT_MS;
	for (;;) {
		const server = await listenOrNull(address);
		if (server !== null) return {release: () => close(server)};
		const holder = await lockHolder(name, endMs - performance.now());
		if (holder !== null) return null;
	}
}

/**
 * Who has the lock: null when nobody has, `{pid: null}` when its holder does not say so in time. One that ends in the middle of
 * the question (its socket closes some time after its main thread has gone) has it no more: it is asked again.
 */
export async function lockHolder(name: string, timeoutMs = HOLDER_ANSWER_MS): Promise<LockHolder | null> {
	const address = addressOf(name);
	const endMs = performance.now() + timeoutMs;
	for (;;) {
		const holder = await ask(address, endMs - performance.now());
		if (holder !== 'hung up') return holder;
		if (performance.now() >= endMs) return {pid: null};
	}
}

/**
 * An abstract name is as long as its address says. Some releases of Node.js say its length, others (20.x) that of all of
 * sun_path: only names that fill it are the same to both.
 */
function addressOf(name: string): string {
	if (name.length > NAME_BYTES) throw new RangeError(`the name of a lock is too long: ${name}`);
	return `\0${name.padEnd(NAME_BYTES, '\0')}`;
}

async function listenOrNull(address: string): Promise<Server | null> {
	const server = createServer(socket => {
		socket.on('error', () => undefined); // The asker went away; nothing is owed to it.
		socket.end(`${process.pid}\n`, () => socket.destroy()); // One that never closes holds up nobody.
	});
	try {
		await new Promise<void>((resolve, reject) => {
			server.once('error', reject);
			server.listen(address, resolve);
		});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return null;
		throw error;
	}
	server.unref();
	return server;
}

function close(server: Server): Promise<void> {
	// Not the callback of close: that waits for askers, who are not ours. The address is free when this returns.
	if (server.listening) server.close();
	return Promise.resolve();
}

async function ask(address: string, timeoutMs: number): Promise<LockHolder | null | 'hung up'> {
	return new Promise(resolve => {
		const socket = connect(address);
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
