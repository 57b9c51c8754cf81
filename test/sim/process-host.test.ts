/**
 * Goal: the simulated host keeps the contract, and loses what a real node loses.
 * Method: the contract suite on a virtual clock, then the faults that only the simulator has.
 */

import test from 'ava';
import {SimNode} from '../../src/sim/process-host.ts';
import {ManualClock} from '../exec/manual-clock.ts';
import {
	exitOf,
	live,
	processHostContract,
	reportsFor,
	specOf,
	untilStarted,
	type HostSite,
} from '../exec/process-host-contract.ts';

const STEPS_MAX = 1000;

interface SimSite extends HostSite {
	readonly node: SimNode;
}

function createSite(): SimSite {
	const clock = new ManualClock();
	const node = new SimNode(clock);
	/** Steps the clock until `goal` has settled. */
	const drive = async <T>(goal: Promise<T>): Promise<T> => {
		let settled = false;
		const mark = () => {
			settled = true;
		};
		goal.then(mark, mark);
		for (let steps = 0; !settled && steps < STEPS_MAX; steps++) {
			if (!(await clock.step())) await Promise.resolve();
		}
		return goal;
	};
	return {
		node,
		host: async () => {
			const host = node.host();
			const inventory = host.inventory.bind(host);
			host.inventory = async () => drive(inventory());
			return host;
		},
		until: async (what, condition) => {
			for (let steps = 0; steps < STEPS_MAX; steps++) {
				if (await condition()) return;
				await clock.step();
			}
			throw new Error(`not reached: ${what}`);
		},
		pass: async ms => {
			let passed = false;
			clock.setTimer(ms, () => {
				passed = true;
			});
			while (!passed) await clock.step();
		},
		loseShell: async () => node.loseShell(),
		loseShim: async (key, task) => node.loseShim(key, task),
	};
}

processHostContract('simulated', async () => createSite());

test('a reboot kills everything, and reports no end that nobody saw', async t => {
	const site = createSite();
	const life = await live(site);
	const spec = specOf(1n, 'sleep 60');
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	site.node.reboot('boot-2');
	t.is(site.node.aliveTasks, 0);
	const after = await live(site);
	const inventory = await after.host.inventory();
	t.is(inventory.bootId, 'boot-2');
	t.like(inventory.parts[0], {state: 'running', bootId: 'boot-1'});
	after.host.launch(spec);
	await site.pass(1000);
	t.deepEqual(site.node.starts, ['1.1/0']);
	after.host.terminate(spec, 15);
	await site.until('exited', () => exitOf(after, spec) !== undefined);
	t.is(exitOf(after, spec)?.tasks[0]?.waitStatus, null);
});

test('a launch that is refused ends the part with an exec exception', async t => {
	const site = createSite();
	const life = await live(site);
	site.node.refuseLaunches('no space');
	const spec = specOf(2n, 'exit 0');
	life.host.launch(spec);
	await site.until('exited', () => exitOf(life, spec) !== undefined);
	t.like(reportsFor(life, spec)[0], {kind: 'exception', type: 'exec', severity: 0, note: 'no space'});
	t.deepEqual(site.node.starts, []);
});

test('orders that are given while the shell is away are lost, and the reset tells', async t => {
	const site = createSite();
	const life = await live(site);
	const first = specOf(3n, 'sleep 60');
	life.host.launch(first);
	await untilStarted(site, life, first);
	site.node.loseShell();
	const lost = specOf(4n, 'sleep 60');
	life.host.launch(lost);
	await site.until('reset', () => life.resets === 1);
	t.deepEqual(
		(await life.host.inventory()).parts.map(part => part.id),
		[3n],
	);
	life.host.launch(lost);
	await untilStarted(site, life, lost);
	t.deepEqual(site.node.starts, ['3.1/0', '4.1/0']);
});

test('a shell that stays away makes the inventory fail by its deadline', async t => {
	const site = createSite();
	const life = await live(site);
	life.host.launch(specOf(5n, 'sleep 600'));
	await untilStarted(site, life, specOf(5n, ''));
	site.node.loseShell({hold: true});
	await t.throwsAsync(life.host.inventory(), {code: 'ETIMEDOUT'});
});
