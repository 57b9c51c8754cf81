/**
 * Goal: whatever the other side does (takes a part, answers late or not at all, takes without an answer), each byte is given
 * once and in order, and the end once, after the last.
 * Method: a receiver with the rules of a part's ring, whose answers get lost and whose room is drawn.
 */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {InputSender, type InputRequest, type InputResponse} from '../../src/cli/attach/input-sender.ts';

const NOTHING = new Uint8Array(0);

/** What happens to a request: lost before or after it was taken, or answered; and the room for it. */
interface Fate {
	readonly lost: 'before' | 'after' | 'not';
	readonly room: number;
}

class Receiver {
	taken = NOTHING;
	ends = 0;
	requests = 0;
	readonly #fates: Fate[];

	constructor(fates: readonly Fate[]) {
		this.#fates = [...fates];
	}

	ask = async ({offset, data, isEnd}: InputRequest): Promise<InputResponse> => {
		this.requests += 1;
		const {lost, room} = this.#fates.shift() ?? {lost: 'not', room: Infinity};
		if (lost === 'before') throw new SystemError('EAGAIN', 'not now');
		if (this.ends > 0) return {offset: this.taken.length, isTaken: isEnd, isClosed: true};
		const fresh = data.subarray(this.taken.length - offset).subarray(0, room);
		const isWhole = offset + data.length <= this.taken.length + fresh.length;
		this.taken = Buffer.concat([this.taken, fresh]);
		const isTaken = isWhole && (!isEnd || room > 0);
		if (isTaken && isEnd) this.ends += 1;
		if (lost === 'after') throw new SystemError('EHOSTUNREACH', 'gone');
		return {offset: this.taken.length, isTaken, isClosed: this.ends > 0};
	};
}

function senderTo(receiver: Pick<Receiver, 'ask'>, isStopped = () => false): InputSender {
	return new InputSender({ask: receiver.ask, pause: async () => undefined, isStopped});
}

test('all of it arrives once and in order, and the end once', async t => {
	let repeated = 0;
	const fate = fc.record({
		lost: fc.constantFrom('before', 'after', 'not', 'not'),
		room: fc.constantFrom(0, 1, 1000, 50_000, Infinity),
	}) as fc.Arbitrary<Fate>;
	const pieces = fc.array(fc.uint8Array({maxLength: 400}), {maxLength: 8});
	await fc.assert(
		fc.asyncProperty(pieces, fc.array(fate, {maxLength: 30}), async (all, fates) => {
			const receiver = new Receiver(fates);
			const sender = senderTo(receiver);
			for (const data of all) t.is(await sender.send({data}), 'taken');
			t.is(await sender.send({data: NOTHING, isEnd: true}), 'taken');
			t.is(Buffer.compare(receiver.taken, Buffer.concat(all)), 0);
			t.is(receiver.ends, 1);
			repeated += receiver.requests - all.length - 1;
		}),
	);
	t.true(repeated > 100, `not vacuous: ${repeated} repetitions`);
});

test('a piece that is larger than a request goes in several, and its end with the last', async t => {
	const receiver = new Receiver([]);
	const data = Buffer.alloc(300_000, 7);
	t.is(await senderTo(receiver).send({data, isEnd: true}), 'taken');
	t.deepEqual([receiver.taken.length, receiver.requests, receiver.ends], [300_000, 3, 1]);
});

test('a task that does not read is asked with little, until it does', async t => {
	const sizes: number[] = [];
	const full = Array.from({length: 5}, () => ({lost: 'not', room: 0}) as const);
	const receiver = new Receiver(full);
	const ask = (request: InputRequest) => {
		sizes.push(request.data.length);
		return receiver.ask(request);
	};
	t.is(await senderTo({ask}).send({data: Buffer.alloc(100_000)}), 'taken');
	t.deepEqual(sizes, [100_000, 1024, 1024, 1024, 1024, 1024, 98_976]);
});

test('a job that is closed, or runs anew, is told from one that takes', async t => {
	const closed = {ask: async () => ({offset: 0, isTaken: false, isClosed: true})};
	t.is(await senderTo(closed).send({data: Buffer.from('x')}), 'closed');
	const anew = new InputSender({
		ask: async request =>
			request.offset === 0 && !request.isEnd
				? sender0()
				: {offset: 0, isTaken: request.isEnd, isClosed: false},
		pause: async () => undefined,
		isStopped: () => false,
	});
	t.is(await anew.send({data: Buffer.from('first')}), 'taken');
	t.is(await anew.send({data: Buffer.from('second')}), 'restarted');
	await anew.endAnew();
});

const sender0 = (): InputResponse => ({offset: 5, isTaken: true, isClosed: false});

test('what can not be helped is the caller’s to know, and nothing is asked once it is stopped', async t => {
	const refuse = {ask: () => Promise.reject(new SystemError('ENOENT', 'no job'))};
	await t.throwsAsync(senderTo(refuse).send({data: NOTHING}), {code: 'ENOENT'});
	const receiver = new Receiver([]);
	t.is(await senderTo(receiver, () => true).send({data: Buffer.from('x')}), 'closed');
	t.is(receiver.requests, 0);
});
