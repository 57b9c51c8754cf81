/**
 * Goal: S01 to S15 together. Whatever mix of kills hits a life of parts, each task starts at most once, each part ends
 * once with its true statuses, and nothing is left.
 * Method: a seed draws parts and a series of faults: SIGKILL to shell, launcher and single shims, a SIGSTOP, a new
 * broker, two within one millisecond. The oracle is what the tasks themselves wrote.
 */

import {appendFileSync, existsSync, readdirSync, readFileSync} from 'node:fs';
import type {LaunchSpec, PartReport} from '../../../src/ports/process-host.ts';
import {exitOf, readInventory, relive, specOf, type Life} from '../process-host-contract.ts';
import {createRealSite, eachTracking, type RealSite} from './real-site.ts';

const PARTS = 14;
const FAULTS = 12;

/** mulberry32: small, seeded, good enough to draw faults. */
function draw(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

interface Expected {
	readonly spec: LaunchSpec;
	readonly code: number;
	isTerminated: boolean;
	readonly lostTasks: Set<number>;
}

for (const seed of [1, 2, Number(process.env.COPPICE_SEED ?? Math.floor(Math.random() * 1e9))]) {
	eachTracking(
		`parts end once and truly under faults drawn from seed ${seed === 1 || seed === 2 ? seed : 'at random'}`,
		async t => {
			const faults: string[] = [];
			t.teardown(() => {
				if (!t.passed) t.log(`seed ${seed}, faults ${faults.join(' ')}`);
			});
			const random = draw(seed);
			const site = createRealSite(t);
			let life = await relive(site);
			const parts = Array.from({length: PARTS}, (_, index) => plan(site, index, random));
			const all: PartReport[] = [];
			let launched = 0;
			for (let fault = 0; fault < FAULTS; fault++) {
				for (let each = 0; each < 2 && launched < PARTS; each++) life.host.launch(parts[launched++]!.spec);
				await site.pass(random() * 120);
				const kind = random();
				if (kind < 0.3) killIfThere(site.shellPid());
				else if (kind < 0.5) killIfThere(life.host.attributes().launcherPid ?? undefined);
				else if (kind < 0.6) {
					killIfThere(site.shellPid());
					killIfThere(life.host.attributes().launcherPid ?? undefined);
				} else if (kind < 0.7) killShim(site, parts[Math.floor(random() * launched)]!);
				else if (kind < 0.8) {
					const victim = parts[Math.floor(random() * launched)]!;
					victim.isTerminated = true;
					life.host.terminate(victim.spec, 15);
				} else {
					all.push(...life.reports);
					life = await relive(site);
					relaunch(life, parts.slice(0, launched));
				}
				faults.push(kind.toFixed(2));
			}
			await settle(site, () => life, parts);
			all.push(...life.reports);
			for (const expected of parts) check(t, {site, life, expected, all});
		},
	);
}

/** What a broker does after a restart: says again what it wants. */
function relaunch(life: Life, parts: readonly Expected[]): void {
	for (const {spec, isTerminated} of parts) {
		if (exitOf(life, spec) !== undefined) continue;
		if (isTerminated) life.host.terminate(spec, 15);
		else life.host.launch(spec);
	}
}

function plan(site: RealSite, index: number, random: () => number): Expected {
	const code = Math.floor(random() * 100);
	const ms = Math.floor(random() * 900);
	const tasks = random() < 0.3 ? [0, 1, 2] : [0];
	const script =
		`echo start $COPPICE_TASK_RANK >> ${site.dir}/ledger.${index}; sleep 0.${String(ms).padStart(3, '0')}; ` +
		`echo end $COPPICE_TASK_RANK >> ${site.dir}/ledger.${index}; echo out; exit ${code}`;
	const spec = specOf(BigInt(index + 1), script, {tasks, killTimeoutMs: 2000});
	return {spec, code, isTerminated: false, lostTasks: new Set()};
}

async function settle(site: RealSite, life: () => Life, parts: readonly Expected[]): Promise<void> {
	relaunch(life(), parts);
	await site.until('every part has exited', async () => {
		const found = await readInventory(life());
		const exited = new Set(found.filter(part => part.state === 'exited').map(part => part.id));
		// A part that was terminated before any shell had heard of it leaves only a report.
		const isOver = ({spec}: Expected) => {
			return found.some(part => part.id === spec.id)
				? exited.has(spec.id)
				: exitOf(life(), spec) !== undefined;
		};
		if (parts.every(isOver)) return true;
		const waiting = parts.filter(({spec}) => !exited.has(spec.id));
		// The reset of the host tells a broker to compare; here it is simply done each time.
		for (const part of found) {
			const mine = waiting.find(({spec}) => spec.id === part.id);
			if (part.state === 'launching' && mine !== undefined && !mine.isTerminated)
				life().host.launch(mine.spec);
		}
		return false;
	});
}

function check(
	t: {
		true: (value: boolean, message?: string) => void;
		deepEqual: (a: unknown, b: unknown, message?: string) => void;
	},
	{site, life, expected, all}: {site: RealSite; life: Life; expected: Expected; all: readonly PartReport[]},
): void {
	const {spec, code, isTerminated, lostTasks} = expected;
	const path = `${site.dir}/ledger.${Number(spec.id) - 1}`;
	const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
	const name = `part ${spec.id}: ${lines.join(', ')}`;
	t.deepEqual(
		lines.filter(line => line.startsWith('start')).length,
		new Set(lines.filter(line => line.startsWith('start'))).size,
		name,
	);
	const reports = all.filter(report => report.id === spec.id);
	const story = `${name}; ${reports.map(report => JSON.stringify({...report, id: Number(report.id)})).join(' ')}`;
	const bySeq = new Map<number, PartReport>();
	for (const report of reports) {
		// Of a part that no shell knows the end is made up anew each time.
		if (report.seq === 1 && report.kind === 'exited') continue;
		t.deepEqual(bySeq.get(report.seq) ?? report, report, name);
		bySeq.set(report.seq, report);
	}
	const exited = exitOf(life, spec) ?? reports.find(report => report.kind === 'exited');
	if (exited?.kind !== 'exited') return t.true(false, `${story}: no end`);
	for (const task of spec.tasks) {
		const end = exited.tasks.find(each => each.task === task);
		const ran = lines.includes(`start ${task}`);
		if (end === undefined) t.true(!ran && isTerminated, `${story}: task ${task} has no end`);
		else if (lines.includes(`end ${task}`) && !isTerminated)
			t.true(
				end.waitStatus === code << 8 || (end.waitStatus === null && lostTasks.has(task)),
				`${story}: ${end.waitStatus}`,
			);
		else t.true(isTerminated || lostTasks.has(task), `${story}: task ${task} ended with ${end.waitStatus}`);
	}
	t.true(site.site.cgroupBase === '' || !existsSync(site.cgroupOf(spec)), name);
	if (site.site.cgroupBase === '')
		t.deepEqual([...site.pids(spec, 'shim'), ...site.pids(spec, 'payload')], [], name);
}

function killShim(site: RealSite, victim: Expected): void {
	const names = existsSync(site.dirOf(victim.spec)) ? readdirSync(site.dirOf(victim.spec)) : [];
	const task = victim.spec.tasks.find(each => names.includes(`claim.${each}`));
	if (task === undefined) return;
	const pid = shimPidOf(site, victim.spec, task);
	if (pid === undefined) return;
	victim.lostTasks.add(task);
	appendFileSync(`${site.dir}/killed-shims`, `${victim.spec.id}/${task}\n`);
	killIfThere(pid);
}

function shimPidOf(site: RealSite, spec: LaunchSpec, task: number): number | undefined {
	try {
		const pid = site.shimPid(spec, task);
		return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('coppice-shim') ? pid : undefined;
	} catch {
		return undefined;
	}
}

function killIfThere(pid: number | undefined): void {
	if (pid === undefined) return;
	try {
		process.kill(pid, 'SIGKILL');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
	}
}
