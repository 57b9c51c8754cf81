/** Goal: what a client of a running job prints is what the task wrote, whatever is killed while it does. */
import test from 'ava';
import {startedInstance, type Role} from '../chaos/instance.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

const SCRIPT = 'for i in $(seq 1000); do echo $i; echo e$i >/dev/stderr; sleep 0.01; done; exit 5';
const lines = (prefix: string) =>
	Array.from({length: 1000}, (_, index) => `${prefix}${index + 1}\n`).join('');

test.serial(
	'broker and shell are killed in the middle of run: not a line is lost or doubled, and the status is the job’s',
	async t => {
		const instance = await startedInstance(t);
		const run = instance.spawn(['run', 'sh', '-c', SCRIPT], {timeoutMs: 120_000});
		const kills: readonly (readonly [line: number, roles: readonly Role[]])[] = [
			[200, ['broker', 'shell']],
			[400, ['broker']],
			[600, ['shell', 'daemon']],
			[800, ['broker', 'shell', 'launcher', 'daemon']],
		];
		for (const [line, roles] of kills) {
			await until(`line ${line}`, () => run.stdout.includes(`\n${line}\n`));
			const names = roles.map(role => instance.find(role)).filter(name => name !== null);
			await instance.kill(names);
		}
		await instance.start();
		const {status, stdout, stderr} = await run.finished;
		t.is(stdout, lines(''));
		t.is(stderr, lines('e'));
		t.is(status, 5);
		// The same again, from the beginning, of a job that is over.
		const [job] = await instance.jobs();
		t.like(await instance.run(['job', 'attach', job!.f58]), {
			status: 5,
			stdout: lines(''),
			stderr: lines('e'),
		});
		await proveLog(t, instance);
	},
);
