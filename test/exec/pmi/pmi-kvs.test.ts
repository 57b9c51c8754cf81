/**
 * Goal: whatever is lost, said twice or restarted, each barrier passes once for every task, and every get after it finds what
 * was put before it, in all parts.
 * Method: tasks in lock-step over several parts, whose shells are restarted from their files, torn lines included; answers and
 * exchanges get lost and come again.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {PmiKvs, PMI_ENTRY_BYTES_MAX, type PmiAnswer, type PmiPart} from '../../../src/exec/pmi/pmi-kvs.ts';
import {parsePmiRequest} from '../../../src/exec/pmi/pmi-wire.ts';

const partOf = (tasks: readonly number[], size: number): PmiPart => ({
	size,
	tasks,
	kvsname: '7.1',
	values: {PMI_process_mapping: '(vector,(0,1,2))'},
});

const ask = (kvs: PmiKvs, task: number, number: number, line: string) => kvs.request({task, number, line});
const textOf = (kvs: PmiKvs, line: string) => ask(kvs, 0, 1, line).answers.map(({text}) => text);

test('the requests of RFC 13 get the answers of RFC 13', t => {
	const kvs = new PmiKvs(partOf([0, 1], 2));
	const cases: readonly (readonly [line: string, answer: string])[] = [
		['cmd=init pmi_version=1 pmi_subversion=1', 'cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1'],
		['cmd=init pmi_version=2 pmi_subversion=0', 'cmd=response_to_init rc=-1 pmi_version=1 pmi_subversion=1'],
		['cmd=get_maxes', 'cmd=maxes rc=0 kvsname_max=64 keylen_max=64 vallen_max=1024'],
		['cmd=get_universe_size', 'cmd=universe_size rc=0 size=2'],
		['cmd=get_appnum', 'cmd=appnum rc=0 appnum=0'],
		['cmd=get_my_kvsname', 'cmd=my_kvsname rc=0 kvsname=7.1'],
		['cmd=get kvsname=7.1 key=PMI_process_mapping', 'cmd=get_result rc=0 value=(vector,(0,1,2))'],
		['cmd=get kvsname=7.1 key=none', 'cmd=get_result rc=4 msg=key_not_found'],
		['cmd=get kvsname=8.1 key=none', 'cmd=get_result rc=-1 msg=no_such_kvs'],
		['cmd=put kvsname=7.1 key=a value=b c=d  e ', 'cmd=put_result rc=0'],
		['cmd=get kvsname=7.1 key=a', 'cmd=get_result rc=0 value=b c=d  e '],
		['cmd=put kvsname=8.1 key=a value=b', 'cmd=put_result rc=-1 msg=no_such_kvs'],
		[`cmd=put kvsname=7.1 key=${'k'.repeat(65)} value=b`, 'cmd=put_result rc=-1 msg=bad_key_length'],
		[`cmd=put kvsname=7.1 key=k value=${'v'.repeat(1025)}`, 'cmd=put_result rc=-1 msg=value_too_long'],
		['cmd=finalize', 'cmd=finalize_ack rc=0'],
		['cmd=lookup_name service=x', 'cmd=lookup_result rc=-1 msg=not_supported'],
		['nonsense', 'cmd=unknown rc=-1 msg=not_supported'],
	];
	for (const [line, answer] of cases) t.deepEqual(textOf(kvs, line), [answer]);
	t.deepEqual(ask(kvs, 5, 1, 'cmd=get_appnum').answers[0]?.text, 'cmd=error rc=-1 msg=no_such_task');
	const {abort, answers} = ask(kvs, 1, 9, 'cmd=abort exitcode=1 error_msg=it is over');
	t.is(abort, 'task 1 asked for it by PMI: it is over');
	t.deepEqual(answers, [{task: 1, number: 9, text: ''}]);
});

test('any line is read as some request, and answered', t => {
	fc.assert(
		fc.property(fc.string(), line => {
			parsePmiRequest(line);
			const {answers, journal} = ask(new PmiKvs(partOf([0], 2)), 0, 1, line.replaceAll('\n', ' '));
			t.true(answers.length === 1 || journal !== '');
		}),
	);
});

test('what is put before one barrier has a limit', t => {
	const kvs = new PmiKvs(partOf([0], 2));
	let refused = '';
	for (let i = 0; refused === '' && i <= PMI_ENTRY_BYTES_MAX / 1024 + 1; i += 1) {
		const [text] = textOf(kvs, `cmd=put kvsname=7.1 key=${i} value=${'v'.repeat(1024)}`);
		if (text !== 'cmd=put_result rc=0') refused = text!;
	}
	t.is(refused, 'cmd=put_result rc=-1 msg=too_much_before_one_barrier');
});

const BARRIERS = 3;

/** One task in lock-step: what it asks now, until it has an answer. */
class Task {
	readonly task: number;
	number = 0;
	passed = 0;
	pending: string | null = null;
	#step = 0;
	readonly #size: number;

	constructor(task: number, size: number) {
		this.task = task;
		this.#size = size;
	}

	get isDone(): boolean {
		return this.passed === BARRIERS && this.#step > this.#size;
	}

	/** Its next request: put, barrier, then a get of each other's card, and so on. */
	next(): void {
		if (this.pending !== null || this.isDone) return;
		this.number += 1;
		const round = this.passed + 1;
		if (this.#step === 0) this.pending = `cmd=put kvsname=7.1 key=${round}.${this.task} value=${this.task}`;
		else if (this.#step === 1) this.pending = 'cmd=barrier_in';
		else this.pending = `cmd=get kvsname=7.1 key=${this.passed}.${this.#step - 2} `;
	}

	take({number, text}: PmiAnswer): void {
		if (this.pending === null || number !== this.number) return;
		if (this.#step === 1) this.passed += 1;
		const wanted = ['cmd=put_result rc=0', 'cmd=barrier_out rc=0'][this.#step];
		assert.equal(text, wanted ?? `cmd=get_result rc=0 value=${this.#step - 2}`);
		this.pending = null;
		this.#step += 1;
		if (this.#step === this.#size + 2 && this.passed < BARRIERS) this.#step = 0;
	}
}

interface Site {
	readonly part: PmiPart;
	kvs: PmiKvs;
	journal: string;
}

type Move =
	| {readonly kind: 'ask'; readonly task: number; readonly isAnswerLost: boolean}
	| {readonly kind: 'restart'; readonly site: number; readonly isTorn: boolean}
	| {readonly kind: 'exchange'; readonly site: number};

const moves = fc.array(
	fc.oneof(
		{
			weight: 8,
			arbitrary: fc.record({kind: fc.constant('ask' as const), task: fc.nat(5), isAnswerLost: fc.boolean()}),
		},
		{
			weight: 1,
			arbitrary: fc.record({kind: fc.constant('restart' as const), site: fc.nat(2), isTorn: fc.boolean()}),
		},
		{weight: 3, arbitrary: fc.record({kind: fc.constant('exchange' as const), site: fc.nat(2)})},
	),
	{maxLength: 150},
);

function play(size: number, sizes: readonly number[], list: readonly Move[]): Task[] {
	const tasks = Array.from({length: size}, (_, task) => new Task(task, size));
	let next = 0;
	const sites: Site[] = sizes.map(count => {
		const part = partOf(
			Array.from({length: count}, () => next++),
			size,
		);
		return {part, kvs: new PmiKvs(part), journal: ''};
	});
	const siteOf = (task: number) => sites.find(({part}) => part.tasks.includes(task))!;
	const move = (one: Move) => {
		switch (one.kind) {
			case 'ask': {
				const task = tasks[one.task % size]!;
				task.next();
				if (task.pending === null) return;
				const site = siteOf(task.task);
				const step = ask(site.kvs, task.task, task.number, task.pending);
				site.journal += step.journal;
				for (const answer of step.answers) {
					if (one.isAnswerLost && answer.task === task.task) continue;
					tasks[answer.task]!.take(answer);
				}
				return;
			}
			case 'restart': {
				const site = sites[one.site % sites.length]!;
				site.kvs = new PmiKvs(site.part, one.isTorn ? `${site.journal}["put",0,"x` : site.journal);
				if (one.isTorn) site.journal += '["put",0,"x\n';
				return;
			}
			case 'exchange': {
				const site = sites[one.site % sites.length]!;
				const barrier = site.kvs.pending?.barrier;
				if (barrier === undefined) return;
				const entries = sites.map(({kvs}) => kvs.entry(barrier));
				if (entries.includes(null)) return;
				const step = site.kvs.exchanged(barrier, Object.assign({}, ...entries) as Record<string, string>);
				site.journal += step?.journal ?? '';
				for (const answer of step?.answers ?? []) tasks[answer.task]!.take(answer);
				// None may be ahead by more than the barrier that all have entered.
				const released = sites.map(({kvs}) => kvs.released);
				assert.ok(Math.max(...released) - Math.min(...released) <= 1);
				return;
			}
			default:
				one satisfies never;
		}
	};
	for (const one of list) move(one);
	// Now without failures, to the end.
	for (let round = 0; round < 400 && !tasks.every(({isDone}) => isDone); round += 1) {
		for (const {task} of tasks) move({kind: 'ask', task, isAnswerLost: false});
		for (const site of sites.keys()) move({kind: 'exchange', site});
	}
	return tasks;
}

for (const sizes of [[3], [2, 1], [1, 1, 2]]) {
	test(`parts of ${sizes.join(', ')} tasks pass each barrier once, with all that was put, whatever is lost`, t => {
		const size = sizes.reduce((sum, count) => sum + count);
		fc.assert(
			fc.property(moves, list => {
				for (const task of play(size, sizes, list)) {
					assert.ok(task.isDone, `task ${task.task} is stuck`);
					assert.equal(task.passed, BARRIERS);
				}
			}),
			{numRuns: 150},
		);
		t.pass();
	});
}
