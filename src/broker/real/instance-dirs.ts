/**
 * Makes and finds the directories of an instance. Invariant: nothing is made before `decideStart` has agreed, and the
 * copies in the job directories are on disk before the first process starts.
 */
import {createHash} from 'node:crypto';
import {chmod, realpath, stat} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {rankDir, type RankSite} from '../../exec/part-paths.ts';
import {findCgroupBase} from '../../exec/real/cgroup.ts';
import {HEAD_FILE} from '../../store/head-file.ts';
import {
	checkDirectories,
	defaultDirectories,
	encodeRecord,
	INSTANCE_FILE,
	parseInstance,
	parseRankRecord,
	type InstanceInfo,
	type RankRecord,
} from '../instance.ts';
import {decideStart, type StateDirFound} from '../start-decision.ts';
import {entriesOf, livingOf, readStartRecord, scanKnown} from './instance-scan.ts';
import {takeLock} from './kernel-lock.ts';
import {makeDirectory, readSmallFile, replaceSmallFile} from './small-file.ts';

export interface PrepareOptions {
	/** As the user gave them, absolute; null: the default. */
	readonly statedir: string | null;
	readonly jobdir: string | null;
	readonly rundir: string | null;
	/** Take over an instance whose state directory is gone, with its jobs. */
	readonly adopt: boolean;
	readonly size: number;
	readonly topo: string;
	readonly hostname: string;
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly userid: number;
	readonly nowMs: number;
	readonly uuid: () => string;
	/** A line for people about something that was passed over. */
	readonly warn: (text: string) => void;
}

export interface PreparedInstance {
	readonly info: InstanceInfo;
	/** It was there before this start. */
	readonly isKnown: boolean;
	/** Its state directory was lost, and its jobs are to be registered again. */
	readonly isAdopted: boolean;
	/** The state directory is the default one, so that its socket is the default URI's. */
	readonly isDefault: boolean;
}

/**
 * Decides whether and as whom an instance may start, and makes its directories (mode 0700) and records. `work` runs
 * while no other start on the same state directory can come between.
 *
 * @throws {SystemError} as `decideStart`, `checkDirectories` and `findCgroupBase`; EBUSY while another start is at it.
 */
export async function withPreparedInstance<T>(
	options: PrepareOptions,
	work: (prepared: PreparedInstance) => Promise<T>,
): Promise<T> {
	const {names, statedir} = await resolveNames(options);
	const lock = await takeLock(`coppice-start-${createHash('sha256').update(statedir).digest('hex')}`);
	if (lock === null) {
		throw new SystemError('EBUSY', `another start on the state directory ${statedir} is under way`);
	}
	try {
		const prepared = await prepare(options, {names, statedir});
		return await work(prepared);
	} finally {
		await lock.release();
	}
}

/** Notes that the log of a rank is there: from now on, where it is missing, it was lost. */
export async function markLogMade(info: InstanceInfo, rank: number): Promise<void> {
	const path = rankRecordPath(info, rank);
	const before = await readRankRecord(info, rank);
	const inState = await readSmallFile(join(info.statedir, INSTANCE_FILE));
	if (inState !== encodeRecord(info)) {
		await replaceSmallFile(join(info.statedir, INSTANCE_FILE), encodeRecord(info));
	}
	if (before?.log !== 'made') await replaceSmallFile(path, encodeRecord({...info, rank, log: 'made'}));
}

/** The record of a rank, or null when there is none. @throws {SystemError} EBADMSG */
export async function readRankRecord(info: RankPlace, rank: number): Promise<RankRecord | null> {
	const path = rankRecordPath(info, rank);
	const text = await readSmallFile(path);
	return text === null ? null : parseRankRecord(text, path);
}

/** The instance of a state directory, or null when it has none. @throws {SystemError} EBADMSG */
export async function readInstance(statedir: string): Promise<InstanceInfo | null> {
	const path = join(statedir, INSTANCE_FILE);
	const text = await readSmallFile(path);
	return text === null ? null : parseInstance(text, path);
}

/** What of an instance names the directories of its ranks. */
export type RankPlace = Omit<RankSite, 'rank'>;

/** What a state directory may hold before its log is there. */
const OWN_NAMES: readonly string[] = ['db', 'db.building', 'db.new', 'ballast', 'copies', 'lost+found'];

interface Names {
	readonly jobdir: string;
	readonly rundirs: string;
}

interface Resolved {
	readonly names: Names;
	readonly statedir: string;
}

async function resolveNames({statedir, jobdir, env, userid}: PrepareOptions): Promise<Resolved> {
	const defaults = defaultDirectories(env, userid);
	return {
		statedir: await resolveLinks(statedir ?? defaults.statedir),
		names: {
			jobdir: await resolveLinks(jobdir ?? defaults.jobdir),
			rundirs: await resolveLinks(defaults.rundirs),
		},
	};
}

async function prepare(options: PrepareOptions, {names, statedir}: Resolved): Promise<PreparedInstance> {
	const {size, topo, hostname, adopt, warn} = options;
	const asked = {
		jobdir: options.jobdir === null ? null : names.jobdir,
		rundir: options.rundir === null ? null : await resolveLinks(options.rundir),
	};
	const found = await lookAt(statedir);
	const known =
		found.record === null
			? await scanKnown({statedir, jobdir: names.jobdir, rundirs: names.rundirs, warn})
			: [];
	const decision = decideStart({statedir: found, known, asked, adopt});
	let info: InstanceInfo;
	if (decision.kind === 'recover') {
		info = {...decision.info, size, topo, cgroupBase: await cgroupBaseOf(decision.info)};
	} else {
		const instance = options.uuid();
		info = {
			instance,
			hostname,
			statedir,
			jobdir: names.jobdir,
			rundir: asked.rundir ?? join(names.rundirs, instance),
			size,
			topo,
			cgroupBase: await cgroupBaseOf(null),
			createdMs: options.nowMs,
		};
	}
	checkDirectories(info);
	await makeAll(info, decision.kind === 'recover' ? decision.log : 'new');
	if (decision.kind === 'recover' && decision.log === 'made') await markLogMade(info, 0);
	return {
		info,
		isKnown: decision.kind === 'recover',
		isAdopted: decision.kind === 'recover' && decision.adopted,
		isDefault: statedir === (await resolveLinks(defaultDirectories(options.env, options.userid).statedir)),
	};
}

async function lookAt(statedir: string): Promise<StateDirFound> {
	const record = await readInstance(statedir);
	const names = (await entriesOf(statedir)).map(({name}) => name);
	const wasElsewhere = record !== null && record.statedir !== statedir;
	const elsewhere = wasElsewhere ? await readInstance(record.statedir) : null;
	return {
		path: statedir,
		record,
		living: record === null ? [] : await livingOf(record),
		twin: elsewhere?.instance === record?.instance ? (elsewhere?.statedir ?? null) : null,
		hasLog: names.includes(HEAD_FILE),
		foreign: names.filter(name => !OWN_NAMES.includes(name) && !name.endsWith('.tmp')),
	};
}

/** The cgroup that the instance had, as long as it is there; after a reboot it may be gone, with all that was in it. */
async function cgroupBaseOf(info: InstanceInfo | null): Promise<string> {
	if (info !== null && info.cgroupBase !== '' && (await isThere(info.cgroupBase))) return info.cgroupBase;
	const base = findCgroupBase();
	if (typeof base === 'string') return base;
	throw base; // What it says is what to do about it.
}

async function makeAll(info: InstanceInfo, log: 'new' | 'made'): Promise<void> {
	await makeRundir(info);
	for (let rank = 0; rank < info.size; rank += 1) {
		await makeDirectory(rankDir({...info, rank}));
		const record = encodeRecord({...info, rank, log});
		const path = rankRecordPath(info, rank);
		if ((await readSmallFile(path)) !== record) await replaceSmallFile(path, record);
	}
	await makeDirectory(info.statedir);
}

async function makeRundir({instance, rundir}: InstanceInfo): Promise<void> {
	const other = await readStartRecord(rundir);
	if (other !== null && other.info.instance !== instance) {
		throw new SystemError(
			'EEXIST',
			`--rundir ${rundir} belongs to the instance ${other.info.instance} of ${other.info.statedir}; ` +
				'no two instances share a run directory',
		);
	}
	if (other === null) {
		const foreign = (await entriesOf(rundir)).map(({name}) => name);
		if (foreign.length > 0) {
			throw new SystemError(
				'ENOTEMPTY',
				`--rundir ${rundir} holds other files (${foreign.slice(0, 5).join(', ')}): give a directory of its own`,
			);
		}
	}
	await makeDirectory(rundir);
	try {
		const {uid} = await stat(rundir);
		if (uid !== process.getuid?.()) {
			throw new SystemError('EPERM', `the run directory ${rundir} belongs to another user (uid ${uid})`);
		}
		await chmod(rundir, 0o700);
	} catch (error) {
		throw asSystemError(error);
	}
}

function rankRecordPath(place: RankPlace, rank: number): string {
	return join(rankDir({...place, rank}), INSTANCE_FILE);
}

/** `path` with the symbolic links of that part of it resolved that is there. */
async function resolveLinks(path: string): Promise<string> {
	try {
		return await realpath(path);
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code !== 'ENOENT' || path === '/') throw asSystemError(error, 'EIO', path);
		return join(await resolveLinks(dirname(path)), basename(path));
	}
}

async function isThere(path: string): Promise<boolean> {
	return stat(path).then(
		() => true,
		() => false,
	);
}
