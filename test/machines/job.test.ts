/**
 * Goal: what RFC 21 and DESIGN section 8 promise about one job holds wherever it can get to. Method: legal walks of two
 * kinds: free ones, in which any accepted fact may come, and ruled ones, in which what follows from a state comes at
 * once, as in a broker.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {resultOf} from '../../src/machines/archive-row.ts';
import {effectsOfJob} from '../../src/machines/effects.ts';
import {Idset} from '../../src/formats/idset.ts';
import {
	heldRanksOf,
	jobMachine,
	type JobContext,
	type JobFact,
	type JobSnapshot,
} from '../../src/machines/job.ts';
import {returnCodeOf} from '../../src/machines/job-report.ts';
import {
	advanceFactOf,
	ALIEN_RANK,
	dependentJobWalks,
	jobAfter,
	jobPool,
	jobWalks,
	R_OF_TWO,
	ruledJobWalks,
} from './job-facts.ts';
import {SEED, type Walk} from './walk.ts';

const STATES = ['cleanup', 'depend', 'inactive', 'new', 'none', 'priority', 'run', 'sched'];
/** States in which a ruled job can rest: nothing follows from them. */
const RESTING = ['cleanup', 'depend', 'inactive', 'none', 'run', 'sched'];
const RUNS = {numRuns: 100, seed: SEED};

type JobWalk = Walk<JobContext, JobFact>;

/** Claims something of every step of many walks, and that they reached `states`. */
function eachStep(
	t: import('ava').ExecutionContext,
	claim: (job: JobSnapshot, before: readonly JobFact[]) => void,
	{walks = jobWalks, states = STATES}: {walks?: fc.Arbitrary<JobWalk>; states?: readonly string[]} = {},
): void {
	const reached = new Set<string>();
	fc.assert(
		fc.property(walks, ({facts, snapshots}) => {
			for (const [index, job] of snapshots.entries()) {
				reached.add(job.value);
				claim(job, facts.slice(0, index));
			}
		}),
		RUNS,
	);
	for (const state of states) t.true(reached.has(state), `no walk came to ${state}`);
}

const partsOf = ({context}: JobSnapshot) => Object.values(context.ranks);
const namesOf = ({context}: JobSnapshot) => context.events.map(({name}) => name);

test('replaying any prefix of a walk gives the live job and the same effects', t => {
	eachStep(t, (job, before) => {
		const replayed = jobAfter(before);
		assert.deepEqual(replayed, job);
		assert.deepEqual(effectsOfJob(replayed), effectsOfJob(job));
	});
});

test('resources are held from the allocation to free, and at no other time', t => {
	eachStep(t, (job, before) => {
		const types = before.map(({type}) => type);
		const since = types.slice(types.lastIndexOf('job.requeue') + 1);
		const taken = since.some(type => type === 'job.alloc' || type === 'job.adopt');
		assert.equal(job.context.hasResources, taken && !since.includes('job.free'));
		assert.equal(job.context.R !== null, taken);
		const held = heldRanksOf(job.context);
		if (!job.context.hasResources) assert.deepEqual(held, []);
		for (const [rank, {state}] of Object.entries(job.context.ranks)) {
			if (job.context.hasResources && state !== 'exited') assert.ok(held.includes(Number(rank)));
		}
	});
});

test('the first exception of severity 0 is the root cause, and stays it', t => {
	eachStep(t, (job, before) => {
		const first = before.find(fact => fact.type === 'job.exception' && fact.severity === 0);
		const said = job.context.exception;
		if (first?.type === 'job.exception') {
			assert.deepEqual(said, {type: first.exception, severity: 0, note: first.note});
		} else {
			assert.equal(said, null);
		}
	});
});

test('after an exception of severity 0 a job is in cleanup or inactive', t => {
	eachStep(t, job => {
		if (job.context.exception !== null) assert.ok(['cleanup', 'inactive'].includes(job.value), job.value);
	});
});

test('a job is inactive only when all its parts have exited and it holds nothing', t => {
	eachStep(t, job => {
		if (job.value !== 'inactive') return;
		assert.ok(partsOf(job).every(({state}) => state === 'exited'));
		assert.ok(!job.context.hasResources);
	});
});

test('nothing is accepted after the end', t => {
	eachStep(t, job => {
		assert.equal(jobMachine.isFinal(job), job.value === 'inactive');
		if (job.value !== 'inactive') return;
		for (const fact of jobPool(job)) assert.ok(!jobMachine.accepts(job, fact), fact.type);
	});
});

test('a report is accounted for once, in order, and not after the end of its part', t => {
	eachStep(t, job => {
		for (const fact of jobPool(job)) {
			if (fact.type !== 'job.report') continue;
			const part = job.context.ranks[fact.rank];
			const isNew = part !== undefined && fact.seq > part.seq && part.state !== 'exited';
			const isTime = job.value === 'run' || job.value === 'cleanup';
			assert.equal(jobMachine.accepts(job, fact), isNew && isTime);
			if (fact.rank === ALIEN_RANK) assert.ok(!jobMachine.accepts(job, fact));
		}
	});
});

test('what is known of a part never shrinks', t => {
	const order = {requested: 0, started: 1, exited: 2};
	fc.assert(
		fc.property(jobWalks, ({snapshots}) => {
			for (const [index, job] of snapshots.entries()) {
				const isOther = snapshots[index - 1]?.context.past?.length !== job.context.past?.length;
				const known = isOther ? {} : (snapshots[index - 1]?.context.ranks ?? {});
				for (const [rank, before] of Object.entries(known)) {
					const part = job.context.ranks[rank];
					assert.ok(part);
					assert.ok(order[part.state] >= order[before.state]);
					assert.ok(part.seq >= before.seq);
					if (before.state === 'exited')
						assert.deepEqual({...part, released: false}, {...before, released: false});
					if (before.startedMs !== null) assert.equal(part.startedMs, before.startedMs);
				}
			}
		}),
		RUNS,
	);
	t.pass();
});

test('times of parts are finite, also when a report names no task', t => {
	eachStep(t, job => {
		for (const {state, startedMs, exitedMs} of partsOf(job)) {
			assert.ok(startedMs === null || Number.isFinite(startedMs), `startedMs ${startedMs}`);
			assert.ok(exitedMs === null || Number.isFinite(exitedMs), `exitedMs ${exitedMs}`);
			if (state === 'started') assert.notEqual(startedMs, null);
		}
		const fact = advanceFactOf(job);
		assert.ok(fact === null || Number.isFinite(fact.atMs), `${fact?.type} at ${fact?.atMs}`);
	});
});

test('an unknown end of any started task gives an unknown outcome, never a number and never success', t => {
	const outcomes = new Set<string>();
	const walks = fc.oneof(jobWalks, ruledJobWalks);
	const claim = (job: JobSnapshot) => {
		const {finished, outcome, waitStatus} = job.context;
		outcomes.add(outcome);
		if (!finished) {
			assert.deepEqual([outcome, waitStatus], ['none', null]);
			return;
		}
		const statuses = partsOf(job).flatMap(({tasks, ends}) => {
			const started = tasks.filter(({task}) => !ends.some(end => end.task === task)).map(() => null);
			return [...ends.map(end => end.waitStatus), ...started];
		});
		if (statuses.length === 0 || statuses.includes(null)) {
			assert.deepEqual([outcome, waitStatus], ['unknown', null]);
			assert.notEqual(resultOf(job.context), 'COMPLETED');
			return;
		}
		const codes = statuses.map(status => returnCodeOf(status!));
		assert.ok(statuses.includes(waitStatus));
		assert.equal(returnCodeOf(waitStatus!), Math.max(...codes));
		assert.equal(outcome, (waitStatus! & 0x7f) === 0 ? 'exited' : 'signaled');
	};
	eachStep(t, claim, {walks});
	t.deepEqual([...outcomes].sort(), ['exited', 'none', 'signaled', 'unknown']);
});

test('an attempt is counted by its allocation, or is the one that was found; it never goes back', t => {
	const attempts = new Set<number>();
	eachStep(t, (job, before) => {
		let attempt = 0;
		for (const fact of before) {
			if (fact.type === 'job.alloc') attempt += 1;
			if (fact.type !== 'job.adopt') continue;
			assert.ok(fact.attempt > attempt);
			({attempt} = fact);
		}
		assert.equal(job.context.attempt, attempt);
		attempts.add(attempt);
	});
	for (const attempt of [0, 1, 2]) t.true(attempts.has(attempt), `no walk came to attempt ${attempt}`);
});

test('a job that is evicted runs again with nothing of its attempt but the memory of it, unless it was ended', t => {
	let requeues = 0;
	let ended = 0;
	eachStep(
		t,
		(job, before) => {
			if (advanceFactOf(job) !== null) return;
			const requeued = before.filter(({type}) => type === 'job.requeue').length;
			assert.deepEqual((job.context.past ?? []).length, requeued);
			const evicted = before.findLastIndex(({type}) => type === 'job.evict');
			if (evicted === -1) return;
			const after = before.slice(evicted);
			const fatal = after.some(fact => fact.type === 'job.exception' && fact.severity === 0);
			if (job.value === 'inactive') {
				assert.ok(fatal, 'only an exception ends it');
				ended += 1;
			}
			if (job.value !== 'sched' || fatal) return;
			requeues += 1;
			assert.deepEqual(job.context.ranks, {});
			assert.equal(job.context.R, null);
			assert.deepEqual([job.context.started, job.context.finished], [false, false]);
			const forgotten = effectsOfJob(job).filter(({kind}) => kind === 'forget');
			assert.ok(forgotten.length > 0, 'what is left of the attempt may go');
			for (const effect of forgotten) {
				assert.ok('attempt' in effect && effect.attempt <= job.context.attempt);
			}
		},
		{walks: ruledJobWalks, states: RESTING},
	);
	t.true(requeues > 10);
	t.true(ended > 5);
});

test('a job leaves depend when each of its dependencies was removed once, and not before', t => {
	const ways = new Set<string>();
	const walks = {walks: dependentJobWalks, states: ['depend', 'priority']};
	const claim = (job: JobSnapshot, before: readonly JobFact[]) => {
		const submit = before[0];
		if (submit?.type !== 'job.submit') return;
		const asked = (submit.dependencies ?? []).map(({description}) => description);
		const removed = before.flatMap(fact => (fact.type === 'job.dependency-remove' ? [fact.description] : []));
		assert.equal(new Set(removed).size, removed.length, 'each once');
		assert.ok(removed.every(description => asked.includes(description)));
		const left = asked.filter(description => !removed.includes(description));
		assert.deepEqual(
			(job.context.dependencies ?? []).map(({description}) => description),
			left,
		);
		assert.equal(namesOf(job).filter(name => name === 'dependency-add').length, asked.length);
		if (!namesOf(job).includes('depend')) return;
		assert.deepEqual(left, []);
		ways.add(asked.length > 0 ? 'after a wait' : 'without');
	};
	eachStep(t, claim, walks);
	t.deepEqual([...ways].sort(), ['after a wait', 'without']);
});

test('a job without ranks is never taken for one that runs', t => {
	const fact = jobPool(jobMachine.initial()).find(({type}) => type === 'job.adopt')!;
	const nowhere = {version: 1, execution: {R_lite: []}};
	t.false(jobMachine.accepts(jobMachine.initial(), {...fact, R: nowhere, attempt: 1} as JobFact));
	t.true(jobMachine.accepts(jobMachine.initial(), {...fact, R: R_OF_TWO, attempt: 1} as JobFact));
});

test('start needs every part to have started, finish every part to have exited, free and clean nothing left', t => {
	eachStep(t, job => {
		const {started, finished, hasResources} = job.context;
		const parts = partsOf(job);
		const gone = parts.every(({state}) => state === 'exited');
		const expected: Record<string, boolean> = {
			'job.start': job.value === 'run' && !started && parts.every(({startedMs}) => startedMs !== null),
			'job.finish': ['run', 'cleanup'].includes(job.value) && started && !finished && gone,
			'job.free': job.value === 'cleanup' && hasResources && gone,
			'job.clean': job.value === 'cleanup' && !hasResources && gone,
			'job.validate': job.value === 'new',
			'job.depend': job.value === 'depend' && (job.context.dependencies ?? []).length === 0,
			'job.priority': ['priority', 'sched'].includes(job.value),
			'job.urgency': ['depend', 'priority', 'sched'].includes(job.value),
			'job.submit': job.value === 'none',
			'job.exception': job.value !== 'none' && job.value !== 'inactive',
			'job.evict': job.value === 'run',
		};
		for (const fact of jobPool(job)) {
			if (fact.type === 'job.release') {
				const named = [...Idset.parse(fact.ranks)].map(rank => job.context.ranks[rank]);
				const isPartial =
					!fact.final && named.length > 0 && named.every(part => part?.state === 'exited' && !part.released);
				const isFinal = job.value === 'cleanup' && gone;
				const expected = isFinal || (isPartial && ['run', 'cleanup'].includes(job.value));
				assert.equal(jobMachine.accepts(job, fact), expected);
			}
			if (fact.type in expected) assert.equal(jobMachine.accepts(job, fact), expected[fact.type], fact.type);
		}
	});
});

test('rules end: from wherever a job is they come to rest, and no two steps in a row have the same key', t => {
	eachStep(t, start => {
		let job = start;
		let last = '';
		for (let steps = 0; ; steps += 1) {
			const [effect] = effectsOfJob(job);
			const fact = advanceFactOf(job);
			if (fact === null || effect === undefined) return;
			assert.notEqual(effect.key, last, 'a runner that knows the key would not do it again');
			assert.ok(steps < 60);
			last = effect.key;
			job = jobMachine.apply(job, fact);
		}
	});
});

test('a ruled job rests where an effect, a rank or a person has the next word', t => {
	const rests = new Set<string>();
	fc.assert(
		fc.property(ruledJobWalks, ({snapshots}) => {
			const job = snapshots.at(-1)!;
			assert.equal(advanceFactOf(job), null);
			rests.add(job.value);
			const isWaiting = partsOf(job).some(({state}) => state !== 'exited');
			if (job.value === 'run' || job.value === 'cleanup') assert.ok(isWaiting, job.value);
		}),
		RUNS,
	);
	t.deepEqual(
		[...rests].sort(),
		RESTING.filter(state => state !== 'none'),
	);
});

const RUN = '((urgency )?priority )*((alloc )?(debug\\.adopt )?(start )?(finish )?(release free )?)';
const ADOPTED = 'alloc debug\\.adopt ';
const LOG = new RegExp(
	`^submit (dependency-add )*validate (dependency-remove |urgency )*(depend priority |${ADOPTED})?(${ADOPTED})?(${RUN}requeue )*${RUN}(clean )?$`,
);

test('the log of a ruled job has the shape of RFC 21', t => {
	const shapes = new Set<string>();
	eachStep(
		t,
		job => {
			if (advanceFactOf(job) !== null || job.value === 'none') return;
			const names = namesOf(job).filter(name => name !== 'exception');
			const shape = names.map(name => `${name} `).join('');
			assert.match(shape, LOG);
			const since = names.slice(names.lastIndexOf('requeue') + 1);
			assert.equal(since.includes('start'), job.context.started);
			assert.equal(since.includes('finish'), job.context.finished);
			if (job.value === 'inactive') {
				assert.equal(names.at(-1), 'clean');
				assert.equal(since.includes('finish'), since.includes('start'), 'finish belongs to start');
				assert.equal(since.includes('free'), since.includes('alloc'));
				if (names.includes('alloc')) shapes.add(since.includes('start') ? 'ran' : 'cancelled before start');
				else shapes.add('cancelled before alloc');
			}
		},
		{walks: ruledJobWalks, states: RESTING},
	);
	t.deepEqual([...shapes].sort(), ['cancelled before alloc', 'cancelled before start', 'ran']);
});

test('what a rank complained of becomes an exception of the same kind and severity', t => {
	const severities = new Set<number>();
	eachStep(
		t,
		(job, before) => {
			if (advanceFactOf(job) !== null) return;
			assert.deepEqual(job.context.complaints, []);
			for (const fact of before) {
				if (fact.type !== 'job.report' || fact.body.kind !== 'exception') continue;
				if (fact.body.isRepeated === true) continue;
				const {exception, severity, note} = fact.body;
				severities.add(severity);
				const said = job.context.events.some(
					({name, context}) =>
						name === 'exception' &&
						context?.type === exception &&
						context.severity === severity &&
						context.note === note,
				);
				assert.ok(said, `${exception} ${severity}`);
			}
		},
		{walks: ruledJobWalks, states: ['run', 'cleanup', 'inactive']},
	);
	t.deepEqual([...severities].sort(), [0, 1]);
});

test('a complaint is settled by an exception of its own severity only', t => {
	const job = jobAfter([
		...jobPool(jobMachine.initial())
			.filter(({type}) => type === 'job.adopt')
			.slice(1, 2),
	]);
	const base = {id: 7n, atMs: 5};
	const fatal = {kind: 'exception', exception: 'exec', severity: 0, note: 'same words'} as const;
	const complaining = jobMachine.apply(job, {
		...base,
		type: 'job.report',
		rank: 0,
		seq: 1,
		bootId: 'b',
		body: fatal,
	});
	const told = jobMachine.apply(complaining, {
		...base,
		type: 'job.exception',
		exception: 'exec',
		severity: 3,
		note: 'same words',
		userid: 1,
	});
	t.is(told.context.complaints.length, 1);
	t.is(jobMachine.apply(told, advanceFactOf(told)!).value, 'cleanup');
});
