/**
 * The socket of the job shell. One broker at a time: a new connection that says hello replaces the old one, because
 * a restarted broker must not wait for the kernel to notice the death of the one before.
 */

import {rmSync} from 'node:fs';
import {createServer, type Server, type Socket} from 'node:net';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {
	commonProtocol,
	decodeBrokerMessage,
	encodeMessage,
	LineSplitter,
	SHELL_PROTOCOL,
	SHELL_PROTOCOL_MIN,
	SHELL_QUEUE_BYTES_MAX,
	type BrokerMessage,
	type ShellMessage,
} from '../shell-protocol.ts';

export interface ShellServerOptions {
	readonly path: string;
	readonly instance: string;
	readonly rank: number;
	readonly log: (text: string) => void;
	/** What the shell says of itself, but for the version. */
	readonly hello: () => {readonly pid: number; readonly launcherPid: number | null; readonly bootId: string};
	readonly onMessage: (message: Exclude<BrokerMessage, {type: 'hello'}>) => void;
	/** A broker has come (true), or the last one is gone. */
	readonly onBroker: (isThere: boolean) => void;
}

/** A connection that has not said hello by then is none of a broker's. */
const HELLO_TIMEOUT_MS = 5000;

export class ShellServer {
	readonly #options: ShellServerOptions;
	readonly #server: Server;
	#broker: Socket | null = null;
	#protocol = 0;
	#pending = '';

	constructor(options: ShellServerOptions) {
		this.#options = options;
		this.#server = createServer(socket => this.#accept(socket));
	}

	get hasBroker(): boolean {
		return this.#broker !== null;
	}

	/** The version that the broker of this moment speaks, or the last one did. */
	get protocol(): number {
		return this.#protocol;
	}

	/** Listens. A leftover socket file is replaced: whoever holds the shell's lock is the only one. */
	async listen(): Promise<void> {
		rmSync(this.#options.path, {force: true});
		await new Promise<void>((resolve, reject) => {
			this.#server.once('error', reject);
			this.#server.listen(this.#options.path, resolve);
		});
	}

	/** Sends to the broker, if there is one. Messages of one turn go out in one write. */
	send(message: ShellMessage): void {
		if (this.#broker === null) return;
		if (this.#pending === '') setImmediate(() => this.#flush());
		this.#pending += encodeMessage(message);
		if (this.#pending.length > 1024 * 1024) this.#flush();
	}

	/** Sends what is queued and stops. */
	close(): void {
		this.#flush();
		this.#broker?.end();
		this.#server.close();
		rmSync(this.#options.path, {force: true});
	}

	#flush(): void {
		const text = this.#pending;
		this.#pending = '';
		if (this.#broker === null || text === '') return;
		this.#broker.write(text);
		if (this.#broker.writableLength > SHELL_QUEUE_BYTES_MAX) {
			this.#options.log('the broker does not read: cutting it off');
			this.#broker.destroy();
		}
	}

	#accept(socket: Socket): void {
		const lines = new LineSplitter();
		let hasHello = false;
		const deadline = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
		socket.setEncoding('utf8');
		socket.on('data', (text: string) => {
			try {
				for (const line of lines.push(text)) {
					const message = decodeBrokerMessage(line);
					if (message.type === 'hello') {
						clearTimeout(deadline);
						hasHello = this.#welcome(socket, message);
					} else if (hasHello && this.#broker === socket) this.#options.onMessage(message);
				}
			} catch (error) {
				const {code, message} = asSystemError(error, 'EPROTO');
				this.#options.log(`a message of the broker failed: ${code}: ${message}`);
				socket.end(encodeMessage({type: 'refused', error: {code, message}}));
			}
		});
		socket.on('error', () => socket.destroy());
		socket.on('close', () => {
			clearTimeout(deadline);
			if (this.#broker !== socket) return;
			this.#broker = null;
			this.#pending = '';
			this.#options.onBroker(false);
		});
	}

	#welcome(socket: Socket, hello: Extract<BrokerMessage, {type: 'hello'}>): boolean {
		const {instance, rank} = this.#options;
		const protocol = commonProtocol(hello);
		const refusal =
			hello.instance !== instance || hello.rank !== rank
				? new SystemError(
						'EINVAL',
						`this shell is of rank ${rank} of instance ${instance}, not of rank ${hello.rank} of ${hello.instance}`,
					)
				: protocol === undefined
					? new SystemError(
							'EPROTONOSUPPORT',
							`this shell (pid ${process.pid}) speaks protocol ${SHELL_PROTOCOL_MIN} to ${SHELL_PROTOCOL}, ` +
								`the broker ${hello.protocolMin} to ${hello.protocol}`,
						)
					: undefined;
		if (refusal !== undefined || protocol === undefined) {
			const {code, message} = refusal ?? new SystemError('EPROTO', 'no protocol');
			socket.end(encodeMessage({type: 'refused', error: {code, message}}));
			return false;
		}
		const before = this.#broker;
		this.#flush();
		this.#broker = socket;
		this.#protocol = protocol;
		before?.destroy();
		socket.write(encodeMessage({type: 'hello', protocol, ...this.#options.hello()}));
		this.#options.onBroker(true);
		return true;
	}
}
