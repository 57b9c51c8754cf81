/**
 * Goal: a parent link that is cut in one direction only, packets dropped and sockets open, is noticed on both sides; the jobs go
 * on, and are found again when it is whole.
 * Method: brokers over TLS on three hosts in a row: network namespaces, or, where the machine has none, loopback addresses with
 * relays between them. The oracle is /proc, the ledgers of the tasks, and what the root says. `tbon.lost-timeout` is low; the
 * rest is as by default.
 */
import test from 'ava';
import {countStates} from '../chaos/instance.ts';
import {Hosts} from '../chaos/hosts.ts';
import {NetHosts, netHostsFault} from '../chaos/net-hosts.ts';
import {RelayHosts} from '../chaos/relay-hosts.ts';
import {isAlive} from '../chaos/processes.ts';
import {until} from '../chaos/until.ts';

const LOST_MS = 4000;
const fault = process.env['COPPICE_TEST_RELAY'] === '1' ? 'relays are asked for' : netHostsFault();
/** The cut link is that of this rank and its parent. */
const CUTS = [
	{from: 1, to: 2, away: [2], here: [0, 1]},
	{from: 2, to: 1, away: [2], here: [0, 1]},
	{from: 0, to: 1, away: [1, 2], here: [0]},
	{from: 1, to: 0, away: [1, 2], here: [0]},
];

let hosts: Hosts;

test.before(async () => {
	const net = fault === null ? new NetHosts(3) : await RelayHosts.open(3);
	hosts = new Hosts({size: 3, net, tbon: ['torpid = "1s"', `lost-timeout = "${LOST_MS}ms"`]});
	await hosts.start();
});
test.after.always(() => hosts.destroy());

for (const {from, to, away, here} of CUTS) {
	test.serial(
		`packets from rank ${from} to rank ${to} are dropped: both converge, the jobs go on`,
		async t => {
			const gate = hosts.newGate();
			const [id] = await hosts.submit(['-N', '3', '-n', '6'], 'gate', gate.path, 'COPPICE_TASK_RANK');
			await hosts.jobsUntil('it runs', all => countStates(all)['RUN'] === 1);
			const tasks = await hosts.tasksStarted([await hosts.job(id!)]);
			const boots = await hosts.whole();
			const before = await hosts.look();

			const startMs = performance.now();
			hosts.net.cut(from, to);
			await until(
				'the ranks behind the cut are away',
				async () => {
					const now = await hosts.boots();
					return away.every(rank => now[rank] === null) && here.every(rank => now[rank] !== null);
				},
				{timeoutMs: 30_000},
			);
			// The other side has noticed too, by itself: it was restarted, and looks for its parent.
			await until('those behind the cut have restarted', async () => {
				const now = await Promise.all(away.map(async rank => hosts.bootHere(rank)));
				return away.every((rank, index) => (now[index]?.boots ?? 0) > boots[rank]!.boots);
			});
			if (fault !== null) t.log(`by relays: ${fault}`);
			t.log(`restarted after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
			t.deepEqual(tasks.filter(isAlive), tasks);
			t.is((await hosts.job(id!)).state, 'RUN', 'silence is not death');

			hosts.net.heal();
			const back = await hosts.whole();
			await hosts.allReattached(before, {restarted: away});
			t.deepEqual(tasks.filter(isAlive), tasks);
			for (const rank of here)
				t.is(back[rank]!.pid, boots[rank]!.pid, `rank ${rank} had no reason to restart`);
			await gate.open();
			const jobs = await hosts.allInactive();
			t.deepEqual(await hosts.check(jobs), []);
			t.like(await hosts.job(id!), {returncode: 5, outcome: 'exited'});
			t.deepEqual(
				jobs.filter(({exception}) => exception !== undefined),
				[],
			);
		},
	);
}
