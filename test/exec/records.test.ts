/**
 * Goal: what shims, shells and brokers read of each other is validated, and survives the way there and back.
 * Method: tables of good and damaged texts; properties for the round trips.
 */

import test from 'ava';
import fc from 'fast-check';
import {
	decodePart,
	encodeLaunch,
	encodePart,
	faultOf,
	journalIn,
	type StoredSpec,
} from '../../src/exec/launch-record.ts';
import {checkSite, parsePartDir, parsePartName} from '../../src/exec/part-paths.ts';
import {
	ancestorsInUnit,
	parseCgroup2Mount,
	parseOwnCgroup,
	parsePopulated,
	parseProcs,
	parseStat,
} from '../../src/exec/proc-text.ts';
import {
	commonProtocol,
	decodeBrokerMessage,
	decodeShellMessage,
	encodeMessage,
	LineSplitter,
} from '../../src/exec/shell-protocol.ts';
import {parseClaim, parseExit, parseShimEvent} from '../../src/exec/task-record.ts';
import {specOf} from './process-host-contract.ts';

const site = {instance: 'a-1', rank: 0, jobdir: '/j', rundir: '/r', cgroupBase: '/c'};
const stored = (more: Partial<StoredSpec> = {}): StoredSpec => ({
	...specOf(12n, 'true'),
	bootId: 'boot',
	cgroup: '/c/x',
	...more,
});

test('a spec is read back as it was written, and half of one is refused', t => {
	const spec = stored({env: {A: 'x=y\nz', B: ''}, argv: ['a', 'end', '{"version":2}\n', '']});
	const text = encodePart(spec);
	t.deepEqual(decodePart(text, 'part'), {spec, journal: ''});
	for (const journal of ['{"a":1}\n{"b', '\0\0\0\n']) {
		t.deepEqual(decodePart(`${text}${journal}`, 'part'), {spec, journal});
		t.is(journalIn(`${text}${journal}`), journal);
	}
	const head = text.slice(0, text.lastIndexOf('\0') + 1);
	const others = [`${head}{}\n`, `${head}null\n`, text.replace('launch-3', 'launch-2'), '{"version":2}\n'];
	for (const bad of [...others, text.replace('"version":2,"id"', '"version":3,"id"')])
		t.throws(() => decodePart(bad, 'part'), {code: 'EBADMSG'});
	for (let length = 0; length < text.length; length += 1)
		t.throws(() => decodePart(text.slice(0, length), 'part'), {code: 'EBADMSG'}, String(length));
});

test('the launch record counts its fields, so that no string can be taken for another', t => {
	fc.assert(
		fc.property(
			fc.array(fc.string(), {minLength: 1}),
			fc.dictionary(fc.string(), fc.string()),
			(argv, env) => {
				const spec = stored({argv, env});
				fc.pre(faultOf(spec) === undefined);
				const fields = encodeLaunch(spec).split('\0');
				const [version, count] = fields;
				t.deepEqual(
					[version, fields.slice(2, 5)],
					['coppice-launch-3', ['boot=boot', 'cgroup=/c/x', 'cwd=/']],
				);
				const at = 2 + Number(count);
				t.deepEqual(fields.slice(at, at + 1 + argv.length), [String(argv.length), ...argv]);
				t.is(fields[at + 1 + argv.length], String(Object.keys(env).length));
				t.deepEqual(fields.slice(-2), ['end', '']);
			},
		),
	);
});

test('specs that can not be run are named', t => {
	const cases: readonly [Partial<StoredSpec>, RegExp][] = [
		[{argv: []}, /command is empty/],
		[{tasks: []}, /no tasks/],
		[{tasks: [1, 1]}, /not ascending/],
		[{env: {A: 'x\0'}}, /NUL/],
		[{env: {'A=B': 'x'}}, /environment/],
		[{cwd: 'x'}, /not absolute/],
		[{rlimits: {nofiles: 1}}, /no resource limit nofiles/],
		[{rlimits: {core: -2}}, /core can't be -2/],
		[{stdout: 'x'}, /not absolute/],
	];
	for (const [more, reason] of cases) t.regex(faultOf(stored(more)) ?? '', reason);
	t.is(faultOf(stored()), undefined);
});

const wide = (text: string) => `${text.padEnd(127)}\n`;

test('claims are read whole, cut short, and void', t => {
	t.deepEqual(parseClaim(wide('shim 5 77 boot') + wide('task 6 78 1700000000000 123.456 9 10')), {
		kind: 'claimed',
		shim: {pid: 5, startTicks: 77},
		task: {pid: 6, startTicks: 78, startMs: 1_700_000_000_000, startMonotonicMs: 123.456},
	});
	t.deepEqual(parseClaim(wide('shim 5 77 boot') + wide('task')), {
		kind: 'claimed',
		shim: {pid: 5, startTicks: 77},
		task: null,
	});
	t.deepEqual(parseClaim(''), {kind: 'claimed', shim: null, task: null});
	t.deepEqual(parseClaim('void 5 77 boot\n'), {kind: 'void'});
});

test('an exit record has an end only when it was overwritten as a whole', t => {
	const claim = `${wide('shim 5 77 boot')}${wide('task')}`;
	t.is(parseExit(`${claim}${'exit -'.padEnd(255)}\n`), null);
	t.is(parseExit(''), null);
	t.is(parseExit('void shell 5\n'), null);
	t.is(parseExit(`${claim}exit 256 17000`), null);
	t.deepEqual(parseExit(`${claim}${'exit 32256 1700000000000 10 5 x: No such file'.padEnd(255)}\n`), {
		waitStatus: 32256,
		endMs: 1_700_000_000_000,
		stdoutComplete: true,
		stderrComplete: false,
		isAlone: false,
		lostBytes: 5,
		error: 'x: No such file',
	});
});

test('lines of shims are understood, and others ignored', t => {
	t.like(parseShimEvent('12.3 4 start 6 78 1700000000000 1.500'), {
		key: {id: 12n, attempt: 3},
		task: 4,
		verb: 'start',
		process: {pid: 6},
	});
	t.like(parseShimEvent('12.3 4 exit 256 1700000000000 0 '), {verb: 'exit', waitStatus: 256});
	t.like(parseShimEvent('12.3 4 failed fork: no'), {verb: 'failed', why: 'fork: no'});
	t.like(parseShimEvent('12.3 4 gone 9'), {verb: 'gone', waitStatus: 9});
	for (const bad of [
		'',
		'x',
		'12 4 exit',
		'12.3 x exit 1 2 3',
		'12.3 4 exit 1',
		'12.3 4 dance',
		'12.0 4 close',
	])
		t.is(parseShimEvent(bad), undefined);
});

test('only names of parts are taken for parts', t => {
	t.deepEqual(parsePartDir('job-18446744073709551615.2'), {id: 18446744073709551615n, attempt: 2});
	t.deepEqual(parsePartName('0.1'), {id: 0n, attempt: 1});
	for (const bad of ['job-1', 'job-01.1', 'job-1.0', 'job--1.1', 'xjob-1.1', 'job-1.1x'])
		t.is(parsePartDir(bad), undefined);
});

test('a site that can not be named on disk or as a socket is refused', t => {
	t.notThrows(() => checkSite(site));
	for (const more of [
		{instance: 'a/b'},
		{instance: ''},
		{rank: -1},
		{jobdir: 'x'},
		{rundir: `/${'x'.repeat(120)}`},
	])
		t.throws(() => checkSite({...site, ...more}), {code: 'EINVAL'});
});

test('an exit record says whether anything is left of the task, if its shim could tell', t => {
	const recordOf = (flags: string) =>
		parseExit(`${wide('shim 5 77 boot')}${wide('task')}${`exit 0 1700000000000 ${flags} 0 `.padEnd(255)}\n`);
	t.deepEqual(
		['11', '110', '001'].map(flags => recordOf(flags)?.isAlone),
		[false, false, true],
	);
	t.like(recordOf('011'), {stdoutComplete: false, stderrComplete: true});
});

test('a stat file is read after the last parenthesis', t => {
	const tail = '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20';
	t.deepEqual(parseStat(`77 (evil) R 1 (x) S ${tail}`), {
		state: 'S',
		parent: 1,
		group: 2,
		session: 3,
		startTicks: 4242,
	});
	t.is(parseStat('77 (short) S 1 2'), undefined);
});

test('a delegated subtree ends at the unit of systemd that it is', t => {
	t.deepEqual(ancestorsInUnit('/a/b'), ['/a/b', '/a', '/']);
	t.deepEqual(ancestorsInUnit('/'), ['/']);
	const unit = '/user.slice/user-9.slice/user@9.service/app.slice/run-r1.scope';
	t.deepEqual(ancestorsInUnit(`${unit}/x/y`), [`${unit}/x/y`, `${unit}/x`, unit]);
});

test('cgroup v2 is found below a hybrid hierarchy, with spaces in its name', t => {
	const hybrid =
		'31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw\n' +
		'41 31 0:38 / /sys/fs/cgroup/a\\040b rw shared:1 - cgroup2 cgroup2 rw\n';
	t.deepEqual(parseCgroup2Mount(hybrid), {mountPoint: '/sys/fs/cgroup/a b', root: '/'});
	t.is(parseCgroup2Mount('31 23 0:28 / / rw - ext4 /dev/x rw\n'), undefined);
	t.is(parseOwnCgroup('9:name=systemd:/x\n0::/user.slice/a b\n'), '/user.slice/a b');
	t.is(parseOwnCgroup('9:name=systemd:/x\n'), undefined);
	t.true(parsePopulated('populated 1\nfrozen 0\n'));
	t.false(parsePopulated('populated 0\nfrozen 1\n'));
	t.deepEqual(parseProcs('5\n0\n5\n7\n'), [5, 7]);
});

test('messages keep 64-bit ids, and damaged ones are refused', t => {
	const spec = specOf(18446744073709551615n, 'x');
	t.deepEqual(decodeBrokerMessage(encodeMessage({type: 'launch', spec})), {type: 'launch', spec});
	const key = {id: 2n ** 63n, attempt: 4};
	t.deepEqual(decodeBrokerMessage(encodeMessage({type: 'terminate', key, signum: 9})), {
		type: 'terminate',
		key,
		signum: 9,
	});
	const report = {...key, seq: 1, atMs: 2, kind: 'exited' as const, tasks: []};
	t.deepEqual(decodeShellMessage(encodeMessage({type: 'report', report})), {type: 'report', report});
	const entry = {...key, state: 'exited' as const, reports: [report], bootId: 'b', record: 'r'};
	t.deepEqual(decodeShellMessage(encodeMessage({type: 'part', request: 1, entry})), {
		type: 'part',
		request: 1,
		entry,
	});
	for (const bad of [
		'',
		'[]',
		'{"type":"x"}',
		'{"type":"launch","spec":{"id":"-1"}}',
		'{"type":"terminate"}',
	])
		t.throws(() => decodeBrokerMessage(bad), {code: 'EPROTO'});
});

test('versions meet at the highest that both speak, or not at all', t => {
	t.is(commonProtocol({protocol: 3, protocolMin: 2}), 3);
	t.is(commonProtocol({protocol: 2, protocolMin: 1}), 2);
	t.is(commonProtocol({protocol: 5, protocolMin: 4}), undefined);
	t.is(commonProtocol({protocol: 1, protocolMin: 0}), undefined);
});

test('a stream cut anywhere gives the same lines', t => {
	fc.assert(
		fc.property(
			fc.array(fc.string().map(text => text.replaceAll('\n', ' '))),
			fc.array(fc.nat(20)),
			(lines, cuts) => {
				const splitter = new LineSplitter();
				let rest = lines.map(line => `${line}\n`).join('');
				const seen: string[] = [];
				for (const cut of cuts) {
					seen.push(...splitter.push(rest.slice(0, cut)));
					rest = rest.slice(cut);
				}
				seen.push(...splitter.push(rest));
				t.deepEqual(seen, lines);
			},
		),
	);
});
