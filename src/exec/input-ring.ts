/**
 * What is on its way to the stdin of a part's tasks: a ring in the file `stdin` of the part's directory. Brokers write it,
 * shims read it; both may be killed at any instant.
 *
 *     0     head, 4096 bytes, always written as a whole: `END END` (16 digits each), a line of JSON (`Head`), spaces
 *     4096  the ring: the byte at position p of the stream stands at 4096 + p mod RING_BYTES
 *
 * END counts the bytes of the stream, which is records: `TASKS KIND LENGTH\n` and LENGTH bytes. TASKS is an idset or
 * `all`; KIND is `d` (data), `e` (the end, no bytes), or `w` (`ROWS COLUMNS` of a terminal). How far each task has come
 * stands in the file `stdin.read`: 32 bytes for each task of the part in their order, its position or `closed`.
 *
 * Invariants: bytes of the ring are written before the head that counts them, and never those that a task has yet to
 * read; the head carries how far each writer has come, so that its bytes and that they were taken are one write.
 */
import {Idset} from '../formats/idset.ts';
import {SystemError} from '../formats/errno.ts';
import type {InputAnswer, InputWrite, LaunchSpec} from '../ports/process-host.ts';

export const RING_BYTES = 1024 * 1024;
export const RING_HEAD_BYTES = 4096;
export const READ_SLOT_BYTES = 32;
/** The writers that are remembered; one that was forgotten can't go on. */
export const INPUT_WRITERS_MAX = 32;
export const INPUT_TASKS_CHARS_MAX = 256;
const END_DIGITS = 16;

export interface RingWriter {
	readonly name: string;
	readonly offset: number;
	readonly hasEnded: boolean;
}

export interface RingHead {
	/** Bytes of the stream so far. */
	readonly end: number;
	/** All tasks were sent their end. */
	readonly isClosed: boolean;
	/** The one that was active last stands last. */
	readonly writers: readonly RingWriter[];
}

export const EMPTY_HEAD: RingHead = {end: 0, isClosed: false, writers: []};

/** The tasks of a part that read what clients write. */
export function inputTasks({input, pty}: Pick<LaunchSpec, 'input' | 'pty'>): readonly number[] {
	const piped = input !== undefined && 'tasks' in input ? input.tasks : [];
	return [...new Set([...piped, ...(pty?.tasks ?? [])])].sort((a, b) => a - b);
}

export function encodeHead({end, isClosed, writers}: RingHead): Uint8Array {
	const number = String(end).padStart(END_DIGITS, '0');
	const rest = JSON.stringify({isClosed, writers: writers.map(one => [one.name, one.offset, one.hasEnded])});
	return Buffer.from(`${number} ${number}\n${rest}\n`.padEnd(RING_HEAD_BYTES));
}

/** @throws {SystemError} EBADMSG for bytes that are no head; none at all are an empty one. */
export function decodeHead(bytes: Uint8Array): RingHead {
	if (bytes.every(byte => byte === 0)) return EMPTY_HEAD;
	const [numbers = '', rest = ''] = Buffer.from(bytes).toString('latin1').split('\n');
	const match = /^(\d{16}) \1$/.exec(numbers);
	if (match === null) throw new SystemError('EBADMSG', 'stdin: the head is damaged');
	const {isClosed, writers} = JSON.parse(rest) as {isClosed: boolean; writers: [string, number, boolean][]};
	return {
		end: Number(match[1]),
		isClosed,
		writers: writers.map(([name, offset, hasEnded]) => ({name, offset, hasEnded})),
	};
}

/** How far each task has come, from the text of `stdin.read`; Infinity: it reads nothing more. */
export function readPositions(text: string, count: number): number[] {
	return Array.from({length: count}, (_, index) => {
		const slot = text.slice(index * READ_SLOT_BYTES, (index + 1) * READ_SLOT_BYTES).replaceAll(/[\0\s]/g, '');
		return slot === 'closed' ? Infinity : Number(slot);
	});
}

export interface InputPlan {
	/** What is to be written at position `head.end` of the stream as it was; empty: nothing. */
	readonly bytes: Uint8Array;
	/** The head to be written after that; null: it stays. */
	readonly head: RingHead | null;
	readonly answer: InputAnswer;
}

/**
 * What a write makes of a ring, given how far each task has read.
 * @throws {SystemError} EINVAL for a write that makes no sense.
 */
export function planInput(head: RingHead, positions: readonly number[], write: InputWrite): InputPlan {
	checkWrite(write);
	const known = head.writers.find(({name}) => name === write.writer);
	const offset = known?.offset ?? 0;
	const slowest = Math.min(...positions);
	const isOver = slowest === Infinity;
	const end = write.offset + write.data.length;
	const isKnown = known !== undefined && offset >= end && (!write.isEnd || known.hasEnded);
	const isShut = head.isClosed || isOver || known?.hasEnded === true;
	if (isShut)
		return {
			bytes: NOTHING,
			head: null,
			answer: {offset, isTaken: isKnown, isClosed: head.isClosed || isOver},
		};
	if (write.offset > offset)
		return {bytes: NOTHING, head: null, answer: {offset, isTaken: false, isClosed: false}};
	const records = new Records(RING_BYTES - (head.end - slowest), write.tasks);
	const {size} = write;
	const isSized = size === undefined || records.add('w', Buffer.from(`${size.rows} ${size.columns}`));
	const fresh = write.data.subarray(offset - write.offset);
	const taken = isSized ? records.addSome(fresh) : 0;
	const hasEnded = write.isEnd && isSized && taken === fresh.length && records.add('e', NOTHING);
	const isTaken = isSized && taken === fresh.length && hasEnded === write.isEnd;
	const isClosed = hasEnded && write.tasks === 'all';
	const answer = {offset: offset + taken, isTaken, isClosed};
	const bytes = records.bytes();
	if (bytes.length === 0) return {bytes, head: null, answer};
	const others = head.writers.filter(({name}) => name !== write.writer).slice(1 - INPUT_WRITERS_MAX);
	const writers = [...others, {name: write.writer, offset: offset + taken, hasEnded}];
	return {bytes, head: {end: head.end + bytes.length, isClosed, writers}, answer};
}

/** The pieces of the file that bytes from `position` of the stream on stand in. */
export function ringPieces(
	position: number,
	length: number,
): {readonly at: number; readonly from: number; readonly length: number}[] {
	const pieces = [];
	for (let from = 0; from < length;) {
		const inRing = (position + from) % RING_BYTES;
		const piece = Math.min(length - from, RING_BYTES - inRing);
		pieces.push({at: RING_HEAD_BYTES + inRing, from, length: piece});
		from += piece;
	}
	return pieces;
}

const NOTHING = new Uint8Array(0);

/** Records as far as there is room for them. */
class Records {
	readonly #tasks: string;
	readonly #parts: Uint8Array[] = [];
	#room: number;

	constructor(room: number, tasks: string) {
		this.#room = room;
		this.#tasks = tasks;
	}

	/** All of `data` or nothing of it. */
	add(kind: 'd' | 'e' | 'w', data: Uint8Array): boolean {
		const header = Buffer.from(`${this.#tasks} ${kind} ${data.length}\n`);
		if (this.#room < header.length + data.length) return false;
		this.#room -= header.length + data.length;
		this.#parts.push(header, data);
		return true;
	}

	/** As much of `data` as fits; how much that was. */
	addSome(data: Uint8Array): number {
		const overhead = this.#tasks.length + 2 * END_DIGITS;
		const length = Math.min(data.length, Math.max(0, this.#room - overhead));
		if (length > 0) this.add('d', data.subarray(0, length));
		return length;
	}

	bytes(): Uint8Array {
		return Buffer.concat(this.#parts);
	}
}

function checkWrite({writer, offset, tasks, size}: InputWrite): void {
	if (!/^[A-Za-z0-9-]{1,40}$/.test(writer))
		throw new SystemError('EINVAL', `stdin: '${writer}' can't name a writer`);
	if (!Number.isSafeInteger(offset) || offset < 0) throw new SystemError('EINVAL', `stdin: offset ${offset}`);
	if (tasks.length > INPUT_TASKS_CHARS_MAX)
		throw new SystemError('EINVAL', 'stdin: the idset of tasks is too long');
	if (tasks !== 'all' && (Idset.parse(tasks).isEmpty || !/^[\d,-]+$/.test(tasks)))
		throw new SystemError('EINVAL', `stdin: '${tasks}' names no tasks`);
	for (const value of size === undefined ? [] : [size.rows, size.columns]) {
		if (!Number.isInteger(value) || value < 1 || value > 65535)
			throw new SystemError('EINVAL', `stdin: a terminal can't have ${value} rows or columns`);
	}
}
