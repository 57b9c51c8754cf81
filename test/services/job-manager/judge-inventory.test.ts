/**
 * Goal: the comparison of DESIGN section 8, as a total table: everything that the root's log can say about a part × everything
 * that its node can report × same or new boot, each with the one thing that happens.
 */
import test from 'ava';
import type {JobSnapshot} from '../../../src/machines/job.ts';
import {jobMachine, type JobFact} from '../../../src/machines/job.ts';
import {judgeInventory, type Verdict} from '../../../src/services/job-manager/judge-inventory.ts';
import type {InventoryPart} from '../../../src/services/job-exec/messages.ts';
import {BOOT, JobLine, jobspecOf, resourcesOf, SUBMIT_MS} from '../job-fixture.ts';

const ID = 1n;
const NOW_MS = SUBMIT_MS + 60_000;
/** The rank that has rejoined; the job also has rank 1, which has not started. */
const RANK = 0;

const line = () => new JobLine(ID).submit().alloc(resourcesOf(2, 1));

/** What the root's log says of the job and its part on RANK. */
const ROOT: Readonly<Record<string, () => {job?: JobSnapshot; archived?: true; lost?: true}>> = {
	'run, requested': () => ({job: line().job}),
	'run, started': () => ({job: line().started(RANK).job}),
	'run, exited': () => ({job: line().started(RANK).exited(RANK, 0).job}),
	'cleanup, requested': () => ({job: line().exception('cancel').job}),
	'cleanup, started': () => ({job: line().started(RANK).exception('cancel').job}),
	'cleanup, exited': () => ({job: line().started(RANK).exited(RANK, 0).exception('cancel').job}),
	'not on this rank': () => ({job: new JobLine(ID).submit().alloc(resourcesOf(2, 1).pick(rankset(1))).job}),
	'run, found, requested': () => ({job: found()}),
	'run, concluded': () => ({job: lost(line().started(1)).job}),
	pending: () => ({job: new JobLine(ID).submit().job}),
	'pending again': () => ({job: again().job}),
	archived: () => ({archived: true}),
	'set aside': () => ({lost: true}),
	unknown: () => ({}),
};

const NODE: Readonly<Record<string, Pick<InventoryPart, 'state' | 'isDead'> | null>> = {
	nothing: null,
	requested: {state: 'requested'},
	running: {state: 'running'},
	exited: {state: 'exited'},
	'dead, requested': {state: 'requested', isDead: true},
	'dead, running': {state: 'running', isDead: true},
};

const NODE_FAILURE = 'node-failure exception, lost report';
const SUPERSEDED = {
	nothing: '-',
	requested: 'superseded',
	running: 'superseded',
	exited: 'superseded',
	dead: 'superseded',
};

/** By root, then by what the node reports: in the same boot, and (after a slash) in a new one, where that differs. */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	// Nothing: the start is sent again when the rank is reconciled, or its report follows.
	'run, requested': {nothing: '-', requested: '-', running: '-', exited: '-', dead: NODE_FAILURE},
	'run, started': {
		nothing: `exec exception, lost report / ${NODE_FAILURE}`,
		requested: '-',
		running: 'reattach',
		exited: '-',
		dead: NODE_FAILURE,
	},
	'run, exited': {
		nothing: '-',
		requested: 'superseded',
		running: 'superseded',
		exited: '-',
		dead: 'superseded',
	},
	// The kill is sent when the rank is reconciled.
	'cleanup, requested': {nothing: '-', requested: '-', running: '-', exited: '-', dead: 'lost report'},
	'cleanup, started': {
		nothing: 'lost report',
		requested: '-',
		running: '-',
		exited: '-',
		dead: 'lost report',
	},
	'cleanup, exited': {
		nothing: '-',
		requested: 'superseded',
		running: 'superseded',
		exited: '-',
		dead: 'superseded',
	},
	'not on this rank': SUPERSEDED,
	// It was started everywhere before this log knew of it, and must not be started again.
	'run, found, requested': {
		nothing: 'exec exception, lost report',
		requested: '-',
		running: '-',
		exited: '-',
		dead: NODE_FAILURE,
	},
	// Its end was concluded without it, by an admin's word or an earlier inventory.
	'run, concluded': {
		nothing: '-',
		requested: 'superseded',
		running: 'superseded',
		exited: '-',
		dead: 'superseded',
	},
	// Its allocation was lost with a part of the log.
	pending: {nothing: '-', requested: 'unknown', running: 'unknown', exited: 'unknown', dead: 'unknown'},
	'pending again': SUPERSEDED,
	archived: SUPERSEDED,
	'set aside': {nothing: '-', requested: '-', running: '-', exited: '-', dead: '-'},
	unknown: {nothing: '-', requested: 'unknown', running: 'unknown', exited: 'unknown', dead: 'unknown'},
};

for (const [said, root] of Object.entries(ROOT)) {
	for (const [reported, part] of Object.entries(NODE)) {
		const column = part?.isDead === true ? 'dead' : reported;
		const cells = EXPECTED[said]![column]!.split(' / ');
		for (const [index, bootId] of [BOOT, 'boot-2'].entries()) {
			const cell = cells[index] ?? cells[0]!;
			const boot = index === 0 ? 'same boot' : 'new boot';
			test(`root: ${said}; node: ${reported}, ${boot} → ${cell}`, t => {
				const known = root();
				const attempt = Math.max(1, known.job?.context.attempt ?? 1);
				const parts = part === null ? [] : [{id: ID, attempt, acked: 0, ...part}];
				const verdict = judge(known, {bootId, parts});
				t.is(nameOf(verdict), cell);
				if (known.job === undefined) return;
				// What was judged can be posted, in its order.
				let {job} = known;
				for (const fact of verdict.facts) job = jobMachine.apply(job, {atMs: NOW_MS, ...fact} as JobFact);
				if (cell.includes('lost report')) {
					t.is(job.value, 'cleanup');
					t.is(job.context.ranks[RANK]!.state, 'exited');
					const wasStarted = known.job.context.ranks[RANK]!.state === 'started';
					const unknown = [{task: 0, waitStatus: null, endMs: NOW_MS}];
					t.deepEqual(job.context.ranks[RANK]!.ends, wasStarted ? unknown : []);
				}
			});
		}
	}
}

for (const state of ['requested', 'running', 'exited'] as const) {
	test(`a superseded attempt that is ${state} is ended, while the present one is judged on its own`, t => {
		const job = {...line().started(RANK).job};
		const second = {...job, context: {...job.context, attempt: 2}};
		const old = {id: ID, attempt: 1, acked: 0, state};
		const both = judge(
			{job: second},
			{bootId: BOOT, parts: [old, {id: ID, attempt: 2, acked: 1, state: 'running'}]},
		);
		t.deepEqual(both.superseded, [{id: ID, attempt: 1}]);
		t.deepEqual(
			both.facts.map(({type}) => type),
			['job.reattach'],
		);
		const alone = judge({job: second}, {bootId: BOOT, parts: [old]});
		t.deepEqual(alone.superseded, [{id: ID, attempt: 1}]);
		t.deepEqual(
			alone.facts.map(({type}) => type),
			['job.exception', 'job.report'],
		);
	});
}

test('a reboot is named as the reason, and so is a node that has no trace', t => {
	const noteIn = (bootId: string) => {
		const [exception] = judge({job: line().started(RANK).job}, {bootId, parts: []}).facts;
		return exception?.type === 'job.exception' ? exception.note : '';
	};
	t.regex(noteIn('boot-2'), /node of rank 0 was rebooted/);
	t.regex(noteIn(BOOT), /rank 0 has no trace of the job/);
});

test('what was acknowledged and the log has lost is asked for again', t => {
	const resendOf = (job: JobSnapshot, acked: number, state: InventoryPart['state'] = 'running') =>
		judge({job}, {bootId: BOOT, parts: [{id: ID, attempt: 1, acked, state}]}).resend;
	const name = {id: ID, attempt: 1};
	t.deepEqual(resendOf(line().job, 0), []);
	t.deepEqual(resendOf(line().job, 2, 'exited'), [{...name, seq: 0}]);
	t.deepEqual(resendOf(line().started(RANK).job, 1), []);
	t.deepEqual(resendOf(line().started(RANK).job, 2), [{...name, seq: 1}]);
	t.deepEqual(resendOf(line().started(RANK).exited(RANK, 0).job, 5, 'exited'), [], 'its end is known');
});

test('a job that asks for it is evicted when its node was rebooted, and fails when only its part is missing', t => {
	const asking = () => {
		const jobspec = jobspecOf({systemAttributes: {requeue: true}});
		return new JobLine(ID).submit({jobspec}).alloc(resourcesOf(2, 1)).started(RANK).job;
	};
	const verdict = judge({job: asking()}, {bootId: 'boot-2', parts: []});
	t.is(nameOf(verdict), 'node-failure exception, evict, lost report');
	t.like(verdict.facts[0], {type: 'job.exception', severity: 1});
	let job = asking();
	for (const fact of verdict.facts) job = jobMachine.apply(job, {atMs: NOW_MS, ...fact} as JobFact);
	t.is(job.value, 'cleanup');
	t.is(job.context.exception, null);
	t.is(nameOf(judge({job: asking()}, {bootId: BOOT, parts: []})), 'exec exception, lost report');
});

test('each job of a rank is judged, and jobs of other ranks are left alone', t => {
	const jobs = [1n, 2n, 3n].map(
		id => new JobLine(id).submit().alloc(resourcesOf(2, 1)).started(0).started(1).job,
	);
	const {facts, unknown, superseded} = judgeInventory(
		{
			rank: 1,
			bootId: BOOT,
			highestJobId: 9n,
			parts: [
				{id: 2n, attempt: 1, acked: 1, state: 'running'},
				{id: 9n, attempt: 1, acked: 1, state: 'running'},
			],
		},
		{jobs, isArchived: () => false, isSetAside: () => false, nowMs: NOW_MS},
	);
	t.deepEqual(
		facts.map(fact => ('id' in fact && 'rank' in fact ? `${fact.type} ${fact.id} ${fact.rank}` : fact.type)),
		['job.exception', 'job.report 1 1', 'job.reattach 2 1', 'job.exception', 'job.report 3 1'],
	);
	t.deepEqual(unknown, [{id: 9n, attempt: 1}]);
	t.deepEqual(superseded, []);
});

/** Registered again from rank 1, in its first attempt. */
function found(): JobSnapshot {
	const {jobspec, R} = line().job.context;
	return jobMachine.apply(jobMachine.initial(), {
		type: 'job.adopt',
		id: ID,
		atMs: NOW_MS,
		userid: 1000,
		urgency: 16,
		flags: 0,
		jobspec,
		R: R!,
		attempt: 1,
		submitMs: SUBMIT_MS,
		allocMs: SUBMIT_MS,
	});
}

/** The part on RANK was concluded to be lost, by a fact that ends no job. */
function lost(of: JobLine): JobLine {
	return of.started(RANK).report(RANK, {kind: 'lost', note: 'declared dead', endMs: NOW_MS});
}

/** Its first attempt was given up, and it stands in the queue again. */
function again(): JobLine {
	return line()
		.started(RANK)
		.post({type: 'job.evict', note: 'its node is lost'})
		.report(0, {kind: 'lost', note: 'reboot', endMs: NOW_MS})
		.exited(1, 0);
}

function judge(
	{job, archived, lost}: {job?: JobSnapshot; archived?: true; lost?: true},
	{bootId, parts}: {bootId: string; parts: readonly InventoryPart[]},
): Verdict {
	return judgeInventory(
		{rank: RANK, bootId, highestJobId: 0n, parts},
		{
			jobs: job === undefined ? [] : [job],
			isArchived: () => archived === true,
			isSetAside: () => lost === true,
			nowMs: NOW_MS,
		},
	);
}

function nameOf({facts, unknown, superseded}: Verdict): string {
	const names = facts.map(fact => {
		if (fact.type === 'job.exception') return `${fact.exception} exception`;
		if (fact.type === 'job.report') return `${fact.body.kind} report`;
		return fact.type.slice('job.'.length);
	});
	if (unknown.length > 0) names.push('unknown');
	if (superseded.length > 0) names.push('superseded');
	return names.length === 0 ? '-' : names.join(', ');
}

function rankset(rank: number) {
	return resourcesOf(rank + 1, 1).rankset.difference(resourcesOf(rank, 1).rankset);
}
