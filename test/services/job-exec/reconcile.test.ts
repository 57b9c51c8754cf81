/** Goal: after every (re)join a rank tells all that is here, and one part that makes no sense keeps it from nothing. */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import type {Inventory, InventoryEntry, ProcessHost} from '../../../src/ports/process-host.ts';
import {JobExec} from '../../../src/services/job-exec/job-exec.ts';
import type {InventoryMessage, InventoryResponse, PartName} from '../../../src/services/job-exec/messages.ts';
import {FakeCore} from '../fake-core.ts';
import {BOOT} from '../job-fixture.ts';

const GOOD = JSON.stringify({id: '2', attempt: 1});

function entryOf(id: bigint, record = GOOD, rest: Partial<InventoryEntry> = {}): InventoryEntry {
	const started = {
		id,
		attempt: 1,
		seq: 1,
		atMs: 5,
		kind: 'started' as const,
		tasks: [{task: 0, pid: 1, startTicks: 1, startMs: 5}],
	};
	return {id, attempt: 1, state: 'running', reports: [started], bootId: BOOT, record, ...rest};
}

interface Answers {
	readonly inventory?: (message: InventoryMessage) => Partial<InventoryResponse>;
	readonly adopt?: (name: PartName) => void;
}

function execOf(parts: readonly InventoryEntry[], {inventory, adopt}: Answers = {}) {
	const core = new FakeCore();
	const sent: string[] = [];
	let isUp = false;
	const found: Inventory = {bootId: BOOT, parts, highestJobId: 9n};
	const host = {
		inventory: () => Promise.resolve(found),
		terminate: ({id}: PartName, signum: number) => void sent.push(`terminate ${id} ${signum}`),
		forget: ({id}: PartName) => void sent.push(`forget ${id}`),
	} as unknown as ProcessHost;
	const exec = new JobExec({
		core,
		host,
		settings: {rank: 0, uri: 'local:///x', killTimeoutMs: 5000, leaseMs: Infinity},
		onReconciled: () => (isUp = true),
		peers: {
			parent: null,
			handle: () => undefined,
			requestAll: () => Promise.reject(new Error('no part of this test')),
			async request(_, topic, payload) {
				const {id} = payload as PartName;
				sent.push(id === undefined ? topic : `${topic} ${id}`);
				if (topic === 'job-manager.exec-inventory') {
					return {
						round: 1,
						unknown: [],
						superseded: [],
						resend: [],
						...inventory?.(payload as InventoryMessage),
					};
				}
				if (topic === 'job-manager.exec-joined') return;
				if (topic === 'job-manager.exec-adopt') return adopt?.(payload as PartName);
				if (topic === 'job-manager.exec-report') return {ack: (payload as {seq: number}).seq, forget: false};
				throw new SystemError('ENOSYS', topic);
			},
		},
	});
	return {core, exec, sent, isUp: () => isUp};
}

/** Lets all promises run that can. */
const settled = () => new Promise<void>(resolve => setImmediate(resolve));

const allUnknown = ({parts}: InventoryMessage) => ({unknown: parts});

test('what the root does not know it is told about, then what happened to it', async t => {
	const {exec, sent, isUp} = execOf([entryOf(2n)], {inventory: allUnknown});
	exec.reconcile();
	await settled();
	t.true(isUp());
	t.deepEqual(sent, [
		'job-manager.exec-inventory',
		'job-manager.exec-adopt 2',
		'job-manager.exec-joined',
		'job-manager.exec-report 2',
	]);
});

test('a part whose record can not be read, or that the root refuses, runs on and holds up no other', async t => {
	const {exec, sent, isUp, core} = execOf([entryOf(1n, '{no json'), entryOf(2n), entryOf(3n)], {
		inventory: allUnknown,
		adopt: ({id}) => {
			if (id === 3n) throw new SystemError('EINVAL', 'no R');
		},
	});
	exec.reconcile();
	await settled();
	t.true(isUp());
	t.true(exec.isReconciled);
	t.deepEqual(
		sent.filter(one => one.startsWith('job-manager.exec-report')),
		['job-manager.exec-report 2'],
		'the root could say only that it does not know the others',
	);
	t.is(core.lines.filter(line => /^err: job part [13]\.1 cannot be registered again/.test(line)).length, 2);
	t.false(sent.some(one => one.startsWith('terminate') || one.startsWith('forget')));
});

test('when contact is lost on the way, the whole is done again', async t => {
	const {exec, isUp, core} = execOf([entryOf(2n)], {
		inventory: allUnknown,
		adopt: () => {
			throw new SystemError('EHOSTUNREACH', 'the root is gone');
		},
	});
	exec.reconcile();
	await settled();
	t.false(isUp());
	t.regex(core.lines.join(), /reconciliation of this node failed: EHOSTUNREACH/);
});

test('what is superseded is killed while it runs, and forgotten when it has ended', async t => {
	const ended = {...entryOf(2n).reports[0]!, seq: 2, kind: 'exited' as const, tasks: []};
	const {exec, sent} = execOf(
		[entryOf(1n), entryOf(2n, GOOD, {state: 'exited', reports: [...entryOf(2n).reports, ended]})],
		{inventory: ({parts}) => ({superseded: parts})},
	);
	exec.reconcile();
	await settled();
	t.true(sent.includes('terminate 1 9'));
	t.true(sent.includes('forget 2'));
});

test('what ran and has no trace is not reported, and what is of an earlier boot without an end is reported dead', async t => {
	const seen: string[] = [];
	const {exec, core} = execOf([entryOf(2n, GOOD, {bootId: 'boot-0'})], {
		inventory: ({parts}) => {
			seen.push(...parts.map(({id, state, isDead}) => `${id} ${state}${isDead === true ? ' dead' : ''}`));
			return {};
		},
	});
	core.post({type: 'part.request', id: 7n, attempt: 1});
	core.post({
		type: 'part.report',
		id: 7n,
		attempt: 1,
		seq: 1,
		bootId: BOOT,
		body: {kind: 'started', tasks: []},
	});
	core.post({type: 'part.request', id: 8n, attempt: 1});
	exec.reconcile();
	await settled();
	t.deepEqual(seen, ['8 requested', '2 running dead']);
});
