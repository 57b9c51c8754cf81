/**
 * Goal: logs of earlier releases replay for ever, to the same state.
 * Method: each recording is opened as it was on disk; its chain must hold, no fact may be illegal, and the digest of its
 * replay must be the one that was recorded with it.
 */
import {readdirSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {replayLog, verifyLog} from '../../src/broker/log-view.ts';
import {openRecording, unpackRecording} from './recording.ts';

const folder = fileURLToPath(new URL('../../../test/recordings/', import.meta.url));
const names = readdirSync(folder).filter(name => name.endsWith('.log.gz'));

test('there are recordings', t => {
	t.true(names.length >= 3);
});

for (const name of names) {
	test(`${name} replays to the state that it led to`, async t => {
		const recording = unpackRecording(readFileSync(folder + name));
		const log = await openRecording(recording);
		t.like(await verifyLog(log), {ok: true, illegal: 0, problems: [], notes: []});
		const {state, seq} = await replayLog(log, null);
		t.is(seq, recording.seq);
		t.is(state.digest(), recording.digest);
		const jobs = [...state.jobs.values()];
		t.is(jobs.length, 0, 'all jobs of a recording have ended');
		t.true(state.archive.count > 0);
		t.true(state.broker.context.epoch > 1, 'a recording has a restart in it');
	});
}
