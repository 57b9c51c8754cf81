/**
 * Goal: a root that is new to a job puts its PMI barriers together as the one before it would have.
 * Method: two ranks that tell what an earlier root knew already, in every order; a clock that is moved.
 */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import {Idset} from '../../../src/formats/idset.ts';
import {ResourceSet} from '../../../src/formats/resource-set.ts';
import type {Exchange} from '../../../src/ports/process-host.ts';
import type {Core} from '../../../src/services/core.ts';
import type {BarrierEntry, BarrierName} from '../../../src/services/job-exec/messages.ts';
import {PmiBarriers} from '../../../src/services/job-manager/pmi-barriers.ts';
import type {PeerHandler, Peers} from '../../../src/services/peers.ts';
import {SimClock} from '../../../src/sim/clock.ts';
import {jobspecOf} from '../job-fixture.ts';

const ID = 57n;
const putsOf = (rank: number, barrier: number) => ({[`${barrier}.${rank}`]: 'x'});

class World {
	readonly clock = new SimClock();
	/** Barriers that a rank has entered. */
	readonly entered = [0, 0];
	/** What each was told, `RANK: BARRIER KEYS`. */
	readonly told: string[] = [];
	readonly state = {value: 'run'};
	/** What the job manager posts, and what it logs. */
	readonly posted: object[] = [];
	readonly lines: string[] = [];
	/** What becomes of telling a rank. */
	failure: SystemError | null = null;
	#enter: PeerHandler = () => undefined;

	constructor() {
		const {clock} = this.clock.life();
		const R = ResourceSet.from(
			[0, 1].map(rank => [rank, {host: `n${rank}`, cores: Idset.range(0, 1), gpus: Idset.empty}]),
		).encode();
		const context = {
			id: ID,
			attempt: 1,
			R,
			jobspec: jobspecOf({argv: ['a'], ntasks: 2, nnodes: 2}),
			ranks: {0: {}, 1: {}},
		};
		const core = {
			clock,
			state: {jobs: new Map([[ID, Object.assign(this.state, {context})]])},
			onJob: () => () => undefined,
			post: (fact: object) => {
				this.posted.push(fact);
				this.state.value = 'cleanup';
			},
			log: (_: string, line: string) => this.lines.push(line),
		};
		const peers = {
			handle: (_: string, handler: PeerHandler) => (this.#enter = handler),
			requestAll: async (ranks: readonly number[], topic: string, payload: Exchange & BarrierName) => {
				if (topic === 'job-exec.barrier-exit')
					for (const rank of ranks)
						this.told.push(`${rank}: ${payload.barrier} ${Object.keys(payload.puts).join()}`);
				return new Map(
					ranks.map(rank => [rank, {error: this.failure, payload: this.#entryOf(rank, payload.barrier)}]),
				);
			},
		};
		new PmiBarriers({core: core as unknown as Core, peers: peers as unknown as Peers});
	}

	/** The rank tells that all its tasks wait at `barrier`. */
	enter(rank: number, barrier: number): void {
		this.entered[rank] = Math.max(this.entered[rank]!, barrier);
		const entry: BarrierEntry = {id: ID, attempt: 1, barrier, rank, puts: putsOf(rank, barrier)};
		this.#enter(entry as never, rank);
	}

	#entryOf(rank: number, barrier: number) {
		return {puts: this.entered[rank]! >= barrier ? putsOf(rank, barrier) : null};
	}
}

test('a barrier opens when both ranks have told, with the puts of both, and again for one that asks again', t => {
	const world = new World();
	world.enter(0, 1);
	t.deepEqual(world.told, []);
	world.enter(1, 1);
	t.deepEqual(world.told, ['0: 1 1.0,1.1', '1: 1 1.0,1.1']);
	world.enter(1, 1);
	t.deepEqual(world.told.slice(2), ['1: 1 1.0,1.1']);
	t.throws(() => world.enter(2, 1), {code: 'ENOENT'});
});

for (const order of [
	[1, 0],
	[0, 1],
]) {
	test(`a rank that waits at a barrier that another one has passed is told of it (${order.join()})`, async t => {
		const world = new World();
		// Under the root before: rank 0 has passed barrier 3 and waits at 4, rank 1 has not heard of the end of 3.
		world.entered[0] = 4;
		for (const rank of order) world.enter(rank, rank === 0 ? 4 : 3);
		await world.clock.pass(1500);
		t.deepEqual(world.told, ['0: 3 3.0,3.1', '1: 3 3.0,3.1']);
		world.enter(1, 4);
		await world.clock.pass(1500);
		t.deepEqual(world.told.slice(2), ['0: 4 4.0,4.1', '1: 4 4.0,4.1']);
	});
}

test('one that is not there yet is waited for, and asked ever more rarely', async t => {
	const world = new World();
	world.enter(0, 1);
	await world.clock.pass(60_000);
	t.deepEqual(world.told, []);
	world.enter(1, 1);
	t.is(world.told.length, 2);
});

test('a rank that can not be told is named, and puts that no message can carry end the job', async t => {
	const world = new World();
	world.failure = new SystemError('EHOSTUNREACH', 'lost contact with n1');
	world.enter(0, 1);
	world.enter(1, 1);
	await world.clock.pass(1);
	t.regex(world.lines[1] ?? '', /57\.1: PMI barrier 1: rank 1 .*EHOSTUNREACH: lost contact with n1/);
	t.deepEqual(world.posted, []);
	world.failure = new SystemError('EMSGSIZE', 'frame of 90000000 bytes');
	world.enter(1, 1);
	await world.clock.pass(1);
	t.like(world.posted, {0: {type: 'job.exception', id: ID, exception: 'exec', severity: 0}, length: 1});
});
