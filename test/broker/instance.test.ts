/**
 * Goal: an instance is never begun twice, never begun anew where one was lost, and never shares a directory.
 * Method: the rules on made-up findings, each differing from a sound one in one thing.
 */
import test from 'ava';
import {SystemError, type ErrnoName} from '../../src/formats/errno.ts';
import {
	checkDirectories,
	defaultDirectories,
	defaultLink,
	encodeRecord,
	parseInstance,
	parseRankRecord,
	rankHostname,
	rankStatedir,
	type InstanceInfo,
} from '../../src/broker/instance.ts';
import {decideStart, type KnownInstance, type StartQuestion} from '../../src/broker/start-decision.ts';

const info: InstanceInfo = {
	instance: '3b2c9f30-0000-4000-8000-000000000001',
	hostname: 'n1',
	statedir: '/s',
	jobdir: '/j',
	rundir: '/run/coppice/x',
	size: 1,
	topo: 'kary:32',
	cgroupBase: '/sys/fs/cgroup',
	createdMs: 1_795_350_000_000,
};
const empty: StartQuestion['statedir'] = {
	path: '/s',
	record: null,
	living: [],
	twin: null,
	hasLog: false,
	foreign: [],
	ranks: [],
};
const part = {
	job: 'f2xC4BKSq4J',
	attempt: 1,
	rank: 0,
	isAlive: true,
	pids: [77, 78],
	sinceMs: 1_795_350_000_000,
};
const question: StartQuestion = {
	statedir: empty,
	known: [],
	asked: {jobdir: null, rundir: null},
	adopt: false,
};
const known = (change: Partial<KnownInstance> = {}): KnownInstance => ({
	info,
	log: 'made',
	living: [],
	unfinished: [],
	...change,
});
const recorded = {...empty, record: info, hasLog: true, foreign: ['instance.json', 'HEAD']};

function refusal(change: Partial<StartQuestion>): {code: ErrnoName; message: string} {
	try {
		const decision = decideStart({...question, ...change});
		return {code: 'EPERM', message: `not refused: ${JSON.stringify(decision)}`};
	} catch (error) {
		if (error instanceof SystemError) return {code: error.code, message: error.message};
		throw error;
	}
}

test('an empty directory that nobody had becomes a fresh instance', t => {
	t.deepEqual(decideStart(question), {kind: 'create'});
	t.deepEqual(decideStart({...question, adopt: true}), {kind: 'create'});
	t.deepEqual(decideStart({...question, known: [known()]}), {kind: 'create'});
});

test('a used directory goes on as the same instance, and its log is never made again', t => {
	const decision = decideStart({...question, statedir: recorded});
	t.deepEqual(decision, {kind: 'recover', info, log: 'made', adopted: false});
	const withoutLog = decideStart({...question, statedir: {...recorded, hasLog: false, foreign: []}});
	t.deepEqual(withoutLog, {kind: 'recover', info, log: 'made', adopted: false});
});

test('a moved directory goes on under its new path, a copied one is refused', t => {
	const moved = {...recorded, path: '/moved'};
	const decision = decideStart({...question, statedir: moved});
	t.is(decision.kind === 'recover' ? decision.info.statedir : '', '/moved');
	const {code, message} = refusal({statedir: {...moved, twin: '/s'}});
	t.is(code, 'EEXIST');
	t.regex(message, /\/moved is a copy of \/s/);
});

test('a running instance is refused with uri and pid, adopted or not', t => {
	const living = [
		{what: 'daemon', pid: 41},
		{what: 'broker 0', pid: 42},
	];
	for (const adopt of [false, true]) {
		for (const change of [
			{statedir: {...recorded, living}, adopt},
			{known: [known({living, unfinished: [part]})], adopt},
		]) {
			const {code, message} = refusal(change);
			t.is(code, 'EBUSY');
			t.regex(message, /daemon \(pid 41\), broker 0 \(pid 42\).*local:\/\/\/run\/coppice\/x\/local-0/);
		}
	}
});

test('an empty directory is refused while jobs of the instance that had it are not over, and the jobs are listed', t => {
	const {code, message} = refusal({
		known: [known({unfinished: [part, {...part, isAlive: false, pids: []}]})],
	});
	t.is(code, 'EEXIST');
	t.regex(message, /job f2xC4BKSq4J on rank 0: running \(pids 77 78\), since 2026-11-22T/);
	t.regex(message, /ended without a record/);
	t.regex(message, /coppice start --adopt/);
});

test('--adopt takes the instance over, with a new log', t => {
	const decision = decideStart({...question, known: [known({unfinished: [part]})], adopt: true});
	t.deepEqual(decision, {kind: 'recover', info, log: 'new', adopted: true});
});

test('--adopt does not choose between several instances with jobs', t => {
	const other = {...info, instance: 'other'};
	const both = [known({unfinished: [part]}), known({info: other, unfinished: [part]})];
	const {code, message} = refusal({known: both, adopt: true});
	t.is(code, 'EEXIST');
	t.regex(message, /several instances/);
});

test('a start that was cut off before there was a log goes on as the same instance', t => {
	const decision = decideStart({...question, known: [known({log: 'new'})]});
	t.deepEqual(decision, {kind: 'recover', info, log: 'new', adopted: false});
});

test('a log that has lost its instance.json is recovered through its job directory, or refused', t => {
	const statedir = {...empty, hasLog: true, foreign: ['HEAD']};
	const decision = decideStart({...question, statedir, known: [known({log: 'new', unfinished: [part]})]});
	t.deepEqual(decision, {kind: 'recover', info, log: 'made', adopted: false});
	t.is(refusal({statedir}).code, 'EBADMSG');
});

test('a directory with other files is refused by their names', t => {
	const {code, message} = refusal({statedir: {...empty, foreign: ['thesis.tex']}});
	t.is(code, 'ENOTEMPTY');
	t.regex(message, /thesis\.tex/);
});

test('directories of ranks whose instance nobody knows are not begun anew', t => {
	const ranks = ['rank-1', 'rank-2'];
	const {code, message} = refusal({statedir: {...empty, ranks}});
	t.is(code, 'ENOTEMPTY');
	t.regex(message, /rank-1, rank-2/);
	const cutOff = decideStart({...question, statedir: {...empty, ranks}, known: [known({log: 'new'})]});
	t.is(cutOff.kind, 'recover');
});

test('brokers of one host are told apart by name and state directory, a sole one is the host', t => {
	t.deepEqual([rankHostname(info, 0), rankStatedir(info, 0)], ['n1', '/s']);
	const many = {...info, size: 3};
	t.deepEqual([rankHostname(many, 0), rankHostname(many, 2)], ['n1-0', 'n1-2']);
	t.deepEqual([rankStatedir(many, 0), rankStatedir(many, 2)], ['/s', '/s/rank-2']);
});

test('other directories than the instance has are refused', t => {
	for (const asked of [
		{jobdir: '/other', rundir: null},
		{jobdir: null, rundir: '/other'},
	]) {
		t.is(refusal({statedir: recorded, asked}).code, 'EINVAL');
	}
	const asked = {jobdir: info.jobdir, rundir: info.rundir};
	t.is(decideStart({...question, statedir: recorded, asked}).kind, 'recover');
});

const places: readonly (readonly [change: Partial<InstanceInfo>, message: RegExp])[] = [
	[{statedir: 's'}, /--statedir "s": must be an absolute path/],
	[{jobdir: '/s/jobs'}, /--jobdir \/s\/jobs lies in the state directory \/s: jobs must outlive/],
	[{jobdir: '/s'}, /lies in the state directory/],
	[{jobdir: '/s/../s/jobs'}, /lies in the state directory/],
	[{rundir: '/s/run'}, /--rundir \/s\/run lies in the state directory/],
	[{rundir: '/a', jobdir: '/a/jobs'}, /holds the state or job directory/],
	[{rundir: `/${'r'.repeat(100)}`}, /has 109 bytes, unix sockets take at most 107/],
];

for (const [change, message] of places) {
	test(`directories are refused: ${JSON.stringify(change)}`, t => {
		t.throws(() => checkDirectories({...info, ...change}), {
			instanceOf: SystemError,
			code: 'EINVAL',
			message,
		});
	});
}

test('directories that merely share a prefix of their names are accepted', t => {
	t.notThrows(() => checkDirectories({...info, statedir: '/s', jobdir: '/s-jobs', rundir: '/srun'}));
	t.notThrows(() => checkDirectories({...info, rundir: `/${'r'.repeat(98)}`}));
});

test('default directories are those of the system for root, and XDG ones otherwise, never within each other', t => {
	t.deepEqual(defaultDirectories({HOME: '/root'}, 0), {
		statedir: '/var/lib/coppice/state',
		jobdir: '/var/lib/coppice/jobs',
		rundirs: '/run/coppice',
	});
	const own = defaultDirectories({HOME: '/home/a', XDG_RUNTIME_DIR: '/run/user/7', XDG_STATE_HOME: 'rel'}, 7);
	t.deepEqual(own, {
		statedir: '/home/a/.local/state/coppice/state',
		jobdir: '/home/a/.local/state/coppice/jobs',
		rundirs: '/run/user/7/coppice',
	});
	t.is(defaultDirectories({XDG_STATE_HOME: '/x'}, 7).statedir, '/x/coppice/state');
	t.is(defaultDirectories({}, 7).rundirs, '/tmp/coppice-7');
});

test('a record reads back as it was, and a damaged one is refused', t => {
	t.deepEqual(parseInstance(encodeRecord(info), 'f'), info);
	const rank = {...info, rank: 3, log: 'new'} as const;
	t.deepEqual(parseRankRecord(encodeRecord(rank), 'f'), rank);
	const text = encodeRecord(info);
	for (const bad of ['', '{}', text.slice(0, 40), text.replace('3b2c', '../..'), encodeRecord(info)]) {
		const parse = bad === text ? parseRankRecord : parseInstance;
		t.throws(() => parse(bad, '/s/instance.json'), {
			code: 'EBADMSG',
			message: /^\/s\/instance\.json: damaged/,
		});
	}
});

test('the default instance of a user is found below the runtime directory, and never in /tmp', t => {
	t.is(defaultLink({XDG_RUNTIME_DIR: '/run/user/0'}, 0), '/run/coppice/local');
	t.is(defaultLink({XDG_RUNTIME_DIR: '/run/user/7'}, 7), '/run/user/7/coppice/local');
	t.is(defaultLink({XDG_RUNTIME_DIR: 'relative'}, 7), null);
	t.is(defaultLink({}, 7), null);
});
