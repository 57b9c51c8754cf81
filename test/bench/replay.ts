/** What a long tail of the log costs: a restart behind the last snapshot, and applying alone, of the facts of real jobs. */
import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {DurableState, type AnyFact} from '../../src/machines/durable-state.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';
import {Instance} from '../chaos/instance.ts';
import {cpuMsOf, submitWindow} from './many-jobs.ts';

const FACTS = 100_000;
const ROUNDS = 3;

export async function benchTail(): Promise<void> {
	console.log(`\nRestart after SIGKILL with ${FACTS} facts and no snapshot\n`);
	// An interval that is never reached: all that the first life notes is read and applied by the next one.
	const instance = new Instance({cores: 16, confs: ['log.snapshot-interval=10000000']});
	try {
		await instance.start();
		const count = async () => (await instance.json<{facts: number}>('log', 'replay')).facts;
		while ((await count()) < FACTS) await submitWindow(instance);
		console.log(
			`${await count()} facts\n\n| round | \`jobs\` answered after the kill (s) | CPU of the new broker (s) |\n|---|---|---|`,
		);
		for (let round = 1; round <= ROUNDS; round += 1) {
			await instance.kill([await instance.process('broker')]);
			const killedMs = performance.now();
			await instance.ok('jobs');
			const seconds = ((performance.now() - killedMs) / 1000).toFixed(2);
			const cpuS = (cpuMsOf((await instance.process('broker')).pid) / 1000).toFixed(2);
			console.log(`| ${round} | ${seconds} | ${cpuS} |`);
		}
		console.log('\ngoal: 2 s');
		const finished = await instance.run(['shutdown']);
		if (finished.status !== 0) throw new Error(`shutdown: ${finished.stderr}`);
		await applyAlone(instance.statedir);
	} finally {
		await instance.destroy();
	}
}

/** Reading is not counted: the facts are in memory before the first is applied. */
async function applyAlone(statedir: string): Promise<void> {
	const path = readdirSync(statedir).includes('0') ? join(statedir, '0') : statedir;
	const log = await EventLog.inspect(new LevelStoreDir(path), {clock: new SystemClock()});
	const facts: AnyFact[] = [];
	for await (const records of log.read({fromSeq: log.base})) {
		for (const record of records) facts.push(...(record.facts as AnyFact[]));
	}
	await log.close();
	console.log('\nApplying alone\n\n| round | facts/s |\n|---|---|');
	for (let round = 1; round <= ROUNDS; round += 1) {
		const state = new DurableState();
		const startMs = performance.now();
		for (const fact of facts) state.applyFact(fact);
		const perSecond = (facts.length * 1000) / (performance.now() - startMs);
		console.log(`| ${round} | ${perSecond.toFixed(0)} |`);
	}
	console.log(`\n${facts.length} facts (goal: 150,000 facts/s)`);
}
