/** Goal: the promises about prolog and epilog hold in every state that walks come to, ruled as a broker rules. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {effectsOfJob} from '../../src/machines/effects.ts';
import type {JobFact, JobSnapshot} from '../../src/machines/job.ts';
import {isFailure} from '../../src/machines/job-perilog.ts';
import {advanceFactOf} from './job-facts.ts';
import {ruledPerilogWalks} from './perilog-facts.ts';
import {SEED} from './walk.ts';

const RUNS = {numRuns: 1000, seed: SEED};

/** Claims something of every step, and returns how many steps `counts` saw. */
function eachStep(
	claim: (job: JobSnapshot, before: readonly JobFact[]) => void,
	counts: (job: JobSnapshot) => boolean,
): number {
	let count = 0;
	fc.assert(
		fc.property(ruledPerilogWalks, ({facts, snapshots}) => {
			for (const [index, job] of snapshots.entries()) {
				if (counts(job)) count += 1;
				claim(job, facts.slice(0, index));
			}
		}),
		RUNS,
	);
	return count;
}

const partsOf = ({context}: JobSnapshot) => Object.values(context.ranks);
const namesOf = ({context}: JobSnapshot) => context.events.map(({name}) => name);
const beginsOf = (job: JobSnapshot) => effectsOfJob(job).filter(({kind}) => kind === 'begin');

test('tasks are let begin only once the prologs of all ranks have succeeded', t => {
	const begun = eachStep(
		job => {
			if (beginsOf(job).length === 0) return;
			assert.equal(job.value, 'run');
			assert.ok(partsOf(job).every(({prolog, state}) => state === 'exited' || prolog?.verdict === 'ok'));
			assert.equal(namesOf(job).at(-1) === 'exception', false);
		},
		job => beginsOf(job).length > 0,
	);
	t.true(begun > 10, String(begun));
});

test('a failed prolog ends the job, and a failed epilog does not change how it ended', t => {
	const failed = eachStep(
		job => {
			if (advanceFactOf(job) !== null) return;
			const {exception, events} = job.context;
			const isBad = partsOf(job).some(
				({prolog}) => prolog !== undefined && isFailure(prolog) && prolog.verdict !== 'stuck',
			);
			if (isBad) assert.ok(job.value !== 'run' && (exception !== null || job.context.evicted !== ''));
			assert.notEqual(exception?.type, 'epilog');
			const isEpilogBad = partsOf(job).some(({epilog}) => epilog !== undefined && isFailure(epilog));
			if (isEpilogBad && job.value !== 'none') {
				assert.ok(events.some(({context}) => context?.type === 'epilog' && context.severity === 1));
			}
		},
		({context}) => context.exception?.type === 'prolog',
	);
	t.true(failed > 10);
});

test('an epilog is not ended with its job, and what it may use is held until it is over', t => {
	const running = eachStep(
		job => {
			const {hasResources, ranks} = job.context;
			const inEpilog = Object.entries(ranks).filter(
				([, {state, phase}]) => state !== 'exited' && phase === 'epilog',
			);
			for (const effect of effectsOfJob(job)) {
				if (effect.kind === 'kill') assert.ok(!inEpilog.some(([rank]) => Number(rank) === effect.rank));
			}
			if (inEpilog.length === 0) return;
			assert.ok(hasResources && ['run', 'cleanup'].includes(job.value));
			assert.ok(inEpilog.every(([, {released}]) => !released));
		},
		job => partsOf(job).some(({state, phase}) => state !== 'exited' && phase === 'epilog'),
	);
	t.true(running > 20);
});

const ATTEMPT =
	'alloc (prolog-start )?(debug\\.adopt )?(prolog-finish )?(start )?(finish )?(epilog-start epilog-finish )?release free ';
const LOG = new RegExp(`^submit validate depend priority (${ATTEMPT}requeue priority )*(${ATTEMPT})?clean $`);

test('the log of a job that is over has the shape of RFC 21, each start with its finish', t => {
	const shapes = new Set<string>();
	eachStep(
		job => {
			if (job.value !== 'inactive') return;
			const names = namesOf(job).filter(name => name !== 'exception');
			const shape = names.map(name => `${name} `).join('');
			assert.match(shape, LOG);
			const last = names.slice(names.lastIndexOf('requeue') + 1);
			const has = (name: string) => last.includes(name);
			assert.equal(has('prolog-start'), has('prolog-finish'));
			assert.equal(has('start'), has('finish'));
			shapes.add(`${has('prolog-start')} ${has('start')} ${has('epilog-start')}`);
			if (has('start') && has('prolog-finish'))
				assert.ok(last.indexOf('prolog-finish') < last.indexOf('start') || job.context.exception !== null);
		},
		() => false,
	);
	for (const shape of ['true true false', 'false true true', 'true false true']) {
		t.true(shapes.has(shape), [...shapes].join());
	}
});

test('a job is never stuck: where nothing follows by rule, a rank or the scheduler has the next word', t => {
	const rests = eachStep(
		job => {
			if (advanceFactOf(job) !== null || !['run', 'cleanup'].includes(job.value)) return;
			const waiting = partsOf(job).filter(({state}) => state !== 'exited');
			assert.ok(waiting.length > 0);
			if (job.value !== 'run') return;
			const ready = waiting.filter(({phase}) => phase === 'ready');
			// One that was canceled on its node, which has told the root why, reports its end by itself.
			if (ready.some(({prolog}) => prolog?.verdict !== 'ok')) return;
			if (ready.length === waiting.length) assert.equal(beginsOf(job).length, ready.length);
		},
		job => job.value === 'run' && partsOf(job).some(({phase}) => phase === 'ready'),
	);
	t.true(rests > 10);
});
