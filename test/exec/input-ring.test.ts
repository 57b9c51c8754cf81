/**
 * Goal: whatever is killed or repeated, each byte of each writer reaches each task once, in order, and its end once.
 * Method: random writes against `planInput`, each of them cut off at a random point (before the ring, before the head, before
 * the answer) and repeated; readers follow at random speed, and only ever see what head and ring say.
 */
import test from 'ava';
import fc from 'fast-check';
import {
	decodeHead,
	encodeHead,
	EMPTY_HEAD,
	INPUT_WRITERS_MAX,
	inputTasks,
	planInput,
	readPositions,
	RING_BYTES,
	RING_HEAD_BYTES,
	ringPieces,
} from '../../src/exec/input-ring.ts';
import type {InputAnswer, InputWrite} from '../../src/ports/process-host.ts';

const NOTHING = new Uint8Array(0);

/** A ring as it is on disk. */
class Ring {
	readonly file = Buffer.alloc(RING_HEAD_BYTES + RING_BYTES);
	positions: number[];

	constructor(readers: number) {
		this.positions = Array.from({length: readers}, () => 0);
	}

	/** `cut`: 0 dies before anything is written, 1 before the head, 2 before the answer, 3 not at all. */
	write(write: InputWrite, cut = 3): InputAnswer | null {
		const head = decodeHead(this.file.subarray(0, RING_HEAD_BYTES));
		const plan = planInput(head, this.positions, write);
		if (cut === 0) return null;
		for (const {at, from, length} of ringPieces(head.end, plan.bytes.length))
			this.file.set(plan.bytes.subarray(from, from + length), at);
		if (cut === 1) return null;
		if (plan.head !== null) this.file.set(encodeHead(plan.head), 0);
		return cut === 2 ? null : plan.answer;
	}

	/** As a shim does: one record after the other, up to the end that the head says. */
	read(reader: number, task: number): {data: Buffer; ends: number} {
		const {end} = decodeHead(this.file.subarray(0, RING_HEAD_BYTES));
		const parts: Buffer[] = [];
		let ends = 0;
		let at = this.positions[reader]!;
		while (at < end) {
			const header = this.#bytes(at, Math.min(300, end - at)).toString('latin1');
			const [line = ''] = header.split('\n');
			const [tasks = '', kind = '', length = ''] = line.split(' ');
			at += line.length + 1;
			const isMine = tasks === 'all' || tasks.split(',').includes(String(task));
			if (isMine && kind === 'd') parts.push(this.#bytes(at, Number(length)));
			if (isMine && kind === 'e') ends++;
			at += Number(length);
		}
		this.positions[reader] = at;
		return {data: Buffer.concat(parts), ends};
	}

	#bytes(position: number, length: number): Buffer {
		const pieces = ringPieces(position, length).map(({at, length: size}) =>
			this.file.subarray(at, at + size),
		);
		return Buffer.concat(pieces);
	}
}

function writeOf(more: Partial<InputWrite>): InputWrite {
	return {writer: 'w', offset: 0, data: NOTHING, tasks: 'all', isEnd: false, ...more};
}

const step = fc.record({
	writer: fc.constantFrom('a', 'b'),
	bytes: fc.integer({min: 0, max: 500_000}),
	cut: fc.constantFrom(0, 1, 2, 3, 3, 3),
	reads: fc.array(fc.constantFrom(true, false, false, false), {minLength: 2, maxLength: 2}),
});

test('every byte of every writer reaches every task once and in order, and the end once, whatever is cut off', t => {
	let filled = 0;
	let cuts = 0;
	const check = (steps: readonly StepLike[]) => {
		const ring = new Ring(2);
		const sent = {a: 0, b: 0};
		const pending: {a: Uint8Array | null; b: Uint8Array | null} = {a: null, b: null};
		const seen = [Buffer.alloc(0), Buffer.alloc(0)];
		const ends = [0, 0];
		const read = (index: number) => {
			const {data, ends: more} = ring.read(index, index);
			seen[index] = Buffer.concat([seen[index]!, data]);
			ends[index]! += more;
		};
		for (const {writer, bytes, cut, reads} of steps) {
			const name = writer as 'a' | 'b';
			// What was cut off is sent again as it was.
			const data = pending[name] ?? bytesOf(name, sent[name], bytes);
			const answer = ring.write(writeOf({writer, offset: sent[name], data}), cut);
			pending[name] = answer === null ? data : null;
			if (answer === null) cuts++;
			else {
				if (!answer.isTaken) filled++;
				t.true(answer.offset >= sent[name] && answer.offset <= sent[name] + data.length);
				sent[name] = answer.offset;
			}
			for (const [index, isReading] of reads.entries()) if (isReading) read(index);
			const head = decodeHead(ring.file.subarray(0, RING_HEAD_BYTES));
			t.true(ring.positions.every(position => head.end - position <= RING_BYTES));
		}
		for (const name of ['a', 'b'] as const) {
			read(0);
			read(1);
			// What was taken without an answer is known by its offset.
			const answer = ring.write(writeOf({writer: name, offset: sent[name]}));
			sent[name] = answer!.offset;
		}
		for (const cut of [1, 2, 3, 3]) ring.write(writeOf({writer: 'a', offset: sent.a, isEnd: true}), cut);
		read(0);
		read(1);
		for (const index of [0, 1]) {
			for (const [name, base] of [
				['a', 0],
				['b', 128],
			] as const) {
				const own = Buffer.from(seen[index]!.filter(byte => (byte & 128) === base));
				t.is(Buffer.compare(own, bytesOf(name, 0, sent[name])), 0, `task ${index}, writer ${name}`);
			}
		}
		t.deepEqual(ends, [1, 1]);
	};
	fc.assert(
		fc.property(fc.array(step, {minLength: 1, maxLength: 30}), steps => check(steps)),
		{numRuns: 60},
	);
	t.true(filled > 3 && cuts > 50, `not vacuous: ${filled} times full, ${cuts} cuts`);
});

interface StepLike {
	readonly writer: string;
	readonly bytes: number;
	readonly cut: number;
	readonly reads: readonly boolean[];
}

/** Bytes `from`… of a writer: what stands where can be told from them, and whose they are from the highest bit. */
function bytesOf(writer: 'a' | 'b', from: number, length: number): Uint8Array {
	const base = writer === 'a' ? 0 : 128;
	return Uint8Array.from(
		{length},
		(_, index) => base | (((from + index) * 31 + ((from + index) >> 7)) % 127),
	);
}

test('a task that does not read bounds what is taken, and one that is closed does not', t => {
	const big = new Uint8Array(3 * RING_BYTES);
	const first = planInput(EMPTY_HEAD, [0], writeOf({data: big}));
	t.true(first.answer.offset <= RING_BYTES && first.answer.offset > RING_BYTES - 1000);
	t.false(first.answer.isTaken);
	const full = planInput(first.head!, [0], writeOf({data: big}));
	t.is(full.answer.offset, first.answer.offset);
	const ahead = planInput(first.head!, [first.head!.end, Infinity], writeOf({data: big}));
	t.true(ahead.answer.offset > 2 * RING_BYTES - 2000);
	t.like(planInput(first.head!, [Infinity], writeOf({data: big})).answer, {isClosed: true, isTaken: false});
});

test('after the end for all nothing is taken from anybody, and its repetition is known', t => {
	const ended = planInput(EMPTY_HEAD, [0], writeOf({data: Uint8Array.of(1), isEnd: true}));
	t.like(ended.answer, {offset: 1, isTaken: true, isClosed: true});
	t.like(planInput(ended.head!, [0], writeOf({data: Uint8Array.of(1), isEnd: true})).answer, {
		offset: 1,
		isTaken: true,
		isClosed: true,
	});
	const other = planInput(ended.head!, [0], writeOf({writer: 'x', data: Uint8Array.of(1)}));
	t.like(other, {head: null, answer: {isTaken: false, isClosed: true}});
});

test('the end for some tasks leaves the others open', t => {
	const some = planInput(EMPTY_HEAD, [0, 0], writeOf({tasks: '0', isEnd: true}));
	t.like(some.answer, {isTaken: true, isClosed: false});
	t.like(planInput(some.head!, [0, 0], writeOf({writer: 'x', data: Uint8Array.of(1)})).answer, {
		isTaken: true,
	});
});

test('bytes that begin beyond what is known are not taken, and the answer says where to go on', t => {
	const plan = planInput(EMPTY_HEAD, [0], writeOf({offset: 5, data: Uint8Array.of(1)}));
	t.like(plan, {head: null, answer: {offset: 0, isTaken: false, isClosed: false}});
});

test('a head is read as it was written, with as many writers as it keeps, and fits its place', t => {
	let head = EMPTY_HEAD;
	for (let index = 0; index < INPUT_WRITERS_MAX + 5; index++) {
		const writer = `${'w'.repeat(36)}${String(index).padStart(4, '0')}`;
		head = planInput(head, [head.end], writeOf({writer, data: new Uint8Array(1000)})).head!;
	}
	t.is(head.writers.length, INPUT_WRITERS_MAX);
	const bytes = encodeHead({...head, end: 2 ** 52});
	t.is(bytes.length, RING_HEAD_BYTES);
	t.deepEqual(decodeHead(bytes), {...head, end: 2 ** 52});
	t.deepEqual(decodeHead(new Uint8Array(RING_HEAD_BYTES)), EMPTY_HEAD);
	t.throws(() => decodeHead(Buffer.from('nonsense')), {code: 'EBADMSG'});
});

test('what makes no sense is refused', t => {
	for (const more of [
		{writer: ''},
		{writer: 'a b'},
		{offset: -1},
		{tasks: 'some'},
		{tasks: ''},
		{tasks: `0,${'2,'.repeat(200)}9`},
		{size: {rows: 0, columns: 80}},
		{size: {rows: 24, columns: 70_000}},
	])
		t.throws(() => planInput(EMPTY_HEAD, [0], writeOf(more)), {code: 'EINVAL'});
});

test('the tasks that read are those with a pipe and those with a terminal; positions are read by their slots', t => {
	t.deepEqual(inputTasks({}), []);
	t.deepEqual(inputTasks({input: {path: '/x'}}), []);
	t.deepEqual(inputTasks({input: {tasks: [3, 5]}, pty: {tasks: [0, 3], rows: 1, columns: 1}}), [0, 3, 5]);
	const slots = `${'123'.padEnd(31)}\n${'\0'.repeat(32)}${'closed'.padEnd(31)}\n`;
	t.deepEqual(readPositions(slots, 4), [123, 0, Infinity, 0]);
});
