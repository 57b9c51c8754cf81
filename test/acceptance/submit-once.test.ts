/** Goal: a submission happens once, whatever is killed before its answer arrives. */
import test from 'ava';
import {startedInstance} from '../chaos/instance.ts';
import {ledgerNames} from '../chaos/ledger.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {pause} from '../chaos/until.ts';

test.serial(
	'a submit that is sent again with its request id after a killed broker is one job with one id',
	async t => {
		const instance = await startedInstance(t);
		const ids = new Set<string>();
		for (let round = 0; round < 6; round += 1) {
			const argv = ['submit', '--request-id', `round.${round}`, ...instance.task('exit', '0')];
			const racing = instance.spawn(argv);
			// From the middle of the client's start until after its answer.
			await pause(100 + round * 60);
			await instance.kill([instance.find('broker') ?? (await instance.process('broker'))]);
			const again = await instance.run(argv);
			const first = await racing.finished;
			t.is(first.status, 0, first.stderr);
			t.like(again, {status: 0, stdout: first.stdout});
			await instance.kill([await instance.process('broker')]);
			t.like(await instance.run(argv), {status: 0, stdout: first.stdout});
			ids.add(first.stdout);
		}
		const jobs = await instance.allInactive();
		t.is(jobs.length, 6);
		t.is(ids.size, 6);
		t.deepEqual(await instance.check(jobs), []);
		t.is(ledgerNames(instance.ledgers).length, 6);
		await proveLog(t, instance);
	},
);

test.serial('a submit of many that loses its broker in between submits each once', async t => {
	const instance = await startedInstance(t);
	const submit = instance.spawn(['submit', '--cc', '1-300', ...instance.task('exit', 'COPPICE_JOB_CC % 3')]);
	for (let round = 0; round < 4; round += 1) {
		await pause(150);
		const broker = instance.find('broker');
		if (broker !== null) await instance.kill([broker]);
	}
	const {status, stdout, stderr} = await submit.finished;
	t.is(status, 0, stderr);
	t.is(new Set(stdout.split('\n').filter(Boolean)).size, 300);
	const jobs = await instance.allInactive();
	t.is(jobs.length, 300);
	t.deepEqual(await instance.check(jobs), []);
	await proveLog(t, instance);
});
