/**
 * The stdin of a simulated part: takes writes by the rules of the real ring (`planInput`), and hands their records to tasks
 * that read. One that does not read holds as much as a pipe and its shim would, and then holds up everybody.
 */
import {Idset} from '../formats/idset.ts';
import {SystemError} from '../formats/errno.ts';
import {EMPTY_HEAD, inputTasks, planInput, type RingHead} from '../exec/input-ring.ts';
import {partName, type InputAnswer, type InputWrite, type LaunchSpec} from '../ports/process-host.ts';

const HELD_BYTES_MAX = 128 * 1024;

/** A task as its stdin sees it. */
export interface SimReader {
	readonly task: number;
	/** Whether it takes what comes. */
	readonly reads: boolean;
	/** It is over, or not started: an ended one reads nothing more. */
	readonly isOver: () => boolean;
	readonly onData: (bytes: Uint8Array) => void;
	readonly onEnd: () => void;
}

export class SimInput {
	readonly #spec: LaunchSpec;
	readonly #readers: readonly (SimReader & {position: number; hasEnded: boolean})[];
	#head: RingHead = EMPTY_HEAD;

	constructor(spec: LaunchSpec, readers: readonly SimReader[]) {
		this.#spec = spec;
		const tasks = inputTasks(spec);
		this.#readers = readers
			.filter(({task}) => tasks.includes(task))
			.map(reader => ({...reader, position: 0, hasEnded: false}));
	}

	write(write: InputWrite): InputAnswer {
		if (this.#readers.length === 0)
			throw new SystemError(
				'EPIPE',
				`part ${partName(this.#spec)}: its tasks take no standard input from clients`,
			);
		const positions = this.#readers.map(reader =>
			reader.hasEnded || reader.isOver() ? Infinity : reader.position,
		);
		const plan = planInput(this.#head, positions, write);
		this.#head = plan.head ?? this.#head;
		for (const {tasks, kind, body} of recordsOf(plan.bytes)) {
			for (const reader of this.#readers) {
				if (reader.hasEnded || reader.isOver()) continue;
				if (tasks !== 'all' && !Idset.parse(tasks).has(reader.task)) continue;
				if (kind === 'd' && reader.reads) reader.onData(body);
				if (kind !== 'e') continue;
				reader.hasEnded = reader.reads;
				if (reader.reads) reader.onEnd();
			}
		}
		for (const reader of this.#readers) {
			const held = reader.reads ? Infinity : HELD_BYTES_MAX;
			reader.position = Math.max(reader.position, Math.min(this.#head.end, held));
		}
		return plan.answer;
	}
}

function* recordsOf(
	bytes: Uint8Array,
): Generator<{readonly tasks: string; readonly kind: string; readonly body: Uint8Array}> {
	for (let at = 0; at < bytes.length;) {
		const headerEnd = bytes.indexOf(0x0a, at);
		const [tasks = '', kind = '', length = '0'] = Buffer.from(bytes.subarray(at, headerEnd))
			.toString()
			.split(' ');
		at = headerEnd + 1 + Number(length);
		yield {tasks, kind, body: bytes.subarray(headerEnd + 1, at)};
	}
}
