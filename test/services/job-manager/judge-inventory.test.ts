/**
 * Goal: the comparison of DESIGN section 8, as a total table: everything that the root's log can say about a part × everything
 * that its node can report × same or new boot, each with the one thing that happens.
 */
import test from 'ava';
import type {JobSnapshot} from '../../../src/machines/job.ts';
import {jobMachine, type JobFact} from '../../../src/machines/job.ts';
import {judgeInventory, type Verdict} from '../../../src/services/job-manager/judge-inventory.ts';
import type {InventoryPart} from '../../../src/services/job-exec/messages.ts';
import {BOOT, JobLine, resourcesOf, SUBMIT_MS} from '../job-fixture.ts';

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
	pending: () => ({job: new JobLine(ID).submit().job}),
	archived: () => ({archived: true}),
	'set aside': () => ({lost: true}),
	unknown: () => ({}),
};

const NODE: Readonly<Record<string, InventoryPart['state'] | null>> = {
	nothing: null,
	requested: 'requested',
	running: 'running',
	exited: 'exited',
};

/** By root, then by what the node reports: in the same boot, and (after a slash) in a new one, where that differs. */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	// Nothing: the start is sent again when the rank is reconciled, or its report follows.
	'run, requested': {nothing: '-', requested: '-', running: '-', exited: '-'},
	'run, started': {
		nothing: 'exec exception, lost report / node-failure exception, lost report',
		requested: '-',
		running: 'reattach',
		exited: '-',
	},
	'run, exited': {nothing: '-', requested: '-', running: '-', exited: '-'},
	// The kill is sent when the rank is reconciled.
	'cleanup, requested': {nothing: '-', requested: '-', running: '-', exited: '-'},
	'cleanup, started': {nothing: 'lost report', requested: '-', running: '-', exited: '-'},
	'cleanup, exited': {nothing: '-', requested: '-', running: '-', exited: '-'},
	'not on this rank': {
		nothing: '-',
		requested: 'superseded',
		running: 'superseded',
		exited: 'superseded',
	},
	pending: {nothing: '-', requested: 'superseded', running: 'superseded', exited: 'superseded'},
	archived: {nothing: '-', requested: 'superseded', running: 'superseded', exited: 'superseded'},
	'set aside': {nothing: '-', requested: '-', running: '-', exited: '-'},
	unknown: {nothing: '-', requested: 'unknown', running: 'unknown', exited: 'unknown'},
};

for (const [said, root] of Object.entries(ROOT)) {
	for (const [reported, state] of Object.entries(NODE)) {
		const cells = EXPECTED[said]![reported]!.split(' / ');
		for (const [index, bootId] of [BOOT, 'boot-2'].entries()) {
			const cell = cells[index] ?? cells[0]!;
			const boot = index === 0 ? 'same boot' : 'new boot';
			test(`root: ${said}; node: ${reported}, ${boot} → ${cell}`, t => {
				const known = root();
				const attempt = Math.max(1, known.job?.context.attempt ?? 1);
				const verdict = judge(known, {bootId, parts: state === null ? [] : [{id: ID, attempt, state}]});
				t.is(nameOf(verdict), cell);
				if (known.job === undefined) return;
				// What was judged can be posted, in its order.
				let {job} = known;
				for (const fact of verdict.facts) job = jobMachine.apply(job, {atMs: NOW_MS, ...fact} as JobFact);
				if (cell.includes('lost report')) {
					t.is(job.value, 'cleanup');
					t.is(job.context.ranks[RANK]!.state, 'exited');
					t.deepEqual(job.context.ranks[RANK]!.ends, [{task: 0, waitStatus: null, endMs: NOW_MS}]);
				}
			});
		}
	}
}

for (const state of ['requested', 'running', 'exited'] as const) {
	test(`a superseded attempt that is ${state} is ended, while the present one is judged on its own`, t => {
		const job = {...line().started(RANK).job};
		const second = {...job, context: {...job.context, attempt: 2}};
		const old = {id: ID, attempt: 1, state};
		const both = judge({job: second}, {bootId: BOOT, parts: [old, {id: ID, attempt: 2, state: 'running'}]});
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
				{id: 2n, attempt: 1, state: 'running'},
				{id: 9n, attempt: 1, state: 'running'},
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
