/**
 * Goal: a directory that was another part's before is as good as a new one. Method: lay out, claim and end parts as shell and shims
 * do, in a temporary directory, and look at what the next part sees.
 */
import {mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {createPartDir, readClaim, readExit, readPart, takeClaim} from '../../../src/exec/real/part-dir.ts';
import {SPARES_MAX, SpareDirs} from '../../../src/exec/real/spare-dirs.ts';
import type {StoredSpec} from '../../../src/exec/launch-record.ts';
import {specOf} from '../process-host-contract.ts';

function site(t: ExecutionContext) {
	const dir = mkdtempSync('/tmp/coppice-spare-');
	t.teardown(() => rmSync(dir, {recursive: true, force: true}));
	const spares = new SpareDirs(dir);
	const specFor = (id: bigint, script: string, tasks = [0]): StoredSpec => ({
		...specOf(id, script),
		tasks,
		bootId: 'boot',
		cgroup: `/cg/job-${id}.1`,
	});
	return {dir, spares, specFor, partDir: (id: bigint) => join(dir, `job-${id}.1`)};
}

/** What a shim leaves in a claim when its task ended with 7. */
function endedClaim(dir: string, task: number): void {
	const wide = (text: string, bytes: number) => `${text.padEnd(bytes - 1)}\n`;
	const text =
		wide('shim 11 22 boot', 128) +
		wide('task 12 23 1 1.0 5 6', 128) +
		wide('exit 1792 0000000000001 11 0 ', 256);
	writeFileSync(`${dir}/claim.${task}`, text);
}

test('a part in a directory that was used before sees nothing of the one before', t => {
	const {dir, spares, specFor, partDir} = site(t);
	const old = specFor(1n, 'a'.repeat(5000), [3]);
	createPartDir(partDir(1n), old, {spares});
	endedClaim(partDir(1n), 3);
	writeFileSync(`${partDir(1n)}/stdout.3`, 'output');
	t.not(readExit(partDir(1n), 3), null);
	t.true(spares.give(partDir(1n)));
	t.deepEqual(readdirSync(dir), ['spare-0']);
	t.deepEqual(readdirSync(`${dir}/spare-0`).sort(), ['claim.3', 'part']);

	const next = specFor(2n, 'b');
	createPartDir(partDir(2n), next, {spares});
	t.deepEqual(readdirSync(dir), ['job-2.1']);
	t.deepEqual(readPart(partDir(2n)), {spec: next, events: [], isTorn: false});
	t.deepEqual(readdirSync(partDir(2n)).sort(), ['part', 'unclaimed.0']);
	t.is(readClaim(partDir(2n), 0), null);
	t.is(readExit(partDir(2n), 0), null);
});

test('the claim in a directory that was used before is taken once', t => {
	const {spares, specFor, partDir} = site(t);
	createPartDir(partDir(1n), specFor(1n, 'true'), {spares});
	endedClaim(partDir(1n), 0);
	spares.give(partDir(1n));
	createPartDir(partDir(2n), specFor(2n, 'true'), {spares});
	t.true(takeClaim(partDir(2n), 0));
	t.false(takeClaim(partDir(2n), 0));
	t.deepEqual(readClaim(partDir(2n), 0), {kind: 'void'});
	t.is(readExit(partDir(2n), 0), null);
});

test('a directory whose claim was cut short, or that has several tasks, is not used again', t => {
	const {dir, spares, specFor, partDir} = site(t);
	createPartDir(partDir(1n), specFor(1n, 'true'), {spares});
	t.true(takeClaim(partDir(1n), 0));
	t.true(spares.give(partDir(1n)));
	createPartDir(partDir(2n), specFor(2n, 'true'), {spares});
	t.deepEqual(readdirSync(dir), ['job-2.1']);
	t.deepEqual(readdirSync(partDir(2n)), ['part']);
	endedClaim(partDir(2n), 0);
	spares.give(partDir(2n));
	createPartDir(partDir(3n), specFor(3n, 'true', [0, 1]), {spares});
	t.deepEqual(readdirSync(partDir(3n)), ['part']);
});

test('spare directories are bounded, and a new shell deletes those of the last', t => {
	const {dir, spares, specFor, partDir} = site(t);
	for (let id = 1n; id <= SPARES_MAX + 1; id++) {
		createPartDir(partDir(id), specFor(id, 'true'));
		endedClaim(partDir(id), 0);
		t.is(spares.give(partDir(id)), id <= SPARES_MAX);
	}
	createPartDir(partDir(1000n), specFor(1000n, 'true'));
	new SpareDirs(dir).clear();
	t.deepEqual(readdirSync(dir).sort(), ['job-1000.1', `job-${SPARES_MAX + 1}.1`]);
});
