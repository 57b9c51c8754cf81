/**
 * Goal: the names of deleted parts are known to the next shell, as many of the last as are promised, and the highest id for ever.
 * Method: a file in a temporary directory, read again by another instance; damage by hand.
 */
import {execFileSync} from 'node:child_process';
import {
	appendFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {rankDir, type RankSite} from '../../../src/exec/part-paths.ts';
import {FORGOTTEN_MIN, ForgottenParts} from '../../../src/exec/real/forgotten-parts.ts';

function siteOf(t: ExecutionContext): RankSite {
	const jobdir = mkdtempSync('/tmp/coppice-forgotten-');
	t.teardown(() => rmSync(jobdir, {recursive: true, force: true}));
	const site = {instance: 'i', rank: 3, jobdir, rundir: '/run/none', cgroupBase: ''};
	mkdirSync(rankDir(site));
	return site;
}

const key = (id: number, attempt = 1) => ({id: BigInt(id), attempt});

test('where nothing was ever deleted, nothing is known', t => {
	const parts = new ForgottenParts(siteOf(t));
	t.is(parts.highestJobId, 0n);
	t.false(parts.has(key(1)));
});

test('the next one knows what was added, by attempt, and each is written once', t => {
	const site = siteOf(t);
	const parts = new ForgottenParts(site);
	for (const each of [key(7), key(5, 2), key(7)]) parts.add(each);
	const next = new ForgottenParts(site);
	t.deepEqual(
		[key(7), key(5, 2), key(5), key(6)].map(each => next.has(each)),
		[true, true, false, false],
	);
	t.is(next.highestJobId, 7n);
	t.is(readFileSync(`${rankDir(site)}/forgotten`, 'utf8'), '7.1\n5.2\n');
});

test('the last are kept, the oldest dropped, and the highest id is known whatever was dropped', t => {
	const site = siteOf(t);
	const parts = new ForgottenParts(site);
	parts.add(key(1_000_000));
	const last = 3 * FORGOTTEN_MIN;
	for (let id = 1; id <= last; id += 1) parts.add(key(id));
	for (const each of [parts, new ForgottenParts(site)]) {
		t.is(each.highestJobId, 1_000_000n);
		t.true(each.has(key(last)) && each.has(key(last - FORGOTTEN_MIN + 2)));
		t.false(each.has(key(1)));
	}
	t.true(existsSync(`${rankDir(site)}/forgotten.1`));
});

test('a name that was cut off counts for nothing, and the next one is whole', t => {
	const site = siteOf(t);
	new ForgottenParts(site).add(key(12));
	appendFileSync(`${rankDir(site)}/forgotten`, '13');
	const text = `${rankDir(site)}/forgotten`;
	t.is(new ForgottenParts(site).highestJobId, 12n);
	t.is(readFileSync(text, 'utf8'), '12.1\n13', 'who reads does not write: the disk may be full');
	new ForgottenParts(site).add(key(14));
	const next = new ForgottenParts(site);
	t.deepEqual(
		[key(12), key(13), key(14), key(1314)].map(each => next.has(each)),
		[true, false, true, false],
	);
});

test('a name that can not be written down is an error with the reason, and may be tried again', t => {
	const site = siteOf(t);
	const parts = new ForgottenParts(site);
	rmSync(rankDir(site), {recursive: true});
	t.throws(() => parts.add(key(1)), {code: 'ENOENT'});
	t.false(parts.has(key(1)));
	mkdirSync(rankDir(site));
	parts.add(key(1));
	t.true(parts.has(key(1)));
});

test('a name that a full disk cut off counts for nothing when there is room again, and the next one is whole', t => {
	const site = siteOf(t);
	const dir = rankDir(site);
	execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', dir]);
	t.teardown(() => execFileSync('umount', [dir]));
	const before = `${'10.1\n'.repeat(818)}1.1\n`;
	writeFileSync(`${dir}/forgotten`, before);
	const parts = new ForgottenParts(site);
	t.throws(() => parts.add(key(12)), {code: 'ENOSPC'});
	t.is(readFileSync(`${dir}/forgotten`, 'utf8'), `${before}12`);
	execFileSync('mount', ['-o', 'remount,size=8k', dir]);
	parts.add(key(34));
	const next = new ForgottenParts(site);
	t.deepEqual(
		[key(10), key(1), key(34), key(12), key(1234)].map(each => next.has(each)),
		[true, true, true, false, false],
	);
});
