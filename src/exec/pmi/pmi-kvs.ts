/**
 * What the tasks of one part have told each other by PMI-1 (RFC 13): puts, barriers, answers. Pure: it is told requests, and
 * says which lines must be in the part's file `pmi` before which answers may go out. From that file it is rebuilt.
 *
 * Invariants: a barrier is passed when every task of the job has entered it, once, with the puts of all; a request that comes
 * again (with its number, after the job shell was replaced) changes nothing and gets the answer that it would have got.
 */

import assert from 'node:assert/strict';
import {
	parsePmiRequest,
	PMI_KEY_LENGTH_MAX,
	PMI_KVSNAME_LENGTH_MAX,
	PMI_VALUE_LENGTH_MAX,
	unknownAnswer,
	type PmiRequest,
} from './pmi-wire.ts';

/** Bytes of keys and values that one part may put before one barrier; further puts are refused. */
export const PMI_ENTRY_BYTES_MAX = 4 * 1024 * 1024;

export type Puts = Readonly<Record<string, string>>;

export interface PmiPart {
	/** Tasks of the whole job. */
	readonly size: number;
	/** Those of this part. */
	readonly tasks: readonly number[];
	readonly kvsname: string;
	/** What can be got from the beginning: `PMI_process_mapping` and the like. */
	readonly values: Puts;
}

export interface PmiAnswer {
	readonly task: number;
	/** The request's. */
	readonly number: number;
	/** Empty: the task expects none. */
	readonly text: string;
}

/** What follows from one input: lines for the file first, then answers. */
export interface PmiStep {
	readonly journal: string;
	readonly answers: readonly PmiAnswer[];
	/** The task wants the job to end, for this reason. */
	readonly abort?: string;
}

/** Rc of RFC 13's PMI_ERR_INVALID_KEY. */
const RC_NO_KEY = 4;

type Line =
	| readonly ['put', task: number, key: string, value: string]
	| readonly ['enter', task: number, number: number]
	| readonly ['exit', barrier: number, puts: Puts];

export class PmiKvs {
	readonly #part: PmiPart;
	/** Of each task the numbers of its requests to enter a barrier, in order. */
	readonly #entered = new Map<number, number[]>();
	/** By barrier, from 1: what this part's tasks put before it. */
	readonly #entries: Map<string, string>[] = [];
	readonly #values: Map<string, string>;
	#released = 0;
	/** Tasks whose answer waits for the barrier, with the number of their request. */
	readonly #waiting = new Map<number, number>();

	/** @param journal the file `pmi`; a torn or damaged line in it is skipped, for it was never answered. */
	constructor(part: PmiPart, journal = '') {
		this.#part = part;
		this.#values = new Map(Object.entries(part.values));
		for (const task of part.tasks) this.#entered.set(task, []);
		for (const line of linesOf(journal)) this.#apply(line);
		if (this.#isWhole) while (this.#arrived > this.#released) this.#release(this.#released + 1, {});
	}

	/** Barriers that were passed. */
	get released(): number {
		return this.#released;
	}

	/** The barrier that all tasks of this part have entered and that waits for other parts, with what these put; or null. */
	get pending(): {readonly barrier: number; readonly puts: Puts} | null {
		const barrier = this.#released + 1;
		const puts = this.entry(barrier);
		return this.#isWhole || puts === null ? null : {barrier, puts};
	}

	/** What this part's tasks put before `barrier`, once all of them have entered it; else null. */
	entry(barrier: number): Puts | null {
		return barrier <= this.#arrived ? Object.fromEntries(this.#entries[barrier] ?? []) : null;
	}

	/** One line of a task of this part. @param number counts the requests of the task; one sent again has the same. */
	request({
		task,
		number,
		line,
	}: {
		readonly task: number;
		readonly number: number;
		readonly line: string;
	}): PmiStep {
		const request = parsePmiRequest(line);
		const entered = this.#entered.get(task);
		if (entered === undefined) return answered({task, number, text: 'cmd=error rc=-1 msg=no_such_task'});
		switch (request.cmd) {
			case 'put':
				return this.#put({task, number}, request);
			case 'barrier_in':
				return this.#enter(task, number);
			case 'abort': {
				const abort = `task ${task} asked for it by PMI${request.message === '' ? '' : `: ${request.message}`}`;
				return {journal: '', answers: [{task, number, text: ''}], abort};
			}
			default:
				return answered({task, number, text: this.#answerOf(request)});
		}
	}

	/** All parts have entered `barrier`: `puts` are those of all of them. Null: it was passed before, or this part is not there. */
	exchanged(barrier: number, puts: Puts): PmiStep | null {
		if (barrier !== this.#released + 1 || barrier > this.#arrived) return null;
		this.#release(barrier, puts);
		return {journal: encode(['exit', barrier, puts]), answers: this.#outs()};
	}

	get #isWhole(): boolean {
		return this.#part.tasks.length === this.#part.size;
	}

	/** Barriers that every task of this part has entered. */
	get #arrived(): number {
		let least = Infinity;
		for (const entered of this.#entered.values()) least = Math.min(least, entered.length);
		return Number.isFinite(least) ? least : 0;
	}

	#put(
		head: {task: number; number: number},
		{kvsname, key, value}: Extract<PmiRequest, {cmd: 'put'}>,
	): PmiStep {
		const refuse = (why: string) => answered({...head, text: `cmd=put_result rc=-1 msg=${why}`});
		if (kvsname !== this.#part.kvsname) return refuse('no_such_kvs');
		if (key === '' || key.length > PMI_KEY_LENGTH_MAX) return refuse('bad_key_length');
		if (value.length > PMI_VALUE_LENGTH_MAX) return refuse('value_too_long');
		if (key === '__proto__') return refuse('bad_key');
		const barrier = this.#entered.get(head.task)!.length + 1;
		if (sizeOf(this.#entries[barrier]) + key.length + value.length > PMI_ENTRY_BYTES_MAX)
			return refuse('too_much_before_one_barrier');
		const line: Line = ['put', head.task, key, value];
		this.#apply(line);
		return {journal: encode(line), answers: [{...head, text: 'cmd=put_result rc=0'}]};
	}

	#enter(task: number, number: number): PmiStep {
		const entered = this.#entered.get(task)!;
		const known = entered.indexOf(number);
		if (known !== -1 && known < this.#released) return answered({task, number, text: BARRIER_OUT});
		this.#waiting.set(task, number);
		if (known !== -1) return {journal: '', answers: []};
		const line: Line = ['enter', task, number];
		this.#apply(line);
		if (!this.#isWhole || this.#arrived <= this.#released) return {journal: encode(line), answers: []};
		this.#release(this.#released + 1, {});
		return {journal: encode(line), answers: this.#outs()};
	}

	#outs(): PmiAnswer[] {
		const answers = [...this.#waiting].map(([task, number]) => ({task, number, text: BARRIER_OUT}));
		this.#waiting.clear();
		return answers;
	}

	#release(barrier: number, puts: Puts): void {
		assert(barrier === this.#released + 1);
		this.#released = barrier;
		for (const [key, value] of this.#entries[barrier] ?? []) this.#values.set(key, value);
		for (const [key, value] of Object.entries(puts)) this.#values.set(key, value);
	}

	#apply(line: Line): void {
		switch (line[0]) {
			case 'put': {
				const barrier = (this.#entered.get(line[1])?.length ?? 0) + 1;
				this.#entries[barrier] ??= new Map();
				this.#entries[barrier].set(line[2], line[3]);
				return;
			}
			case 'enter':
				if (this.#entered.get(line[1])?.includes(line[2]) === false)
					this.#entered.get(line[1])!.push(line[2]);
				return;
			case 'exit':
				if (line[1] === this.#released + 1) this.#release(line[1], line[2]);
				return;
			default:
				line satisfies never;
		}
	}

	#answerOf(request: Exclude<PmiRequest, {cmd: 'put' | 'barrier_in' | 'abort'}>): string {
		switch (request.cmd) {
			case 'init':
				return `cmd=response_to_init rc=${request.isSupported ? 0 : -1} pmi_version=1 pmi_subversion=1`;
			case 'get_maxes':
				return (
					`cmd=maxes rc=0 kvsname_max=${PMI_KVSNAME_LENGTH_MAX} keylen_max=${PMI_KEY_LENGTH_MAX} ` +
					`vallen_max=${PMI_VALUE_LENGTH_MAX}`
				);
			case 'get_universe_size':
				return `cmd=universe_size rc=0 size=${this.#part.size}`;
			case 'get_appnum':
				return 'cmd=appnum rc=0 appnum=0';
			case 'get_my_kvsname':
				return `cmd=my_kvsname rc=0 kvsname=${this.#part.kvsname}`;
			case 'finalize':
				return 'cmd=finalize_ack rc=0';
			case 'get': {
				const known = request.kvsname === this.#part.kvsname;
				// Before the barrier a part sees its own.
				const value = this.#values.get(request.key) ?? this.#entries[this.#released + 1]?.get(request.key);
				return known && value !== undefined
					? `cmd=get_result rc=0 value=${value}`
					: `cmd=get_result rc=${known ? RC_NO_KEY : -1} msg=${known ? 'key_not_found' : 'no_such_kvs'}`;
			}
			case 'unknown':
				return unknownAnswer(request.name);
			default:
				return request satisfies never;
		}
	}
}

const BARRIER_OUT = 'cmd=barrier_out rc=0';

function answered(answer: PmiAnswer): PmiStep {
	return {journal: '', answers: [answer]};
}

function encode(line: Line): string {
	return `${JSON.stringify(line)}\n`;
}

function linesOf(journal: string): Line[] {
	const lines: Line[] = [];
	for (const text of journal.split('\n')) {
		if (text === '') continue;
		try {
			const value: unknown = JSON.parse(text);
			if (Array.isArray(value) && ['put', 'enter', 'exit'].includes(String(value[0])))
				lines.push(value as unknown as Line);
		} catch (error) {
			if (!(error instanceof SyntaxError)) throw error;
		}
	}
	return lines;
}

function sizeOf(entry: ReadonlyMap<string, string> | undefined): number {
	let bytes = 0;
	for (const [key, value] of entry ?? []) bytes += key.length + value.length;
	return bytes;
}
