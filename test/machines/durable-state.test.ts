/**
 * Goal: the durable state is a pure function of its facts, can be written and read at any moment, and one bad job leaves the
 * others alone. Method: walks of several jobs, parts, RPCs and of the broker, mixed by arbitrary numbers.
 */
import assert from 'node:assert/strict';
import {decode} from '@msgpack/msgpack';
import test from 'ava';
import fc from 'fast-check';
import {DurableState, isDurable, LOST_FACTS_MAX, type AnyFact} from '../../src/machines/durable-state.ts';
import {FLAG_WAITABLE, jobMachine, type JobFact} from '../../src/machines/job.ts';
import {IllegalFactError} from '../../src/machines/machine.ts';
import {advanceFactOf, EXTERNAL_JOB_FACTS, jobPool} from './job-facts.ts';
import {brokerPool, brokerWalks, nodeWalks, partWalks, queueWalks, rpcWalks} from './other-facts.ts';
import {SEED, walksOf} from './walk.ts';

const JOB_IDS = [3n, 7n, 2n ** 40n];
const RUNS = {numRuns: 40, seed: SEED};

/** Job `id` as a broker leads it, submitted with the flag and request id that belong to it. */
function jobFactsOf(id: bigint): fc.Arbitrary<readonly AnyFact[]> {
	return walksOf<ReturnType<typeof jobMachine.initial>['context'], JobFact>({
		machine: jobMachine,
		poolOf: snapshot =>
			jobPool(snapshot, id)
				.filter(({type}) => EXTERNAL_JOB_FACTS.has(type))
				.map(fact =>
					fact.type === 'job.submit' && fact.requestId !== null ? {...fact, flags: FLAG_WAITABLE} : fact,
				),
		ruled: advanceFactOf,
	}).map(({facts}) => facts);
}

/** Several logs as one: each in its own order, which comes when by arbitrary numbers. */
const logs: fc.Arbitrary<readonly AnyFact[]> = fc
	.tuple(
		fc.tuple(...JOB_IDS.map(jobFactsOf)),
		partWalks,
		rpcWalks,
		brokerWalks,
		nodeWalks,
		queueWalks,
		fc.array(fc.nat(), {minLength: 200, maxLength: 200}),
	)
	.map(([jobs, part, rpc, broker, node, queue, order]) => {
		const queues: AnyFact[][] = [...jobs, part.facts, rpc.facts, node.facts, queue.facts].map(facts => [
			...facts,
		]);
		const mixed: AnyFact[] = [];
		// The broker's facts come first, as in a log: a boot would end the RPC.
		mixed.push(...broker.facts);
		for (let step = 0; queues.some(queue => queue.length > 0); step += 1) {
			const filled = queues.filter(queue => queue.length > 0);
			const queue = filled[(order[step % order.length] ?? 0) % filled.length]!;
			mixed.push(queue.shift()!);
		}
		return inOrderOfIds(mixed);
	});

/** The first facts of jobs in ascending order of ids: ids never go back. */
function inOrderOfIds(facts: readonly AnyFact[]): AnyFact[] {
	const firsts = new Map<bigint, JobFact>();
	for (const fact of facts) {
		const isBirth = fact.type === 'job.submit' || fact.type === 'job.adopt';
		if (isBirth && !firsts.has(fact.id)) firsts.set(fact.id, fact);
	}
	const births = new Set<AnyFact>(firsts.values());
	return [
		...[...firsts.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
		...facts.filter(fact => !births.has(fact)),
	];
}

function stateAfter(facts: Iterable<AnyFact>, state = new DurableState()): DurableState {
	for (const fact of facts) state.applyFact(fact);
	return state;
}

function decoded(state: DurableState): DurableState {
	return DurableState.decode(state.encode());
}

/** Everything that a fact can change, as plain values. */
function contentOf(state: DurableState): object {
	const {broker, jobs, parts, nodes, queues, released, requests, lost, archive, waitable, lastJobId} = state;
	return {
		broker,
		jobs: new Map(jobs),
		parts: new Map(parts),
		nodes: new Map(nodes),
		queues: new Map(queues),
		released: [...released],
		requests: new Map(requests),
		lost: new Map(lost),
		archive,
		waitable: [...waitable],
		lastJobId,
	};
}

test('what is encoded is decoded to the same state, with the same bytes and digest', t => {
	const archived = new Set<number>();
	fc.assert(
		fc.property(logs, fc.nat(), (facts, n) => {
			const state = stateAfter(facts.slice(0, n % (facts.length + 1)));
			const read = decoded(state);
			assert.deepEqual(contentOf(read), contentOf(state));
			assert.deepEqual(read.encode(), state.encode());
			assert.equal(read.digest(), state.digest());
			assert.equal(state.digest(), state.digest());
			archived.add(state.archive.count);
		}),
		RUNS,
	);
	t.true(archived.size >= 3);
});

test('a snapshot at any moment and the facts after it give what all facts give', t => {
	fc.assert(
		fc.property(logs, fc.nat(), (facts, n) => {
			const cut = n % (facts.length + 1);
			const isOfRpc = (fact: AnyFact) => !isDurable(fact);
			const whole = stateAfter(facts.filter(fact => !isOfRpc(fact)));
			const early = decoded(stateAfter(facts.slice(0, cut)));
			const late = stateAfter(
				facts.slice(cut).filter(fact => !isOfRpc(fact)),
				early,
			);
			assert.equal(late.digest(), whole.digest());
		}),
		RUNS,
	);
	t.pass();
});

test('the state is the same in whatever order the jobs came into it', t => {
	const adoptOf = (id: bigint) =>
		jobPool(jobMachine.initial(), id).find(fact => fact.type === 'job.adopt' && fact.attempt === 1)!;
	const digestOf = (facts: readonly AnyFact[]) => stateAfter(facts).digest();
	const facts = JOB_IDS.map(adoptOf);
	const digest = digestOf(facts);
	t.is(digestOf([...facts].reverse()), digest);
	t.is(decoded(stateAfter([...facts].reverse())).digest(), digest);
	const lost = (ids: readonly bigint[]) => {
		const state = stateAfter(facts);
		for (const id of ids) state.setAside({type: 'job.free', id, atMs: 1}, {seq: 1, reason: 'test'});
		return state.digest();
	};
	t.is(lost(JOB_IDS), lost([...JOB_IDS].reverse()));
	const parts = [1n, 2n].map(id => ({type: 'part.request' as const, id, attempt: 1, atMs: 1}));
	t.is(digestOf(parts), digestOf([...parts].reverse()));
});

test('a refused fact changes nothing', t => {
	let refused = 0;
	fc.assert(
		fc.property(logs, fc.nat(), (facts, n) => {
			const cut = n % (facts.length + 1);
			const state = stateAfter(facts.slice(0, cut));
			const before = state.digest();
			for (const id of JOB_IDS) {
				const job = state.jobs.get(id);
				for (const fact of jobPool(job ?? jobMachine.initial(), id)) {
					if (jobMachine.accepts(job ?? jobMachine.initial(), fact)) continue;
					assert.throws(() => state.applyFact(fact), IllegalFactError);
					refused += 1;
				}
			}
			assert.equal(state.digest(), before);
		}),
		RUNS,
	);
	t.true(refused > 1000);
});

test('a finished job leaves memory for one row of the archive, and its request id for another', t => {
	let requests = 0;
	let purges = 0;
	fc.assert(
		fc.property(logs, facts => {
			const state = new DurableState();
			const chains = new Set([state.archive.chain]);
			for (const fact of facts) {
				const {count, chain} = state.archive;
				const change = state.applyFact(fact);
				if (fact.type === 'broker.purge') {
					assert.equal(state.archive.count, count - fact.ids.length);
					assert.ok(fact.ids.every(id => !state.waitable.has(id)));
					assert.ok(!chains.has(state.archive.chain), 'the chain changes with every purge');
					chains.add(state.archive.chain);
					purges += 1;
					continue;
				}
				if (change.kind !== 'job' || !change.isFinal) {
					assert.deepEqual([state.archive.count, state.archive.chain], [count, chain]);
					continue;
				}
				const {requestId, flags} = change.snapshot.context;
				assert.ok(!state.jobs.has(change.id));
				assert.equal(state.archive.count, count + 1);
				assert.ok(!chains.has(state.archive.chain), 'the chain changes with every row');
				chains.add(state.archive.chain);
				assert.equal(change.rows.length, requestId === null ? 1 : 2);
				const row = decode(change.rows[0]!.value, {useBigInt64: true}) as {id: bigint; result: string};
				assert.equal(BigInt(row.id), change.id);
				assert.match(row.result, /^(COMPLETED|FAILED|CANCELED|TIMEOUT)$/);
				assert.equal(state.waitable.has(change.id), (flags & FLAG_WAITABLE) !== 0);
				if (requestId === null) continue;
				requests += 1;
				assert.ok(!state.requests.has(requestId));
				assert.deepEqual(Buffer.from(change.rows[1]!.key).toString(), `R${requestId}`);
				assert.equal(decode(change.rows[1]!.value, {useBigInt64: true}), change.id);
			}
			const {count, completed, failed, canceled, timeout} = state.archive;
			assert.equal(completed + failed + canceled + timeout, count);
		}),
		RUNS,
	);
	t.true(requests > 5);
	t.true(purges > 5);
});

test('two archives differ when one row of one job differs', t => {
	const facts = fc
		.sample(jobFactsOf(7n), {numRuns: 200, seed: 3})
		.find(one => one.at(-1)?.type === 'job.clean')!;
	const chainOf = (all: readonly AnyFact[]) => stateAfter(all).archive.chain;
	const [first, ...rest] = facts as JobFact[];
	t.not(chainOf(facts), chainOf([{...first!, userid: 1001} as AnyFact, ...rest]));
	t.not(chainOf(facts), chainOf([{...first!, atMs: first!.atMs + 1, submitMs: 5} as AnyFact, ...rest]));
	t.is(chainOf(facts), chainOf([...facts]));
});

test('a job that is active is not purged', t => {
	const state = stateAfter([jobPool(jobMachine.initial(), 7n)[0]!]);
	const digest = state.digest();
	const results = {completed: 1, failed: 0, canceled: 0, timeout: 0};
	t.throws(() => state.applyFact({type: 'broker.purge', atMs: 1, ids: [6n, 7n], results}), {
		instanceOf: IllegalFactError,
	});
	t.is(state.digest(), digest);
});

test('a request id belongs to its job as long as the job is active', t => {
	fc.assert(
		fc.property(logs, facts => {
			const state = new DurableState();
			for (const fact of facts) {
				state.applyFact(fact);
				const expected = [...state.jobs.values()]
					.filter(({context}) => context.requestId !== null)
					.map(({context}) => [context.requestId, context.id]);
				assert.deepEqual([...state.requests].sort(), expected.sort());
			}
		}),
		{numRuns: 20, seed: SEED},
	);
	t.pass();
});

test('an id is never given twice, also after its job is gone or was seen elsewhere', t => {
	fc.assert(
		fc.property(logs, facts => {
			const state = stateAfter(facts);
			const last = state.lastJobId;
			for (const id of [1n, last]) {
				const submit = jobPool(jobMachine.initial(), id)[0]!;
				assert.throws(() => state.applyFact(submit), IllegalFactError);
			}
			if (state.broker.value === 'new') return;
			state.applyFact({type: 'broker.jobid-floor', atMs: 1, id: last + 9n});
			assert.equal(state.lastJobId, last + 9n);
			state.applyFact({type: 'broker.jobid-floor', atMs: 1, id: 1n});
			assert.equal(state.lastJobId, last + 9n);
		}),
		RUNS,
	);
	t.pass();
});

test('a part whose fact does not fit is dropped, and its job is left alone', t => {
	const state = stateAfter([]);
	state.applyFact({type: 'part.request', id: 7n, attempt: 1, atMs: 1});
	const jobs = new Map(state.jobs);
	state.setAside({type: 'part.ack', id: 7n, attempt: 1, seq: 9, atMs: 2}, {seq: 41, reason: 'test'});
	t.is(state.parts.size, 0);
	t.is(state.lost.size, 0);
	t.deepEqual(state.jobs, jobs);
});

test('a job that made the broker panic is set aside by a fact, holds what it held, and does not come back', t => {
	const state = stateAfter([]);
	for (const fact of [
		jobPool(jobMachine.initial(), 7n)[0]!,
		...brokerPool({context: state.broker.context}).slice(0, 1),
	])
		state.applyFact(fact);
	state.applyFact({type: 'broker.boot', atMs: 1, epoch: 1, bootId: 'b', uuid: 'u', pid: 2, version: '1'});
	const job = state.jobs.get(7n)!;
	state.applyFact({type: 'broker.set-aside', atMs: 2, id: 7n, reason: 'it panicked', seq: 9});
	t.false(state.jobs.has(7n));
	t.deepEqual(state.lost.get(7n), {
		id: 7n,
		reason: 'it panicked',
		seq: 9,
		job,
		facts: [],
		isQuarantined: true,
	});
	t.deepEqual(DurableState.decode(state.encode()).lost, state.lost);
	const adopt = jobPool(jobMachine.initial(), 7n).find(({type}) => type === 'job.adopt')!;
	t.throws(() => state.applyFact(adopt), {instanceOf: IllegalFactError});
	state.applyFact({type: 'broker.set-aside', atMs: 2, id: 8n, reason: 'nobody knows it', seq: 10});
	t.is(state.lost.size, 1);
});

test('a job that is set aside keeps its resources and takes its later facts along; the others do not notice', t => {
	let holding = 0;
	fc.assert(
		fc.property(logs, fc.nat(), (facts, n) => {
			const bad = {type: 'job.validate', id: 7n, atMs: 1} as const;
			const isOfJob = (fact: AnyFact): fact is JobFact =>
				fact.type.startsWith('job.') && (fact as JobFact).id === 7n;
			// No fact of a job comes before those that submitted it and the ids below.
			const first = facts.findIndex(isOfJob) + 1;
			const cut = first + (n % (facts.length - first + 1));
			fc.pre(!facts.slice(cut).some(fact => isOfJob(fact) && fact.type === 'job.adopt'));
			const state = stateAfter(facts.slice(0, cut));
			const job = state.jobs.get(7n) ?? null;
			state.setAside(bad, {seq: 41, reason: 'test'});
			for (const [index, fact] of facts.slice(cut).entries()) {
				if (!isOfJob(fact)) state.applyFact(fact);
				else {
					assert.throws(() => state.applyFact(fact), IllegalFactError);
					state.setAside(fact, {seq: 42 + index, reason: 'later'});
				}
			}
			const entry = state.lost.get(7n)!;
			assert.deepEqual([entry.seq, entry.reason, entry.job], [41, 'test', job]);
			const later = facts.slice(cut).filter(isOfJob);
			assert.deepEqual(entry.facts, [bad, ...later].slice(0, LOST_FACTS_MAX));
			if (entry.job?.context.hasResources === true) holding += 1;
			assert.ok(!state.jobs.has(7n));
			assert.ok(![...state.requests.values()].includes(7n));
			const others = stateAfter(facts.filter(fact => !isOfJob(fact)));
			for (const id of [3n, 2n ** 40n]) assert.deepEqual(state.jobs.get(id), others.jobs.get(id));
			assert.deepEqual(state.parts, others.parts);
			assert.equal(decoded(state).digest(), state.digest());
		}),
		RUNS,
	);
	t.true(holding > 3);
});

test('a job of lost+found that was found on a node is a job again, and that of its request id', t => {
	const state = stateAfter([]);
	const submit = jobPool(jobMachine.initial(), 7n)[0]!;
	state.applyFact({...submit, requestId: 'mine'} as AnyFact);
	state.setAside({type: 'job.free', id: 7n, atMs: 2}, {seq: 41, reason: 'test'});
	t.is(state.jobs.size, 0);
	t.is(state.requests.size, 0);
	state.applyFact({
		type: 'job.adopt',
		id: 7n,
		atMs: 3,
		userid: 1000,
		urgency: 16,
		flags: 0,
		jobspec: {json: '{"version":1}'},
		R: {version: 1, execution: {R_lite: [{rank: '0', children: {core: '0'}}], nodelist: ['n']}},
		attempt: 1,
		submitMs: 1,
		allocMs: 2,
	});
	t.is(state.lost.size, 0);
	t.is(state.jobs.get(7n)?.value, 'run');
	t.is(state.requests.get('mine'), 7n);
	t.deepEqual(decoded(state).jobs, state.jobs);
});

test('at most LOST_FACTS_MAX facts of a lost job are kept', t => {
	const state = new DurableState();
	for (let seq = 1; seq < LOST_FACTS_MAX + 20; seq += 1) {
		state.setAside({type: 'job.free', id: 5n, atMs: seq}, {seq, reason: `at ${seq}`});
	}
	t.is(state.lost.get(5n)?.facts.length, LOST_FACTS_MAX);
	t.is(state.lost.get(5n)?.reason, 'at 1');
	t.is(state.lastJobId, 5n);
});

test('a boot ends the RPCs of the boots before, and RPCs are no part of the durable state', t => {
	const state = new DurableState();
	const digest = state.digest();
	state.applyFact({
		type: 'rpc.request',
		atMs: 1,
		key: 'a/1',
		topic: 't',
		streaming: false,
		sender: 'a',
		target: 't',
	});
	t.is(state.rpcs.size, 1);
	t.is(state.digest(), digest);
	state.applyFact({type: 'broker.instance', atMs: 1, instance: 'i', epochMs: 1, rank: 0, hostname: 'h'});
	state.applyFact({type: 'broker.boot', atMs: 2, epoch: 1, bootId: 'b', uuid: 'u', pid: 1, version: 'v'});
	t.is(state.rpcs.size, 0);
});

test('a fact of no known kind is refused', t => {
	const state = new DurableState();
	t.throws(() => state.applyFact({type: 'weather.rain', atMs: 1} as never), {instanceOf: IllegalFactError});
});

test('bytes of another version are refused', t => {
	t.throws(() => DurableState.decode(Uint8Array.from([0x81, 0xa7, ...Buffer.from('version'), 99])), {
		message: /snapshot of version 99/,
	});
});
