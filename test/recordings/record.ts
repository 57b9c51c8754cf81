/**
 * Makes the recordings of this release: `node dist/test/recordings/record.js [NAME…]` plays each scenario with real
 * processes and writes `test/recordings/NAME.log.gz`, unless it is there: what is recorded stays as it is.
 */
import {existsSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {replayLog} from '../../src/broker/log-view.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';
import {Instance} from '../chaos/instance.ts';
import {processNamed} from '../chaos/processes.ts';
import {entriesOf, openRecording, packRecording} from './recording.ts';

/** Nothing of the recording machine's surroundings belongs into a recording. */
const BARE = ['--env=-*', '--cwd=/', '--quiet'];

interface Scenario {
	readonly story: string;
	readonly play: (instance: Instance) => Promise<void>;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
	'0.1.0-broker-killed-twice': {
		story: 'Jobs run and wait; the broker is killed twice; one is cancelled, one reaches its time limit.',
		async play(instance) {
			await instance.ok('submit', ...BARE, '--cc=0-3', 'sh', '-c', 'sleep 4; exit $COPPICE_JOB_CC');
			await instance.ok('submit', ...BARE, '-t', '5s', 'sleep', '60');
			await instance.ok('submit', ...BARE, '--job-name=victim', 'sleep', '60');
			await instance.ok('submit', ...BARE, '--cc=1-4', '-c2', 'true');
			await instance.ok('submit', ...BARE, '--urgency=hold', '--job-name=held', 'true');
			await running(instance, 6);
			await instance.kill([await instance.process('broker')]);
			await instance.jobs();
			await instance.kill([await instance.process('broker')]);
			const jobs = await instance.jobs();
			await instance.ok('cancel', jobs.find(({name}) => name === 'victim')!.id);
			await instance.ok('job', 'urgency', jobs.find(({name}) => name === 'held')!.id, '20');
			await instance.allInactive();
		},
	},
	'0.1.0-all-killed-and-a-shim': {
		story: 'A shim is killed, then everything but the shims; jobs end in the outage; a new start finds them.',
		async play(instance) {
			await instance.ok('submit', ...BARE, '--cc=1-2', 'sh', '-c', 'sleep 3; exit 7');
			await instance.ok('submit', ...BARE, 'sh', '-c', 'sleep 6; kill -9 $$');
			await instance.ok('submit', ...BARE, '--job-name=orphan', 'sleep', '7');
			await instance.ok('submit', ...BARE, '-n2', 'sh', '-c', 'sleep 5; exit $COPPICE_TASK_RANK');
			await running(instance, 5);
			const orphan = (await instance.jobs()).find(({name}) => name === 'orphan')!;
			await instance.kill([processNamed(instance.pidsOf(orphan, 'shim')[0]!)!]);
			await instance.kill(Object.values(await instance.processes()));
			await new Promise(resolve => setTimeout(resolve, 4000)); // The outage that is to be recorded.
			await instance.start();
			await instance.allInactive();
		},
	},
	'0.1.0-stopped-with-jobs-kept': {
		story: 'The instance is shut down with its jobs kept, and started again.',
		async play(instance) {
			await instance.ok('submit', ...BARE, '--cc=1-3', 'sh', '-c', 'sleep 4; exit 3');
			await instance.ok('submit', ...BARE, '--cc=1-3', '-c8', 'false');
			await running(instance, 3);
			await instance.ok('shutdown', '--keep-jobs');
			await instance.start();
			await instance.allInactive();
		},
	},
};

async function running(instance: Instance, count: number): Promise<void> {
	await instance.jobsUntil(
		`${count} jobs run`,
		all => all.filter(({state}) => state === 'RUN').length >= count,
	);
}

async function record(name: string, {story, play}: Scenario): Promise<void> {
	const path = fileURLToPath(new URL(`../../../test/recordings/${name}.log.gz`, import.meta.url));
	if (existsSync(path)) return console.log(`${name} is there`);
	const instance = new Instance({cores: 8});
	try {
		await instance.start();
		await play(instance);
		await instance.ok('shutdown');
		const dir = new LevelStoreDir(instance.statedir);
		const store = await dir.openCopy({name: null, repair: false});
		const entries = await entriesOf(store);
		await store.close();
		const head = (await dir.readFile('HEAD'))!;
		const log = await openRecording({story, entries, head, digest: '', seq: 0});
		const {state, seq, problems} = await replayLog(log, null);
		if (problems.length > 0) throw new Error(`${name}: ${problems.join('; ')}`);
		writeFileSync(path, packRecording({story, entries, head, digest: state.digest(), seq}));
		console.log(`${name}: ${seq} facts, ${state.archive.count} finished jobs`);
	} finally {
		await instance.destroy();
	}
}

const names = process.argv.slice(2);
for (const [name, scenario] of Object.entries(SCENARIOS)) {
	if (names.length === 0 || names.includes(name)) await record(name, scenario);
}
