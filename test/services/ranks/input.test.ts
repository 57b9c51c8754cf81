/**
 * Goal: what a client has for a job over several ranks reaches the tasks of each rank once and in order, and so does its end,
 * whichever broker dies at whichever step.
 * Method: a client sends in pieces until all are taken; a broker dies at a step; what every task wrote is what it was sent.
 */
import test, {type ExecutionContext} from 'ava';
import {InputSender} from '../../../src/cli/attach/input-sender.ts';
import {SystemError} from '../../../src/formats/errno.ts';
import type {InputAnswer} from '../../../src/ports/process-host.ts';
import {JobInput} from '../../../src/services/job-input/job-input.ts';
import {jobspecOf} from '../job-fixture.ts';
import {RanksWorld, type CrashPoint} from './ranks-world.ts';

const PIECES = ['one ', 'two ', 'three ', 'four'];
const SIZE = 3;
/** So long a client waits for an answer: a dead broker gives none. */
const PATIENCE_MS = 15_000;
const CRASHES = 40;

/** A client that is connected to whatever life the root has. */
function senderTo(world: RanksWorld, id: bigint): InputSender {
	return new InputSender({
		ask: async ({offset, data, isEnd}) => {
			const life = world.get(0).life;
			if (life?.root == null || life.core === null) throw new SystemError('ECONNRESET', 'no root');
			const input = new JobInput({
				core: life.core,
				peers: life,
				archive: life.root.archive,
				onInput: () => undefined,
			});
			const late = new Promise<InputAnswer>((_, reject) => {
				world.clock.setTimer(PATIENCE_MS, () => reject(new SystemError('ETIMEDOUT', 'no answer')));
			});
			return Promise.race([input.write(id, {writer: 'client', offset, data, tasks: 'all', isEnd}), late]);
		},
		pause: ms => new Promise(resolve => world.clock.setTimer(ms, resolve)),
		isStopped: () => false,
	});
}

async function feedOnce(t: ExecutionContext, crashes: readonly CrashPoint[]): Promise<RanksWorld> {
	const world = new RanksWorld({size: SIZE, crashes});
	world.start();
	await world.clock.run(() => world.isWhole, {withinMs: 100_000, what: 'all ranks are there'});
	const shellOptions = {input: {stdin: {type: 'service'}}};
	const jobspec = jobspecOf({argv: ['cat'], ntasks: SIZE, nnodes: SIZE, shellOptions});
	let id: bigint | null = null;
	await world.clock.run(
		() => {
			// Submitted again where the root died of it: the request id gives the same job.
			id ??=
				world.root?.manager.submit({jobspec, urgency: 16, flags: 0, userid: 1, requestId: 'once'}) ?? null;
			return id !== null;
		},
		{withinMs: 100_000, what: 'the job is submitted'},
	);
	const sender = senderTo(world, id!);
	let isSent = false;
	const sending = (async () => {
		for (const piece of PIECES) await sender.send({data: Buffer.from(piece)});
		await sender.send({data: new Uint8Array(0), isEnd: true});
		isSent = true;
	})();
	await world.clock.run(() => isSent, {withinMs: 300_000, what: 'all is sent'});
	await sending;
	await world.clock.run(() => world.root?.archive.job(id!) !== undefined, {
		withinMs: 300_000,
		what: 'the job has ended',
	});
	const {archive} = world.root!;
	const {outputs, attempt, result} = archive.job(id!)!;
	t.is(result, 'COMPLETED');
	for (let task = 0; task < SIZE; task++) {
		const kept = outputs.find(one => one.task === task && one.stream === 'stdout');
		const bytes = archive.output({id: id!, attempt, task, stream: 'stdout', chunk: 0});
		t.is(kept === undefined ? '' : Buffer.from(bytes!).toString(), PIECES.join(''), `task ${task}`);
	}
	return world;
}

test('input reaches every task of every rank once, without and with the death of a broker at any step', async t => {
	const {steps} = await feedOnce(t, []);
	let deaths = 0;
	for (let index = 0; index < CRASHES; index++) {
		const step = Math.floor((index * steps.length) / CRASHES);
		const when = index % 2 === 0 ? 'before' : 'after';
		const world = await feedOnce(t, [{step, when, rank: index % SIZE}]);
		deaths += world.crashCount;
	}
	t.true(deaths >= CRASHES / 2, `${deaths} deaths in ${CRASHES} runs`);
});
