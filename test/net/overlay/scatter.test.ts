/**
 * Goal: a request to many ranks gives exactly one answer a rank, whatever fails, and costs a broker one message a child.
 * Method: trees of any shape whose brokers call each other through the encoding; children that fail, hang or lie.
 */
import test from 'ava';
import fc from 'fast-check';
import {encode} from '@msgpack/msgpack';
import {SystemError} from '../../../src/formats/errno.ts';
import {Idset} from '../../../src/formats/idset.ts';
import {
	decodeAnswers,
	decodeScatter,
	encodeAnswers,
	encodeScatter,
	errorOf,
	failure,
	scatter,
	type Answers,
	type RankAnswer,
	type Scatter,
} from '../../../src/net/overlay/scatter.ts';
import {RANKS_MAX, Topology} from '../../../src/net/overlay/topology.ts';
import {ManualClock} from '../clocks.ts';
import {topologies} from './arbitraries.ts';

type Conduct = 'answers' | 'fails' | 'throws' | 'hangs' | 'lost' | 'lies';

const ok = (rank: number): RankAnswer => ({errnum: 0, payload: Buffer.from(`of ${rank % 3}`)});

class Tree {
	readonly clock = new ManualClock();
	/** Messages that each broker sent. */
	readonly sent = new Map<number, number>();
	readonly topology: Topology;
	readonly #conduct: (rank: number) => Conduct;

	constructor(topology: Topology, conduct: (rank: number) => Conduct) {
		this.topology = topology;
		this.#conduct = conduct;
	}

	at(rank: number, request: Scatter): Promise<Answers> {
		return scatter(request, {
			topology: this.topology,
			rank,
			ask: (child, part) => this.#ask({from: rank, child}, part),
			local: ({deadlineMs}) => this.#local(rank, deadlineMs),
		});
	}

	#ask({from, child}: {from: number; child: number}, part: Scatter): Promise<Answers> {
		this.sent.set(from, (this.sent.get(from) ?? 0) + 1);
		if (this.#conduct(child) === 'lost') {
			return Promise.reject(new SystemError('EHOSTUNREACH', `rank ${child} is lost`));
		}
		return new Promise((resolve, reject) => {
			this.#expire(part.deadlineMs, `rank ${child}`, reject);
			void this.at(child, decodeScatter(encodeScatter(part))).then(answers => {
				const known = [...answers].filter(([rank]) => this.#conduct(child) !== 'lies' || rank % 2 === 0);
				const told = this.#conduct(child) === 'lies' ? [...known, [9999, ok(1)] as const] : known;
				resolve(decodeAnswers(encodeAnswers(new Map(told))));
			});
		});
	}

	#local(rank: number, deadlineMs: number): Promise<RankAnswer> {
		const conduct = this.#conduct(rank);
		if (conduct === 'fails') return Promise.resolve(failure(new SystemError('ENOENT', 'nothing there')));
		if (conduct === 'throws') return Promise.reject(new Error('a defect'));
		if (conduct !== 'hangs') return Promise.resolve(ok(rank));
		return new Promise((_, reject) => this.#expire(deadlineMs, `service of rank ${rank}`, reject));
	}

	#expire(deadlineMs: number, who: string, reject: (error: SystemError) => void): void {
		this.clock.setTimer(deadlineMs, () => reject(new SystemError('ETIMEDOUT', `${who} did not answer`)));
	}
}

async function ask(tree: Tree, ranks: Iterable<number>, deadlineMs = 1000): Promise<Answers> {
	const request = {ranks: Idset.from(ranks), topic: 'a.b', payload: Buffer.from('x'), deadlineMs};
	const asked = tree.at(0, request);
	await tree.clock.advance(2 * deadlineMs);
	return asked;
}

test('any tree, any ranks, any failures: one answer a rank, and at most one message a child', async t => {
	const conducts = fc.array(
		fc.oneof(
			{weight: 5, arbitrary: fc.constant('answers')},
			{weight: 2, arbitrary: fc.constantFrom<Conduct>('fails', 'throws', 'hangs', 'lost', 'lies')},
		),
		{minLength: 40, maxLength: 40},
	);
	const seen = new Set<string>();
	await fc.assert(
		fc.asyncProperty(
			topologies(40),
			fc.uniqueArray(fc.nat(44)),
			conducts,
			async (topology, ranks, conduct) => {
				const tree = new Tree(topology, rank => conduct[rank] ?? 'answers');
				const answers = await ask(tree, ranks);
				t.deepEqual(
					[...answers.keys()].sort((a, b) => a - b),
					[...ranks].sort((a, b) => a - b),
				);
				for (const [rank, answer] of answers) {
					const error = errorOf(answer);
					seen.add(error?.code ?? 'ok');
					if (error === null) t.deepEqual(Buffer.from(answer.payload), Buffer.from(ok(rank).payload));
					if (rank >= topology.size) t.is(error?.code, 'EHOSTUNREACH');
				}
				for (const [rank, count] of tree.sent) t.true(count <= topology.childrenOf(rank).length);
			},
		),
		{numRuns: 150},
	);
	t.deepEqual([...seen].sort(), ['EHOSTUNREACH', 'EIO', 'ENOENT', 'EPROTO', 'ETIMEDOUT', 'ok']);
});

test('who is late is named alone: those below it and beside it answer', async t => {
	const tree = new Tree(Topology.kary(15, 2), rank => (rank === 1 || rank === 9 ? 'hangs' : 'answers'));
	const answers = await ask(tree, Idset.range(0, 14));
	const late = [...answers].filter(([, answer]) => answer.errnum !== 0);
	t.deepEqual(Object.fromEntries(late.map(([rank, answer]) => [rank, errorOf(answer)?.message])), {
		1: 'service of rank 1 did not answer',
		9: 'service of rank 9 did not answer',
	});
});

test('behind a lost child all are unreachable, the others answer', async t => {
	const tree = new Tree(Topology.kary(15, 2), rank => (rank === 1 ? 'lost' : 'answers'));
	const answers = await ask(tree, Idset.range(0, 14));
	for (const [rank, answer] of answers) {
		const isBehind = Topology.kary(15, 2).subtreeOf(1).includes(rank);
		t.is(errorOf(answer)?.code ?? 'ok', isBehind ? 'EHOSTUNREACH' : 'ok', `rank ${rank}`);
	}
});

test('no ranks: no message, no answer', async t => {
	const tree = new Tree(Topology.kary(15, 2), () => 'answers');
	t.is((await ask(tree, [])).size, 0);
	t.is(tree.sent.size, 0);
});

test('requests and answers come back from their bytes as they were', t => {
	const ranks = fc.uniqueArray(fc.nat(RANKS_MAX - 1)).map(list => Idset.from(list));
	const bytes = fc.uint8Array({maxLength: 40}).map(array => Buffer.from(array));
	fc.assert(
		fc.property(ranks, fc.string(), bytes, fc.nat(), (set, topic, payload, deadlineMs) => {
			const back = decodeScatter(encodeScatter({ranks: set, topic, payload, deadlineMs}));
			t.true(back.ranks.equals(set));
			t.deepEqual(
				{...back, ranks: 0, payload: Buffer.from(back.payload)},
				{ranks: 0, topic, payload, deadlineMs},
			);
		}),
	);
	const answer = fc.record({errnum: fc.integer({min: 0, max: 4095}), payload: bytes});
	fc.assert(
		fc.property(fc.uniqueArray(fc.tuple(fc.nat(2000), answer), {selector: ([rank]) => rank}), list => {
			const back = decodeAnswers(encodeAnswers(new Map(list)));
			t.deepEqual(
				[...back].map(([rank, {errnum, payload}]) => [rank, errnum, Buffer.from(payload)]).sort(byRank),
				list.map(([rank, {errnum, payload}]) => [rank, errnum, payload]).sort(byRank),
			);
		}),
	);
});

function byRank(a: readonly unknown[], b: readonly unknown[]): number {
	return (a[0] as number) - (b[0] as number);
}

test('equal answers of many ranks take the room of one', t => {
	const same = new Map(
		Array.from({length: 5000}, (_, rank) => [rank, {errnum: 0, payload: Buffer.alloc(100)}]),
	);
	t.true(encodeAnswers(same).length < 200);
});

test('malformed bytes are refused with a named error, and cost no more than their length', t => {
	const valid = [
		encodeScatter({ranks: Idset.range(1, 9), topic: 'a.b', payload: Buffer.from('xyz'), deadlineMs: 5}),
		encodeAnswers(
			new Map([
				[1, ok(1)],
				[2, failure(new SystemError('EIO', 'bad'))],
			]),
		),
	];
	const mutated = fc
		.tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(), fc.nat(255)), {maxLength: 4}), fc.nat(40))
		.map(([bytes, changes, cut]) => {
			const copy = Buffer.from(bytes);
			for (const [at, value] of changes) copy[at % copy.length] = value;
			return copy.subarray(0, copy.length - (cut > 20 ? 0 : cut));
		});
	const attempt = (bytes: Uint8Array) => {
		for (const decode of [decodeScatter, decodeAnswers]) {
			try {
				decode(bytes);
			} catch (error) {
				if (!(error instanceof SystemError)) throw error;
			}
		}
	};
	fc.assert(fc.property(fc.oneof(fc.uint8Array({maxLength: 60}), mutated), attempt), {numRuns: 2000});
	for (const evil of [
		['0-4294967294', 'a.b', 5, Buffer.alloc(0)],
		['1', 'a.b', NaN, Buffer.alloc(0)],
		['1', 'a.b', -1, Buffer.alloc(0)],
		['1', 'a.b', Infinity, Buffer.alloc(0)],
		['1', 'a.b', 5, 'text'],
		['nonsense', 'a.b', 5, Buffer.alloc(0)],
	]) {
		t.throws(() => decodeScatter(encode(evil)), {instanceOf: SystemError});
	}
	for (const evil of [
		[['0-4294967294', 0, Buffer.alloc(0)]],
		[['1', -1, Buffer.alloc(0)]],
		[['1', 0.5, Buffer.alloc(0)]],
		[7],
	]) {
		t.throws(() => decodeAnswers(encode(evil)), {instanceOf: SystemError});
	}
});
