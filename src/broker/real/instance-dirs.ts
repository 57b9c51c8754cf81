/**
 * Makes and finds the directories of an instance. Invariant: nothing is made before `decideStart` has agreed, and the
 * copies in the job directories are on disk before the first process starts.
 */
import {createHash} from 'node:crypto';
import {chmod, realpath, stat} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {rankDir, type RankSite} from '../../exec/part-paths.ts';
import {findCgroupBase, isUsableBase} from '../../exec/real/cgroup.ts';
import {HEAD_FILE} from '../../store/head-file.ts';
import {
	checkDirectories,
	defaultDirectories,
	encodeRecord,
	INSTANCE_FILE,
	parseInstance,
	parseRankRecord,
	rankStatedir,
	type InstanceInfo,
	type RankRecord,
} from '../instance.ts';
import {checkSite, type ClusterSite} from '../cluster-site.ts';
import {decideRanks, type RankFound} from '../rank-decision.ts';
import {decideStart, type StateDirFound} from '../start-decision.ts';
import {entriesOf, livingOf, readStartRecord, scanKnown, unfinishedOfRank} from './instance-scan.ts';
import {takeLock} from '../../ports/real/kernel-lock.ts';
import {makeDirectory, readSmallFile, replaceSmallFile} from './small-file.ts';

export interface PrepareOptions {
	/** As the user gave them, absolute; null: the default. */
	readonly statedir: string | null;
	readonly jobdir: string | null;
	readonly rundir: string | null;
	/** Take over an instance whose state directory is gone, with its jobs. */
	readonly adopt: boolean;
	/** The number of brokers; null: as many as the instance had, or 1. */
	readonly size: number | null;
	readonly topo: string;
	readonly hostname: string;
	/** Each broker has a host of its own, and this host's is this one; absent: all brokers are on this host. */
	readonly site?: ClusterSite;
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
	/** Ranks above 0 whose state was lost, and which begin anew. */
	readonly adoptedRanks: readonly number[];
	/** The state directory is the default one, so that its socket is the default URI's. */
	readonly isDefault: boolean;
}

/**
 * Decides whether and as whom an instance may start, and makes its directories (mode 0700) and records. `work` runs
 * while no other start on the same state directory can come between.
 *
 * @throws {SystemError} as `decideStart` and `checkDirectories`; EBUSY while another start is at it.
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
	const record = encodeRecord({...info, rank, log: 'made'});
	// The root's is that of the instance; one of another rank says whose it is, so that two are not mistaken for each other.
	const inState = rank === 0 ? encodeRecord(info) : record;
	const statePath = join(rankStatedir(info, rank), INSTANCE_FILE);
	if ((await readSmallFile(statePath)) !== inState) await replaceSmallFile(statePath, inState);
	const before = await readRankRecord(info, rank);
	if (before?.log !== 'made') await replaceSmallFile(rankRecordPath(info, rank), record);
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

/** Whether a log was begun in the state directory of a rank. */
export async function hasLog(info: InstanceInfo, rank: number): Promise<boolean> {
	const names = (await entriesOf(rankStatedir(info, rank))).map(({name}) => name);
	return names.includes(HEAD_FILE) || names.includes(INSTANCE_FILE);
}

/** What of an instance names the directories of its ranks. */
export type RankPlace = Omit<RankSite, 'rank'>;

/** What a state directory may hold before its log is there. */
const OWN_NAMES: readonly string[] = ['db', 'db.building', 'db.new', 'ballast', 'copies', 'lost+found'];
/** State directories of ranks above 0 lie in the root's. */
const RANK_NAME = /^rank-[1-9][0-9]*$/;

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
	const {topo, hostname, adopt, warn, site = null} = options;
	const asked = {
		jobdir: options.jobdir === null ? null : names.jobdir,
		rundir: options.rundir === null ? null : await resolveLinks(options.rundir),
	};
	const stateFound = await lookAt(statedir);
	const known =
		stateFound.record === null
			? await scanKnown({statedir, jobdir: names.jobdir, rundirs: names.rundirs, warn})
			: [];
	const decision = decideStart({statedir: stateFound, known, asked, adopt});
	const isKnown = decision.kind === 'recover';
	let before: InstanceInfo;
	if (isKnown) {
		checkSite(decision.info, site);
		before = {...decision.info, cgroupBase: await cgroupBaseOf(decision.info, warn)};
	} else {
		const instance = site?.instance ?? options.uuid();
		before = {
			instance,
			hostname,
			statedir,
			jobdir: names.jobdir,
			rundir: asked.rundir ?? join(names.rundirs, instance),
			size: options.size ?? 1,
			topo,
			cgroupBase: await cgroupBaseOf(null, warn),
			createdMs: options.nowMs,
		};
	}
	const place = site === null ? {} : {hostname, soleRank: site.rank};
	const info = {...before, ...place, size: options.size ?? before.size, topo};
	checkDirectories(info);
	const found = site === null ? await lookAtRanks(before, info.size) : [];
	const ranks = decideRanks({info: before, size: info.size, adopt, found});
	const log = isKnown ? decision.log : 'new';
	const first = site?.rank ?? 0;
	if (options.userid !== 0 && dirname(info.rundir) === names.rundirs) await refuseForeign(names.rundirs);
	await makeRundir(info, isKnown);
	await makeAll(info, [{rank: first, log}, ...ranks]);
	if (log === 'made') await markLogMade(info, first);
	return {
		info,
		isKnown,
		isAdopted: isKnown && decision.adopted,
		adoptedRanks: ranks.filter(({isAdopted}) => isAdopted).map(({rank}) => rank),
		isDefault: statedir === (await resolveLinks(defaultDirectories(options.env, options.userid).statedir)),
	};
}

/** All ranks above 0 that the instance had or is to have. */
async function lookAtRanks(info: InstanceInfo, size: number): Promise<RankFound[]> {
	const ranks = Array.from({length: Math.max(size, info.size) - 1}, (_, index) => index + 1);
	return Promise.all(
		ranks.map(async rank => ({
			rank,
			log: (await readRankRecord(info, rank))?.log ?? null,
			hasLog: await hasLog(info, rank),
			unfinished: rank < size ? [] : await unfinishedOfRank(info, rank),
		})),
	);
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
		foreign: names.filter(
			name => !OWN_NAMES.includes(name) && !RANK_NAME.test(name) && !name.endsWith('.tmp'),
		),
		ranks: names.filter(name => RANK_NAME.test(name)),
	};
}

/**
 * The cgroup that the instance had, as long as it can be used: after a reboot, or in another login session, it may be gone or
 * out of reach. Jobs keep what they were started with. '': there is none, and sessions and marks must do.
 */
async function cgroupBaseOf(info: InstanceInfo | null, warn: (text: string) => void): Promise<string> {
	if (info !== null && info.cgroupBase !== '') {
		if ((await isThere(info.cgroupBase)) && isUsableBase(info.cgroupBase)) return info.cgroupBase;
	}
	const base = findCgroupBase();
	if (typeof base === 'string') return base;
	warn(`processes of jobs are tracked by session, not by cgroup: ${base.message}`);
	return '';
}

async function makeAll(
	info: InstanceInfo,
	ranks: readonly {readonly rank: number; readonly log: 'new' | 'made'}[],
): Promise<void> {
	// One after the other where ranks share the directory that is made for them.
	await makeDirectory(info.jobdir);
	await makeDirectory(info.statedir);
	const make = async ({rank, log}: {rank: number; log: 'new' | 'made'}) => {
		await makeDirectory(rankDir({...info, rank}));
		const record = encodeRecord({...info, rank, log});
		const path = rankRecordPath(info, rank);
		if ((await readSmallFile(path)) !== record) await replaceSmallFile(path, record);
		await makeDirectory(rankStatedir(info, rank));
	};
	await Promise.all(ranks.map(make));
}

/** Its name may be known to all, and its place open to all (/tmp): whoever made it could exchange what is in it. */
async function refuseForeign(rundirs: string): Promise<void> {
	const found = await stat(rundirs).catch(() => null);
	if (found === null || found.uid === process.getuid?.()) return;
	throw new SystemError(
		'EPERM',
		`${rundirs}, where run directories are made, belongs to another user (uid ${found.uid}); set XDG_RUNTIME_DIR, or ` +
			'give --rundir',
	);
}

async function makeRundir({instance, rundir}: InstanceInfo, isKnown: boolean): Promise<void> {
	const other = await readStartRecord(rundir);
	if (other !== null && other.info.instance !== instance) {
		throw new SystemError(
			'EEXIST',
			`--rundir ${rundir} belongs to the instance ${other.info.instance} of ${other.info.statedir}; ` +
				'no two instances share a run directory',
		);
	}
	// A known instance has files of its own there, also where no start record says so: a broker under systemd has none.
	if (other === null && !isKnown) {
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
