/** Goal: the root acknowledges what it needs no more, forgets only what it knows to be over, and never asks for a report twice. */
import test from 'ava';
import {DurableState} from '../../../src/machines/durable-state.ts';
import {Archive} from '../../../src/services/archive.ts';
import type {ReportResponse} from '../../../src/services/job-exec/messages.ts';
import {JobManager} from '../../../src/services/job-manager/job-manager.ts';
import {SoleMembership} from '../../../src/services/membership.ts';
import type {PeerHandler} from '../../../src/services/peers.ts';
import {FakeCore} from '../fake-core.ts';
import {BOOT, resourcesOf} from '../job-fixture.ts';

function managerOf(core = new FakeCore()) {
	const handlers = new Map<string, PeerHandler>();
	const sent: string[] = [];
	const rows = new Map<string, Uint8Array>();
	const released: bigint[] = [];
	core.onChange(change => {
		if (change.kind !== 'job') return;
		for (const {key, value} of change.rows) rows.set(Buffer.from(key).toString('hex'), value);
	});
	new JobManager({
		core,
		peers: {
			parent: null,
			handle: (topic, handler) => void handlers.set(topic, handler),
			requestAll: () => Promise.reject(new Error('no part of this test')),
			request: (rank, topic) => {
				sent.push(`${topic} ${rank}`);
				return Promise.resolve();
			},
		},
		archive: new Archive({
			get: key => rows.get(Buffer.from(key).toString('hex')),
			async *rows() {},
		}),
		nodes: {report: () => undefined},
		admit: jobspec => jobspec,
		ghosts: {
			restart: () => undefined,
			hold: () => undefined,
			release: ({id}) => void released.push(id),
		},
		membership: new SoleMembership('n0'),
		leaseMs: null,
		onJoined: () => undefined,
	});
	const report = (rank: number, seq: number, body: object, {id = 1n, attempt = 1} = {}) =>
		handlers.get('job-manager.exec-report')!(
			{rank, id, attempt, seq, atMs: 1, bootId: BOOT, body} as never,
			rank,
		) as ReportResponse;
	return {core, sent, released, report};
}

const STARTED = {kind: 'started', tasks: [{task: 0, pid: 1, startTicks: 1, startMs: 5}]};
const COMPLAINT = {kind: 'exception', exception: 'supervisor-lost', severity: 1, note: 'shim'};
const EXITED = {kind: 'exited', tasks: [{task: 0, waitStatus: 0, endMs: 9}]};

function running() {
	const manager = managerOf();
	const {core} = manager;
	core.reconciled(0);
	core.reconciled(1);
	const id = core.submit({});
	const R = resourcesOf(2, 1);
	core.post({type: 'job.alloc', id, R: R.encode() as never, ranks: [0, 1]});
	return {...manager, id};
}

test('a report is acknowledged once it was taken, and again when it comes again', t => {
	const {report, core, id} = running();
	t.deepEqual(report(0, 1, STARTED), {ack: 1, forget: false});
	t.deepEqual(report(0, 1, STARTED), {ack: 1, forget: false});
	t.deepEqual(report(0, 2, COMPLAINT), {ack: 2, forget: false});
	t.is(core.lastOf(id).events.filter(({name}) => name === 'exception').length, 1);
	t.is(core.lastOf(id).ranks[0]?.seq, 2);
});

test('a report after the end of its part is acknowledged, since nobody will ever need it', t => {
	const {report, core, id} = running();
	report(0, 1, STARTED);
	core.post({
		type: 'job.report',
		id,
		rank: 0,
		seq: 2,
		bootId: BOOT,
		body: {kind: 'lost', note: 'no trace', endMs: 7},
	});
	t.deepEqual(report(0, 2, COMPLAINT), {ack: 2, forget: false});
	t.deepEqual(report(0, 3, EXITED), {ack: 3, forget: false});
	t.is(core.lastOf(id).outcome, 'none', 'the other rank still runs');
	t.is(core.lastOf(id).ranks[0]?.ends[0]?.waitStatus, null);
});

test('a part of a superseded attempt, or of a rank that is not in the job, is forgotten', t => {
	const {report} = running();
	t.deepEqual(report(0, 1, EXITED, {attempt: 2}), {ack: 1, forget: true});
	t.deepEqual(report(5, 1, EXITED), {ack: 1, forget: true});
});

test('a part of a finished job is forgotten, and one of a job in lost+found is kept', t => {
	const {report, core, id, released} = running();
	for (const rank of [0, 1]) {
		report(rank, 1, STARTED);
		report(rank, 2, EXITED);
	}
	t.is(core.valueOf(id), 'inactive');
	t.deepEqual(report(0, 3, COMPLAINT), {ack: 3, forget: true});
	t.deepEqual(released, []);
	t.deepEqual(report(0, 4, EXITED), {ack: 4, forget: true});
	t.deepEqual(released, [id], 'what a ghost held is free again');
	const state = new DurableState();
	state.setAside({type: 'job.free', id: 1n, atMs: 1}, {seq: 1, reason: 'test'});
	t.deepEqual(managerOf(new FakeCore(state)).report(0, 4, EXITED), {ack: 4, forget: false});
});

test('a part of a job that nobody knows is neither acknowledged nor forgotten: it may be the only trace of it', t => {
	const {report} = managerOf();
	t.throws(() => report(0, 1, STARTED), {code: 'ENOENT', message: /job f2 is not known/});
});
