/**
 * Measures the real ProcessHost: one-task parts per second end to end, and how late ends are noticed. Run it as
 * `node dist/test/bench/process-host.js [PARTS] [IN-FLIGHT]`; needs root or a delegated cgroup.
 */

import {randomBytes, randomUUID} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {SystemError} from '../../src/formats/errno.ts';
import type {LaunchSpec, PartReport} from '../../src/ports/process-host.ts';
import {rankCgroup} from '../../src/exec/part-paths.ts';
import {findCgroupBase, removeCgroup} from '../../src/exec/real/cgroup.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {RealProcessHost} from '../../src/exec/real/process-host.ts';

const parts = Number(process.argv[2] ?? 1000);
const inFlight = Number(process.argv[3] ?? 32);
const cgroupBase = findCgroupBase();
if (cgroupBase instanceof SystemError) throw cgroupBase;
const dir = mkdtempSync(join(tmpdir(), 'coppice-bench-'));
const clock = new SystemClock();
const site = {
	instance: `bench-${randomBytes(4).toString('hex')}`,
	rank: 0,
	jobdir: `${dir}/jobs`,
	rundir: `${dir}/run`,
	cgroupBase,
};
const random = {
	float: () => Math.random(),
	bytes: (length: number) => new Uint8Array(randomBytes(length)),
	uuid: () => randomUUID(),
};
const host = new RealProcessHost({...site, clock, random, log: text => console.error(text)});

try {
	await run(1, 1); // Shell and launcher come up.
	const startMs = clock.monotonicMs();
	const delaysMs = (await run(parts, inFlight)).sort((a, b) => a - b);
	const seconds = (clock.monotonicMs() - startMs) / 1000;
	const at = (share: number) => delaysMs[Math.min(parts - 1, Math.floor(parts * share))];
	console.log(
		`${parts} parts, ${inFlight} in flight: ${Math.round(parts / seconds)}/s; ` +
			`end to report: median ${at(0.5)} ms, p99 ${at(0.99)} ms`,
	);
} finally {
	await host.close({stop: true});
	while (!removeCgroup(rankCgroup(site))) await new Promise(resolve => setTimeout(resolve, 20));
	rmSync(dir, {recursive: true, force: true});
}

/** Runs so many parts; resolves to the time from the end of each task to its report. */
async function run(count: number, width: number): Promise<number[]> {
	const delaysMs: number[] = [];
	let next = 0;
	const base = process.hrtime.bigint();
	const launch = () => {
		if (next < count) host.launch(specOf(base + BigInt(next++)));
	};
	return new Promise(resolve => {
		host.onReport = (report: PartReport) => {
			if (report.kind !== 'exited') return;
			const end = report.tasks[0];
			if (end?.waitStatus !== 0) throw new Error(`part ${report.id} ended with ${end?.waitStatus}`);
			delaysMs.push(clock.epochMs() - end.endMs);
			host.forget(report);
			launch();
			if (delaysMs.length === count) resolve(delaysMs);
		};
		for (let each = 0; each < width; each++) launch();
	});
}

function specOf(id: bigint): LaunchSpec {
	return {
		id,
		attempt: 1,
		argv: ['/bin/true'],
		env: {PATH: '/usr/bin:/bin'},
		cwd: '/',
		tasks: [0],
		durationMs: 0,
		killTimeoutMs: 5000,
		stdout: null,
		stderr: null,
		record: 'x'.repeat(2000),
	};
}
