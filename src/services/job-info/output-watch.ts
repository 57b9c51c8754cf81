/**
 * Follows the output of one job as an eventlog (RFC 24): a header, then data of each stream of each task as it comes, then
 * one end each. Resumable: a watch that begins at given offsets sends exactly the bytes from there on.
 */
import {stringifyJson} from '../../formats/json.ts';
import type {Timer} from '../../ports/clock.ts';
import type {OutputStream} from '../../ports/process-host.ts';
import type {Core} from '../core.ts';
import type {OutputReader} from './output-reader.ts';
import type {Sink} from './sink.ts';

/** Bounds of the pause between two looks at a stream that has nothing new. */
const POLL_MS_MIN = 20;
const POLL_MS_MAX = 250;
/** Between input and the first look for what came of it. */
const HASTE_MS = 5;

export interface OutputWatchOptions {
	readonly core: Core;
	readonly reader: OutputReader;
	readonly sink: Sink;
	readonly id: bigint;
	readonly ntasks: number;
	/** Streams that go to files of the user: path by stream. */
	readonly redirects: Readonly<Partial<Record<OutputStream, string>>>;
	/** Bytes to skip, by `TASK.STREAM`. */
	readonly offsets: Readonly<Record<string, number>>;
}

interface Follow {
	readonly task: number;
	readonly stream: OutputStream;
	offset: number;
	decoder: Utf8Splitter;
}

export class OutputWatch {
	readonly #options: OutputWatchOptions;
	#open: Follow[];
	#pauseMs = POLL_MS_MIN;
	#timer: Timer | null = null;
	#isReading = false;
	#again = false;
	#isBlocked = false;
	#isOver = false;
	readonly #unsubscribe: () => void;

	constructor(options: OutputWatchOptions) {
		this.#options = options;
		const {core, id, ntasks, offsets, redirects, sink} = options;
		const count = {stdout: ntasks, stderr: ntasks};
		const encoding = {stdout: 'UTF-8', stderr: 'UTF-8'};
		this.#write('header', {version: 1, encoding, count, options: {}});
		this.#open = Array.from({length: ntasks}, (_, task) => task).flatMap(task =>
			(['stdout', 'stderr'] as const).flatMap(stream => {
				const path = redirects[stream];
				if (path === undefined) {
					const offset = offsets[`${task}.${stream}`] ?? 0;
					return [{task, stream, offset, decoder: new Utf8Splitter()}];
				}
				this.#write('redirect', {stream, rank: String(task), path});
				return [];
			}),
		);
		sink.onDrain = () => {
			this.#isBlocked = false;
			this.wake();
		};
		this.#unsubscribe = core.onJob(id, () => this.wake());
		this.wake();
	}

	stop(): void {
		this.#isOver = true;
		this.#timer?.cancel();
		this.#unsubscribe();
	}

	/** Looks at all streams now. */
	wake(): void {
		if (this.#isOver || this.#isBlocked) return;
		this.#timer?.cancel();
		this.#timer = null;
		if (this.#isReading) {
			this.#again = true;
			return;
		}
		this.#isReading = true;
		void this.#round().finally(() => {
			this.#isReading = false;
			if (this.#isOver || this.#isBlocked) return;
			if (this.#again) {
				this.#again = false;
				this.wake();
				return;
			}
			this.#timer = this.#options.core.clock.setTimer(this.#pauseMs, () => this.wake());
		});
	}

	/** Looks soon, and often as long as something comes. */
	hasten(): void {
		this.#pauseMs = HASTE_MS;
		if (this.#timer === null) return;
		this.#timer.cancel();
		this.#timer = this.#options.core.clock.setTimer(HASTE_MS, () => this.wake());
	}

	async #round(): Promise<void> {
		let isNew = false;
		for (const follow of [...this.#open]) {
			for (let more = true; more;) {
				more = await this.#readOne(follow);
				isNew ||= more;
				if (this.#isOver || this.#isBlocked) return;
			}
		}
		this.#pauseMs = isNew ? POLL_MS_MIN : Math.min(POLL_MS_MAX, this.#pauseMs * 1.5);
		if (this.#open.length === 0) this.#finish();
	}

	/** True when there may be more at once. */
	async #readOne(follow: Follow): Promise<boolean> {
		const {reader, id} = this.#options;
		const {task, stream, offset} = follow;
		const chunk = await reader.read({id, task, stream, offset}).catch((): null => null); // It is asked again.
		if (chunk === null || this.#isOver) return false;
		follow.offset += chunk.data.length;
		for (const piece of follow.decoder.push(chunk.data, chunk.eof)) {
			this.#writeData(follow, piece);
		}
		if (!chunk.eof) return chunk.data.length > 0;
		this.#write('data', {stream, rank: String(task), eof: true});
		this.#open = this.#open.filter(one => one !== follow);
		return false;
	}

	#writeData({task, stream}: Follow, {bytes, offset, text}: Piece): void {
		const base = {stream, rank: String(task)};
		const at = {offset: this.#startOf(task, stream) + offset};
		if (text === null) {
			this.#write('data', {...base, encoding: 'base64', data: Buffer.from(bytes).toString('base64'), ...at});
		} else {
			this.#write('data', {...base, data: text, ...at});
		}
	}

	#startOf(task: number, stream: string): number {
		return this.#options.offsets[`${task}.${stream}`] ?? 0;
	}

	#write(name: string, context: object): void {
		const timestamp = this.#options.core.clock.epochMs() / 1000;
		const event = `${stringifyJson({timestamp, name, context})}\n`;
		if (!this.#options.sink.write({event})) this.#isBlocked = true;
	}

	#finish(): void {
		this.stop();
		this.#options.sink.end();
	}
}

interface Piece {
	readonly bytes: Uint8Array;
	/** Of the first byte, from where the watch began. */
	readonly offset: number;
	/** null: the bytes are not UTF-8. */
	readonly text: string | null;
}

/** Cuts a byte stream into pieces that do not end inside a UTF-8 character, unless it is no UTF-8 at all. */
class Utf8Splitter {
	#held: Uint8Array = new Uint8Array(0);
	#offset = 0;

	push(data: Uint8Array, isLast: boolean): Piece[] {
		const all = this.#held.length === 0 ? data : Buffer.concat([this.#held, data]);
		const cut = isLast ? all.length : all.length - incompleteTail(all);
		this.#held = all.slice(cut);
		if (cut === 0) return [];
		const bytes = all.subarray(0, cut);
		const piece = {bytes, offset: this.#offset, text: decodeUtf8(bytes)};
		this.#offset += cut;
		return [piece];
	}
}

/** Bytes at the end that begin a UTF-8 character without ending it: 0 to 3. */
function incompleteTail(bytes: Uint8Array): number {
	for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
		const byte = bytes[bytes.length - back] as number;
		if ((byte & 0xc0) === 0x80) continue;
		const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
		return length > back ? back : 0;
	}
	return 0;
}

function decodeUtf8(bytes: Uint8Array): string | null {
	try {
		return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
	} catch {
		return null;
	}
}
