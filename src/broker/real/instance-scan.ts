/**
 * Looks for what this host knows of instances beside a state directory: copies of `instance.json` in job directories,
 * start records in run directories, living daemons and brokers, and parts of jobs that are not over. Changes nothing.
 */
import type {Dirent} from 'node:fs';
import {readdir, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {asSystemError} from '../../formats/errno.ts';
import {encodeJobid} from '../../formats/jobid.ts';
import {decodePart, type StoredSpec} from '../../exec/launch-record.ts';
import {parsePartDir, partCgroup, rankDir} from '../../exec/part-paths.ts';
import {isPopulated, pidsIn} from '../../exec/real/cgroup.ts';
import {isAlive} from '../../exec/real/proc.ts';
import {livingMembers} from '../../exec/real/session-tracking.ts';
import {parseClaim, parseExit} from '../../exec/task-record.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';
import {
	brokerPidPath,
	daemonLockName,
	daemonPidPath,
	startRecordPath,
	type StartRecord,
} from '../daemon-protocol.ts';
import {
	INSTANCE_FILE,
	parseInstance,
	parseRankRecord,
	ranksHere,
	type InstanceInfo,
	type RankRecord,
} from '../instance.ts';
import type {KnownInstance, LivingProcess, UnfinishedPart} from '../start-decision.ts';
import {lockHolder} from '../../ports/real/kernel-lock.ts';
import {bootId, isNamedAlive, readPidFile} from './pid-file.ts';
import {readSmallFile} from './small-file.ts';

export interface ScanOptions {
	/** The state directory whose former instances are looked for, resolved. */
	readonly statedir: string;
	readonly jobdir: string;
	/** The directory in which run directories are by default. */
	readonly rundirs: string;
	/** Told of files that are passed over. */
	readonly warn: (text: string) => void;
}

/** The instances that had `statedir`, found in `jobdir` and by the run directories of `rundirs`. */
export async function scanKnown({statedir, jobdir, rundirs, warn}: ScanOptions): Promise<KnownInstance[]> {
	const started = (await startRecords(rundirs, warn)).filter(({info}) => info.statedir === statedir);
	const jobdirs = new Set([jobdir, ...started.map(({info}) => info.jobdir)]);
	const ranks: RankRecord[] = [];
	for (const each of jobdirs) ranks.push(...(await rankRecords(each, warn)));
	const infos = new Map<string, {info: InstanceInfo; log: 'new' | 'made'}>();
	// The root's record is the newest, and the one that is about this directory; others stand in where it is missing.
	for (const record of ranks.sort((a, b) => b.rank - a.rank)) {
		if (record.statedir !== statedir) continue;
		const isMade = record.rank > 0 && infos.get(record.instance)?.log === 'made';
		infos.set(record.instance, {info: infoOf(record), log: isMade ? 'made' : record.log});
	}
	for (const {info} of started) {
		if (!infos.has(info.instance)) infos.set(info.instance, {info, log: 'new'});
	}
	const known = [...infos.values()].map(async ({info, log}) => ({
		info,
		log,
		living: await livingOf(info),
		unfinished: await unfinishedOf(info),
	}));
	return Promise.all(known);
}

/** The daemon and the brokers of an instance that are alive. */
export async function livingOf(info: InstanceInfo): Promise<LivingProcess[]> {
	const {instance, rundir} = info;
	const living: LivingProcess[] = [];
	const daemon = await lockHolder(daemonLockName(instance));
	if (daemon !== null) {
		// One that is stopped or starved does not answer; then its file is the next best.
		const written = daemon.pid === null ? await readPidFile(daemonPidPath(rundir)) : null;
		const pid = daemon.pid ?? (written !== null && isNamedAlive(written) ? written.pid : null);
		living.push({what: 'daemon', pid});
	}
	for (const rank of ranksHere(info)) {
		const name = await readPidFile(brokerPidPath(rundir, rank));
		if (name !== null && isNamedAlive(name)) living.push({what: `broker ${rank}`, pid: name.pid});
	}
	return living;
}

/** The instance's parts that are alive, or have tasks without an exit record. */
export async function unfinishedOf(info: InstanceInfo): Promise<UnfinishedPart[]> {
	const unfinished: UnfinishedPart[] = [];
	for (const rank of ranksHere(info)) unfinished.push(...(await unfinishedOfRank(info, rank)));
	return unfinished;
}

/** As `unfinishedOf`, of one rank. */
export async function unfinishedOfRank(info: InstanceInfo, rank: number): Promise<UnfinishedPart[]> {
	const site = {...info, rank};
	const unfinished: UnfinishedPart[] = [];
	const marked = onlyOnce(() => livingMembers(site, new SystemClock()));
	for (const entry of await entriesOf(rankDir(site))) {
		const key = entry.isDirectory() ? parsePartDir(entry.name) : undefined;
		if (key === undefined) continue;
		const directory = join(rankDir(site), entry.name);
		const part = await examinePart(directory, {key, rank, cgroup: partCgroup(site, key), marked});
		if (part !== null) unfinished.push(part);
	}
	return unfinished;
}

/** The start records of the run directories that lie in `rundirs`. */
async function startRecords(rundirs: string, warn: ScanOptions['warn']): Promise<StartRecord[]> {
	const records: StartRecord[] = [];
	for (const entry of await entriesOf(rundirs)) {
		if (!entry.isDirectory()) continue;
		try {
			const record = await readStartRecord(join(rundirs, entry.name));
			if (record !== null) records.push(record);
		} catch (error) {
			warn(`${asSystemError(error).toString()}; it is passed over`);
		}
	}
	return records;
}

/** @throws {SystemError} EBADMSG when it is damaged. */
export async function readStartRecord(rundir: string): Promise<StartRecord | null> {
	const path = startRecordPath(rundir);
	const text = await readSmallFile(path);
	if (text === null) return null;
	try {
		const value = JSON.parse(text) as StartRecord;
		return {...value, info: parseInstance(JSON.stringify(value.info), path)};
	} catch (error) {
		throw asSystemError(error, 'EBADMSG', path);
	}
}

async function rankRecords(jobdir: string, warn: ScanOptions['warn']): Promise<RankRecord[]> {
	const records: RankRecord[] = [];
	for (const entry of await entriesOf(jobdir)) {
		if (!entry.isDirectory()) continue;
		const path = join(jobdir, entry.name, INSTANCE_FILE);
		try {
			const text = await readSmallFile(path);
			if (text !== null && (await isOwn(path))) records.push(parseRankRecord(text, path));
		} catch (error) {
			warn(`${asSystemError(error).toString()}; it is passed over`);
		}
	}
	return records;
}

function infoOf({rank: _rank, log: _log, ...info}: RankRecord): InstanceInfo {
	return info;
}

/** Files of other users are ignored: they must not decide whether we may start. */
async function isOwn(path: string): Promise<boolean> {
	return (await stat(path)).uid === process.getuid?.();
}

/** What is in a directory; one that is missing is empty. */
export async function entriesOf(path: string): Promise<Dirent[]> {
	try {
		return await readdir(path, {withFileTypes: true});
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT') return [];
		throw asSystemError(error, 'EIO', `reading the directory ${path}`);
	}
}

interface PartPlace {
	readonly key: PartKey;
	readonly rank: number;
	/** As it would be named now; '' without cgroups. */
	readonly cgroup: string;
	/** What carries the mark of a part of this rank, by part. */
	readonly marked: () => ReadonlyMap<string, readonly number[]>;
}

async function examinePart(
	directory: string,
	{key, rank, cgroup, marked}: PartPlace,
): Promise<UnfinishedPart | null> {
	const specPath = join(directory, 'part');
	const text = await readSmallFile(specPath);
	const spec = text === null ? null : readSpec(text, specPath);
	const cgroups = [...new Set([cgroup, spec?.cgroup ?? cgroup])].filter(path => path.startsWith('/sys/'));
	// A cgroup of the same name after a reboot holds something else.
	const isOfThisBoot = spec === null || spec.bootId === bootId();
	const tasks = await Promise.all((spec?.tasks ?? []).map(task => examineTask(directory, task)));
	const pids = [
		...new Set([
			...cgroups.flatMap(pidsOf),
			// Without a cgroup: those that its claims name, and what carries its mark.
			...((spec?.cgroup ?? cgroup) === ''
				? [...tasks.flatMap(({alive}) => alive), ...(marked().get(partName(key)) ?? [])]
				: []),
		]),
	];
	const isLiving = isOfThisBoot && (pids.length > 0 || cgroups.some(isPopulated));
	const head = {
		job: `${encodeJobid(key.id, 'f58plain')} (${partName(key)})`,
		attempt: key.attempt,
		rank,
		isAlive: isLiving,
	};
	if (spec === null) {
		// Nothing starts before its spec is there.
		if (!isLiving) return null;
		const sinceMs = (await stat(directory)).mtimeMs;
		return {...head, pids, sinceMs};
	}
	if (!isLiving && tasks.every(({isOver}) => isOver)) return null;
	const starts = tasks.flatMap(({startMs}) => startMs ?? []);
	const sinceMs = starts.length > 0 ? Math.min(...starts) : (await stat(specPath)).mtimeMs;
	return {...head, pids, sinceMs};
}

function readSpec(text: string, path: string): StoredSpec | null {
	try {
		return decodePart(text, path).spec;
	} catch {
		return null; // Damaged: the cgroup decides.
	}
}

async function examineTask(
	directory: string,
	task: number,
): Promise<{readonly isOver: boolean; readonly startMs: number | null; readonly alive: readonly number[]}> {
	const text = await readSmallFile(join(directory, `claim.${task}`));
	const claim = text === null ? null : parseClaim(text);
	const isOver = claim?.kind === 'void' || (text !== null && parseExit(text) !== null);
	if (claim?.kind !== 'claimed') return {isOver, startMs: null, alive: []};
	const named = [claim.shim, claim.task].filter(process => process !== null);
	return {
		isOver,
		startMs: claim.task?.startMs ?? null,
		alive: named.filter(isAlive).map(({pid}) => pid),
	};
}

function pidsOf(cgroup: string): number[] {
	return ['', '/payload', '/shim'].flatMap(below => pidsIn(`${cgroup}${below}`));
}

/** `make`, called when it is first needed. */
function onlyOnce<T>(make: () => T): () => T {
	let made: {readonly value: T} | undefined;
	return () => (made ??= {value: make()}).value;
}
