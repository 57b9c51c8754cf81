/**
 * Goal: the one way from a fact to the world keeps its order, also when facts are posted while one is posted, and a replay
 * begins where it must. Method: a runtime over a log that only remembers.
 */
import test from 'ava';
import {Runtime} from '../../src/broker/runtime.ts';
import {DurableState, type AnyFact} from '../../src/machines/durable-state.ts';
import type {EventLog} from '../../src/store/event-log.ts';
import {SimClock} from '../../src/sim/clock.ts';
import {SimRandom} from '../../src/sim/random.ts';
import {jobspecOf, SUBMIT_MS} from '../services/job-fixture.ts';

interface LogRecord {
	readonly seq: number;
	readonly facts: readonly AnyFact[];
	readonly checkpoint: {readonly state: Uint8Array} | null;
}

/** What a runtime uses of a log; `appended` is what it was given. */
class FakeLog {
	readonly appended: AnyFact[] = [];
	readonly mode = 'normal';
	readonly backlogBytes = 0;
	readonly base: number;
	readonly snapshot: {readonly seq: number; readonly bytes: Uint8Array} | null;
	onSeal: unknown = null;
	readonly #records: readonly LogRecord[];

	constructor(records: readonly LogRecord[] = [], snapshot: FakeLog['snapshot'] = null) {
		this.#records = records;
		this.base = records[0]?.seq ?? 0;
		this.snapshot = snapshot;
	}

	append(facts: readonly AnyFact[]): void {
		this.appended.push(...facts);
	}

	whenDurable(run: () => void): void {
		run();
	}

	async *read({fromSeq}: {readonly fromSeq: number}): AsyncGenerator<readonly LogRecord[]> {
		for (const record of this.#records)
			if (record.seq + Math.max(1, record.facts.length) > fromSeq) yield [record];
	}
}

function runtimeOver(log: FakeLog): {runtime: Runtime; lines: string[]} {
	const lines: string[] = [];
	const runtime = new Runtime({
		log: log as unknown as EventLog,
		clock: new SimClock(),
		random: new SimRandom(1),
		rank: 0,
		snapshotFacts: 1000,
		retentionFacts: 0,
		report: (severity, message) => void lines.push(`${severity}: ${message}`),
		onFatal: error => {
			throw error;
		},
	});
	return {runtime, lines};
}

const submitOf = (id: bigint) => ({
	type: 'job.submit' as const,
	id,
	atMs: SUBMIT_MS,
	userid: 1000,
	urgency: 16,
	flags: 0,
	jobspec: jobspecOf(),
	requestId: null,
});

test('a fact that a listener posts comes in its turn, and a rule that it made void is not followed', t => {
	const log = new FakeLog();
	const {runtime} = runtimeOver(log);
	runtime.goLive();
	runtime.onJob(1n, ({snapshot}) => {
		if (snapshot.value !== 'new') return;
		runtime.post({type: 'job.exception', id: 1n, exception: 'cancel', severity: 0, note: '', userid: 1});
	});
	runtime.post(submitOf(1n));
	t.is(runtime.state.jobs.size, 0);
	t.is(runtime.state.archive.canceled, 1);
	const types = log.appended.map(({type}) => type);
	t.deepEqual(types, ['job.submit', 'job.validate', 'job.exception', 'job.clean']);
});

test('a listener that posts an illegal fact stops neither the rules nor the facts behind it', t => {
	const log = new FakeLog();
	const {runtime} = runtimeOver(log);
	runtime.goLive();
	runtime.onJob(1n, ({snapshot}) => {
		if (snapshot.value === 'depend') runtime.post({type: 'job.clean', id: 1n});
	});
	t.throws(() => runtime.post(submitOf(1n)), {message: /job 1 in state \w+ does not accept job\.clean/});
	t.is(runtime.state.jobs.get(1n)?.value, 'sched');
	runtime.post(submitOf(2n));
	t.is(runtime.state.jobs.get(2n)?.value, 'sched');
});

test('without a snapshot that can be read, a replay begins with the checkpoint of the log', async t => {
	const before = new DurableState();
	before.applyFact(submitOf(1n));
	const records = [
		{seq: 10, facts: [], checkpoint: {state: before.encode()}},
		{seq: 11, facts: [{type: 'job.validate', id: 1n, atMs: SUBMIT_MS} as const], checkpoint: null},
	];
	for (const snapshot of [null, {seq: 11, bytes: Uint8Array.of(0x80)}]) {
		const {runtime, lines} = runtimeOver(new FakeLog(records, snapshot));
		t.deepEqual(await runtime.replay(), {facts: 1, setAside: 0});
		t.is(runtime.state.jobs.get(1n)?.value, 'depend');
		t.is(lines.length, snapshot === null ? 0 : 1);
	}
});

test('with a snapshot, a replay begins behind it', async t => {
	const before = new DurableState();
	before.applyFact(submitOf(1n));
	const early = new DurableState();
	const records = [
		{seq: 10, facts: [], checkpoint: {state: early.encode()}},
		{seq: 11, facts: [{type: 'job.validate', id: 1n, atMs: SUBMIT_MS} as const], checkpoint: null},
	];
	const {runtime} = runtimeOver(new FakeLog(records, {seq: 10, bytes: before.encode()}));
	t.deepEqual(await runtime.replay(), {facts: 1, setAside: 0});
	t.is(runtime.state.jobs.get(1n)?.value, 'depend');
});
