/** Goal: a panic is held against the input that was in hand, and only against that. Method: code that throws, with a ledger in memory. */
import {mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {Blame} from '../../src/broker/blame.ts';
import {refusedOf, type KeptPanic, type Panic, type PanicEvidence} from '../../src/broker/panic-evidence.ts';
import {panicFiles, PANICS_KEPT_MAX} from '../../src/broker/real/panic-files.ts';
import {SystemError} from '../../src/formats/errno.ts';
import type {Request} from '../../src/net/message.ts';
import {encodePayload} from '../../src/net/payload.ts';

const request = (topic: string, payload: unknown): Request => ({
	type: 'request',
	topic,
	payload: encodePayload(payload),
	matchtag: 1,
	userid: 1000,
	rolemask: 1,
	nodeid: 0,
	upstream: false,
	route: [],
	streaming: false,
	noresponse: false,
	deadlineMs: null,
});

class Ledger implements PanicEvidence {
	readonly kept: KeptPanic[] = [];
	keep(panic: Panic): void {
		this.kept.push({path: `/panics/${this.kept.length + 1}`, panic});
	}
}

function lifeOf(evidence: PanicEvidence, version = '1.0.0'): Blame {
	return new Blame({
		evidence,
		version,
		pid: 7,
		epochMs: () => 1,
		pending: () => [{topic: 'job-list.list', sender: '3'}],
	});
}

function thrownBy(run: () => void): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	throw new Error('nothing was thrown');
}

function panicBy(blame: Blame, run: () => void): void {
	blame.panicked('it broke', thrownBy(run));
}

const broken = (): never => {
	throw new TypeError('it broke');
};

test('a request that panics three lives is refused with the evidence, another payload of its topic is not', t => {
	const ledger = new Ledger();
	const bad = request('job-ingest.submit', {J: 'bad'});
	for (let life = 0; life < 3; life++) {
		const blame = lifeOf(ledger);
		t.is(blame.refusalOf(bad), null);
		panicBy(blame, () => blame.takeRequest(bad, '12', broken));
	}
	const {panic} = ledger.kept[2]!;
	t.like(panic, {reason: 'it broke', pid: 7, pending: [{topic: 'job-list.list', sender: '3'}]});
	t.like(panic.culprit, {kind: 'request', topic: 'job-ingest.submit', sender: '12', userid: 1000});
	t.regex(panic.stack, /TypeError: it broke\n\s+at /);
	const fourth = lifeOf(ledger);
	const refusal = fourth.refusalOf(bad);
	t.is(refusal?.code, 'EPERM');
	t.regex(refusal?.message ?? '', /made this broker panic 3 times and is refused.*it broke.*\/panics\/3/);
	t.is(fourth.refusalOf(request('job-ingest.submit', {J: 'good'})), null);
	t.is(fourth.refusalOf(request('job-list.list', {J: 'bad'})), null);
	t.is(lifeOf(ledger, '1.0.1').refusalOf(bad), null, 'another release may have mended it');
});

test('a job is blamed for work on it and for its reports, a request for what it asks of a job', t => {
	const ledger = new Ledger();
	const blame = lifeOf(ledger);
	panicBy(blame, () => blame.ofJob(5n, broken));
	panicBy(blame, () =>
		blame.takeRequest(request('job-manager.exec-reports', {}), 'rank 1', () => blame.ofJob(5n, broken)),
	);
	panicBy(blame, () =>
		blame.takeRequest(request('job-manager.kill', {id: 5n}), '1', () => blame.ofJob(5n, broken)),
	);
	t.deepEqual(
		ledger.kept.map(({panic}) => panic.culprit?.kind),
		['job', 'job', 'request'],
	);
	panicBy(blame, () => blame.ofJob(5n, broken));
	t.deepEqual([...lifeOf(ledger).jobs.keys()], [5n]);
});

test("what is over is not in hand, and a failure of the world is nobody's fault", t => {
	const ledger = new Ledger();
	const blame = lifeOf(ledger);
	t.is(
		blame.ofJob(5n, () => 'done'),
		'done',
	);
	const caught = thrownBy(() => blame.ofJob(5n, broken));
	panicBy(blame, broken);
	t.is(ledger.kept.at(-1)?.panic.culprit, null);
	blame.panicked('late', caught);
	t.deepEqual(ledger.kept.at(-1)?.panic.culprit, {kind: 'job', id: '5'}, 'an error keeps whose it is');
	panicBy(blame, () =>
		blame.ofJob(5n, () => {
			throw new SystemError('ENOSPC', 'the disk is full');
		}),
	);
	blame.panicked('lost the parent', undefined);
	// On record all the same, with nobody to blame: startlog tells it.
	t.deepEqual(
		ledger.kept.slice(2).map(({panic: {reason, stack, culprit}}) => ({reason, stack, culprit})),
		[
			{reason: 'it broke', stack: '', culprit: null},
			{reason: 'lost the parent', stack: '', culprit: null},
		],
	);
});

function tempDir(t: ExecutionContext): string {
	const dir = mkdtempSync(join(tmpdir(), 'coppice-panics-'));
	t.teardown(() => rmSync(dir, {recursive: true, force: true}));
	return dir;
}

const panicOf = (culprit: Panic['culprit']): Panic => ({
	version: '1.0.0',
	atMs: 1,
	pid: 7,
	reason: 'it broke',
	stack: 'TypeError: it broke',
	culprit,
	pending: [],
});

test('panics are files that later lives read, damaged ones are passed over', t => {
	const dir = tempDir(t);
	for (let life = 0; life < 3; life++) panicFiles(dir, () => undefined).keep(panicOf({kind: 'job', id: '5'}));
	for (const [number, text] of ['', '{', 'null', '{"version":1}', '[]', '{"culprit":{}}'].entries())
		writeFileSync(join(dir, 'panics', `panic-${10 + number}.json`), text);
	const {kept} = panicFiles(dir, () => undefined);
	t.deepEqual(
		refusedOf(kept, '1.0.0').map(({count, evidence}) => [count, evidence.path]),
		[[3, join(dir, 'panics', 'panic-3.json')]],
	);
});

test('a crash loop fills no disk, and evidence with a culprit is the last to go', t => {
	const dir = tempDir(t);
	for (let life = 0; life < PANICS_KEPT_MAX + 10; life++)
		panicFiles(dir, () => undefined).keep(panicOf(life < 3 ? {kind: 'job', id: '5'} : null));
	t.is(readdirSync(join(dir, 'panics')).length, PANICS_KEPT_MAX);
	t.is(refusedOf(panicFiles(dir, () => undefined).kept, '1.0.0').length, 1);
});
