/**
 * Goal: tasks exchange what they put, once and whole, whoever is killed meanwhile.
 * Method: real tasks that speak PMI-1 and check every answer; the job shell, the launcher and the broker's side are lost in
 * the middle of barriers.
 */

import {readFileSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import type {Exchange, LaunchSpec} from '../../../src/ports/process-host.ts';
import {
	exitOf,
	live,
	reportsFor,
	specOf,
	untilExited,
	untilStarted,
	type Life,
} from '../process-host-contract.ts';
import {writePmiClient} from '../pmi-client.ts';
import {createRealSite, type RealSite} from './real-site.ts';

function clientSpec(
	site: RealSite,
	{
		id = 1n,
		tasks,
		size = tasks.length,
		rounds = 3,
		pauseS = 0,
	}: {id?: bigint; tasks: number[]; size?: number; rounds?: number; pauseS?: number},
): LaunchSpec {
	writePmiClient(`${site.dir}/client`);
	return specOf(id, '', {
		argv: [`${site.dir}/client`, site.dir, String(rounds), String(pauseS)],
		tasks,
		pmi: {size, values: {PMI_process_mapping: '(vector,(0,1,8))'}},
	});
}

/** Every task entered and left each barrier once, in order. */
function checkRounds(t: ExecutionContext, site: RealSite, tasks: readonly number[], rounds: number): void {
	for (const task of tasks) {
		const expected = Array.from({length: rounds}, (_, i) => [`in ${i + 1}`, `out ${i + 1}`]).flat();
		const lines = readFileSync(`${site.dir}/rounds.${task}`, 'utf8').trimEnd().split('\n');
		t.deepEqual(lines, ['map (vector,(0,1,8))', ...expected]);
	}
}

function statuses(life: Life, spec: LaunchSpec) {
	return exitOf(life, spec)!.tasks.map(({waitStatus}) => waitStatus);
}

test('eight tasks exchange their cards over several barriers', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const tasks = [0, 1, 2, 3, 4, 5, 6, 7];
	const spec = clientSpec(site, {tasks});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	t.deepEqual(
		statuses(life, spec),
		tasks.map(() => 0),
	);
	checkRounds(t, site, tasks, 3);
});

test('the shell is killed again and again: no put is lost, and each barrier passes once', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const tasks = [0, 1, 2, 3];
	const spec = clientSpec(site, {tasks, rounds: 12, pauseS: 0.2});
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	let kills = 0;
	while (exitOf(life, spec) === undefined && kills < 5) {
		await site.pass(150);
		const pid = site.shellPid();
		if (pid === undefined) continue;
		await site.kill(pid);
		kills += 1;
		await site.until('another shell', () => life.resets === kills);
	}
	await untilExited(site, life, spec);
	t.is(kills, 5);
	t.deepEqual(
		statuses(life, spec),
		tasks.map(() => 0),
	);
	checkRounds(t, site, tasks, 12);
});

test('a barrier over several parts waits for the others, and opens once, also after the loss of shell and broker', async t => {
	const site = createRealSite(t);
	let life = await live(site);
	const exchanges: Exchange[] = [];
	const spec = clientSpec(site, {tasks: [0, 1], size: 3, rounds: 2});
	const others = (barrier: number) => ({[`card.${barrier}.2`]: `host 2 round ${barrier}`});
	life.host.onExchange = exchange => exchanges.push(exchange);
	life.host.launch(spec);
	await site.until('both wait', () => exchanges.length > 0);
	t.deepEqual(exchanges[0], {
		id: 1n,
		attempt: 1,
		barrier: 1,
		puts: {'card.1.0': 'host 0 round 1', 'card.1.1': 'host 1 round 1'},
	});
	t.deepEqual(life.host.readExchange!(spec, 1), exchanges[0]);
	t.is(life.host.readExchange!(spec, 2), null);
	life.host.exchanged!({...exchanges[0]!, barrier: 2, puts: {}}); // Not this one: nothing happens.
	await site.loseShell();
	await site.until('the next shell says it again', () => exchanges.length > 1);
	life = await live(site);
	life.host.onExchange = exchange => exchanges.push(exchange);
	await life.host.inventory();
	await site.until('the next broker hears it', () => exchanges.length > 2);
	const open = (exchange: Exchange) =>
		life.host.exchanged!({...exchange, puts: {...exchange.puts, ...others(exchange.barrier)}});
	open(exchanges.at(-1)!);
	open(exchanges.at(-1)!);
	await site.until('the second barrier', () => exchanges.at(-1)!.barrier === 2);
	t.deepEqual(life.host.readExchange!(spec, 1), exchanges[0], 'it can be read when it was passed too');
	open(exchanges.at(-1)!);
	await untilExited(site, life, spec);
	t.deepEqual(statuses(life, spec), [0, 0]);
	checkRounds(t, site, [0, 1], 2);
});

test('a task that aborts ends its job with the reason', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script =
		`if [ $PMI_RANK = 0 ]; then : >${site.dir}/started; exec sleep 60; fi; ` +
		`until [ -e ${site.dir}/started ]; do sleep 0.01; done; ` +
		'echo "cmd=abort exitcode=3 error_msg=no more memory" >&$PMI_FD; exec sleep 60';
	const spec = specOf(1n, script, {tasks: [0, 1], pmi: {size: 2, values: {}}});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	const exception = reportsFor(life, spec).find(report => report.kind === 'exception');
	t.like(exception, {type: 'exec', severity: 0, note: 'task 1 asked for it by PMI: no more memory'});
	t.deepEqual(statuses(life, spec), [15, 15]);
});

test('a task that writes no PMI, or too much of it, harms nobody', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script =
		'case $PMI_RANK in 0) head -c 100000 /dev/zero | tr "\\0" x >&$PMI_FD;; ' +
		'1) seq 20000 >&$PMI_FD;; 2) echo cmd=spawn >&$PMI_FD; read -r x <&$PMI_FD; echo "$x";; ' +
		'*) eval "exec $PMI_FD<&-";; esac; echo out; exit 4';
	const spec = specOf(1n, script, {tasks: [0, 1, 2, 3], pmi: {size: 4, values: {}}});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	t.deepEqual(statuses(life, spec), [4 << 8, 4 << 8, 4 << 8, 4 << 8]);
	const {data} = await life.host.readOutput(spec, 2, 'stdout', 0, 1000);
	t.is(new TextDecoder().decode(data), 'cmd=spawn_result rc=-1 msg=not_supported\nout\n');
});

test('a part without PMI has no variable and no descriptor of it', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'env | grep -c ^PMI_; ls -m /proc/$$/fd');
	life.host.launch(spec);
	await untilExited(site, life, spec);
	const {data} = await life.host.readOutput(spec, 0, 'stdout', 0, 1000);
	t.is(new TextDecoder().decode(data), '0\n0, 1, 2\n');
});
