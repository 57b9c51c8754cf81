/**
 * Goal: a writer hears what all ranks of a job have taken, never more, and no request waits for ever.
 * Method: ranks that answer what the test says; virtual time.
 */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import type {InputAnswer, InputWrite} from '../../../src/ports/process-host.ts';
import type {Archive} from '../../../src/services/archive.ts';
import type {Core} from '../../../src/services/core.ts';
import {JobInput} from '../../../src/services/job-input/job-input.ts';
import type {Peers} from '../../../src/services/peers.ts';
import {SimClock} from '../../../src/sim/clock.ts';

const ID = 9n;
const WRITE = {offset: 4} as unknown as InputWrite;

type Answer = InputAnswer | SystemError;

function site(answers: readonly Answer[], value = 'run') {
	const clock = new SimClock();
	const ranks = Object.fromEntries(answers.map((_, rank) => [rank, {state: 'started'}]));
	const core = {
		clock: clock.life().clock,
		state: {jobs: new Map([[ID, {value, context: {attempt: 1, ranks}}]]), lost: new Map()},
		onJob: () => () => undefined,
	};
	const peers = {
		requestAll: async (asked: readonly number[]) =>
			new Map(
				asked.map(rank => {
					const answer = answers[rank]!;
					const isError = answer instanceof SystemError;
					return [rank, isError ? {error: answer, payload: null} : {error: null, payload: answer}];
				}),
			),
	};
	const input = new JobInput({
		core: core as unknown as Core,
		peers: peers as unknown as Peers,
		archive: {job: () => undefined} as unknown as Archive,
		onInput: () => undefined,
	});
	return {clock, input};
}

const open = (offset: number, isTaken = true): InputAnswer => ({offset, isTaken, isClosed: false});
const closed = (offset: number): InputAnswer => ({offset, isTaken: true, isClosed: true});

test('what is taken is what the slowest open rank has; one whose tasks take nothing any more holds nobody up', async t => {
	t.deepEqual(await site([open(9), open(6, false), open(12)]).input.write(ID, WRITE), open(6, false));
	t.deepEqual(await site([closed(0), open(12)]).input.write(ID, WRITE), open(12));
	t.deepEqual(await site([closed(5), closed(7)]).input.write(ID, WRITE), closed(7));
});

test('a rank out of contact means again, and a fault of a rank is the answer', async t => {
	const away = new SystemError('EHOSTUNREACH', 'lost contact with n1');
	await t.throwsAsync(site([open(9), away]).input.write(ID, WRITE), {
		code: 'EAGAIN',
		message: /lost contact with n1/,
	});
	await t.throwsAsync(site([new SystemError('ENOSPC', 'disk of n0')]).input.write(ID, WRITE), {
		code: 'ENOSPC',
	});
});

test('a job that does not run yet is waited for, but not for ever', async t => {
	const {clock, input} = site([open(1)], 'sched');
	const written = t.throwsAsync(input.write(ID, WRITE), {code: 'EAGAIN', message: /does not run yet/});
	await clock.pass(60_000);
	await written;
});

test('a job that nobody knows is an error', async t => {
	await t.throwsAsync(site([]).input.write(1n, WRITE), {code: 'ENOENT', message: /no job f2/});
});
