/**
 * Where shims bring the PMI requests of their tasks: a socket of the job shell, and for each part the file `pmi`, from which
 * the next shell goes on. A line is `PART TASK NUMBER REQUEST`, its answer `NUMBER ANSWER`.
 *
 * Invariant: no answer leaves before what it rests on is in the file; a request that can't be written down is not answered,
 * and its shim brings it again.
 */

import {closeSync, openSync, readFileSync, rmSync, writeSync} from 'node:fs';
import {createServer, type Server, type Socket} from 'node:net';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {partName, type Exchange, type LaunchSpec, type PartKey} from '../../ports/process-host.ts';
import {PmiKvs, type PmiStep} from '../pmi/pmi-kvs.ts';

export interface PmiServerOptions {
	readonly path: string;
	readonly log: (text: string) => void;
	/** The tasks of a part wait for those of others. */
	readonly onExchange: (exchange: Exchange) => void;
	/** A task asks for the end of its job. */
	readonly onAbort: (key: PartKey, reason: string) => void;
}

/** What a shim sends is below; who sends a longer line is none. */
const LINE_CHARS_MAX = 8192;

interface Entry {
	readonly key: PartKey;
	readonly kvs: PmiKvs;
	readonly file: string;
	/** What could not be written so far: a full disk. */
	unwritten: string;
	fd: number | null;
	/** By task: the connection of its shim. */
	readonly shims: Map<number, Socket>;
}

export class PmiServer {
	readonly #options: PmiServerOptions;
	readonly #parts = new Map<string, Entry>();
	#server: Server | null = null;

	constructor(options: PmiServerOptions) {
		this.#options = options;
	}

	/** From now on serves the tasks of a part, if they may speak PMI. Goes on where an earlier shell stopped. */
	add(spec: LaunchSpec, dir: string): void {
		if (spec.pmi === undefined) return;
		const file = `${dir}/pmi`;
		const journal = textOf(file);
		this.#parts.set(partName(spec), {
			key: {id: spec.id, attempt: spec.attempt},
			kvs: pmiKvsOf(spec, journal),
			file,
			unwritten: journal === '' || journal.endsWith('\n') ? '' : '\n',
			fd: null,
			shims: new Map(),
		});
		this.#listen();
	}

	remove(key: PartKey): void {
		const entry = this.#parts.get(partName(key));
		if (entry === undefined) return;
		this.#parts.delete(partName(key));
		if (entry.fd !== null) closeSync(entry.fd);
		for (const shim of entry.shims.values()) shim.destroy();
	}

	/** All parts of the job have entered a barrier: answers the tasks that wait at it. */
	exchanged({barrier, puts, ...key}: Exchange): void {
		const entry = this.#parts.get(partName(key));
		const step = entry?.kvs.exchanged(barrier, puts);
		if (entry !== undefined && step != null) this.#follow(entry, step);
	}

	/** Says again which parts wait for others: whoever knew may be gone. */
	repeat(): void {
		for (const {kvs, key} of this.#parts.values()) {
			const {pending} = kvs;
			if (pending !== null) this.#options.onExchange({...key, ...pending});
		}
	}

	close(): void {
		for (const {key} of [...this.#parts.values()]) this.remove(key);
		this.#server?.close();
		if (this.#server !== null) rmSync(this.#options.path, {force: true});
		this.#server = null;
	}

	#listen(): void {
		if (this.#server !== null) return;
		const {path, log} = this.#options;
		rmSync(path, {force: true});
		this.#server = createServer(socket => this.#accept(socket));
		this.#server.on('error', error => {
			log(`PMI: ${asSystemError(error, 'EIO', path).toString()}`);
			this.#server = null; // The next part tries again.
		});
		this.#server.listen(path);
	}

	#accept(socket: Socket): void {
		let rest = '';
		socket.setEncoding('utf8');
		socket.on('error', () => socket.destroy());
		socket.on('data', (text: string) => {
			const lines = (rest + text).split('\n');
			rest = lines.pop()!;
			try {
				for (const line of lines) this.#take(socket, line);
			} catch (error) {
				// Not answered: its shim comes again, when there may be room on the disk.
				this.#options.log(`PMI: ${asSystemError(error).toString()}`);
				socket.destroy();
			}
			if (rest.length > LINE_CHARS_MAX) socket.destroy();
		});
	}

	#take(socket: Socket, line: string): void {
		const match = /^(\S+) (\d+) (\d+) (.*)$/.exec(line);
		const entry = match === null ? undefined : this.#parts.get(match[1]!);
		if (match === null || entry === undefined) {
			socket.destroy();
			return;
		}
		const task = Number(match[2]);
		if (entry.shims.get(task) !== socket) {
			entry.shims.set(task, socket);
			socket.once('close', () => {
				if (entry.shims.get(task) === socket) entry.shims.delete(task);
			});
		}
		const step = entry.kvs.request({task, number: Number(match[3]), line: match[4]!});
		this.#follow(entry, step);
		if (step.abort !== undefined) this.#options.onAbort(entry.key, step.abort);
		const {pending} = entry.kvs;
		if (pending !== null && step.journal !== '') this.#options.onExchange({...entry.key, ...pending});
	}

	#follow(entry: Entry, {journal, answers}: PmiStep): void {
		entry.unwritten += journal;
		if (entry.unwritten !== '') write(entry);
		for (const {task, number, text} of answers) entry.shims.get(task)?.write(`${number} ${text}\n`);
	}
}

/** What a part's tasks have put, as its file has it. */
export function pmiKvsOf(spec: LaunchSpec, journal: string): PmiKvs {
	const {id, attempt, tasks, pmi = {size: spec.tasks.length, values: {}}} = spec;
	return new PmiKvs({tasks, kvsname: partName({id, attempt}), ...pmi}, journal);
}

/** The file `pmi` of a part, '' when there is none. */
export function textOf(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw asSystemError(error, 'EIO', file);
	}
}

function write(entry: Entry): void {
	try {
		entry.fd ??= openSync(entry.file, 'a', 0o600);
		const bytes = Buffer.from(entry.unwritten);
		const written = writeSync(entry.fd, bytes);
		// Cut short: what is there of it is damaged, and all of it comes once more on a line of its own.
		if (written < bytes.length) throw new SystemError('ENOSPC', 'it was cut short');
		entry.unwritten = '';
	} catch (error) {
		if (!entry.unwritten.startsWith('\n')) entry.unwritten = `\n${entry.unwritten}`;
		throw asSystemError(error, 'EIO', `write ${entry.file}`);
	}
}
