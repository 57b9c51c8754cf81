/** Goal: each host of a cluster derives its own place from one configuration, and a host that has none is told why. */
import test from 'ava';
import fc from 'fast-check';
import {bootstrapOf} from '../../src/broker/bootstrap.ts';
import {parseConfig, type BrokerConfig} from '../../src/broker/config.ts';

function configOf(text: string): BrokerConfig {
	return parseConfig([{kind: 'file', path: '/etc/coppice/coppice.toml', text}]);
}

const CLUSTER = configOf(`
[bootstrap]
hosts = "n[0-6]"
key = "/etc/coppice/key"
[tbon]
topo = "kary:2"
`);

test('the rank of a host is its index in the list, and its parent is where kary:N says', t => {
	const place = bootstrapOf(CLUSTER, {hostname: 'n4'});
	t.is(place.rank, 4);
	t.is(place.size, 7);
	t.deepEqual(place.hosts, ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6']);
	t.is(place.parentUri, 'tls://n1:8050');
	t.is(place.listenUri, null);
	t.is(bootstrapOf(CLUSTER, {hostname: 'n1'}).listenUri, 'tls://*:8050');
	t.is(bootstrapOf(CLUSTER, {hostname: 'n0'}).parentUri, null);
});

test('a host is known by its name, and by its name without the domain', t => {
	t.is(bootstrapOf(CLUSTER, {hostname: 'n3.cluster.example'}).rank, 3);
	const whole = configOf('[bootstrap]\nkey = "k"\nhosts = ["n1.a.example", "n1"]');
	t.is(bootstrapOf(whole, {hostname: 'n1.a.example'}).rank, 0);
	t.is(bootstrapOf(whole, {hostname: 'n1.b.example'}).rank, 1);
});

test('an address is listened at as it is, a name on all interfaces', t => {
	const config = configOf(
		'[bootstrap]\nkey = "k"\nhosts = ["10.0.0.1", "::1", "n2", "7", "x"]\n[tbon]\ntopo = "kary:1"',
	);
	const uris = ['10.0.0.1', '::1', 'n2', '7'].map(hostname => bootstrapOf(config, {hostname}).listenUri);
	t.deepEqual(uris, ['tls://10.0.0.1:8050', 'tls://[::1]:8050', 'tls://*:8050', 'tls://*:8050']);
	t.is(bootstrapOf(config, {hostname: 'n2'}).parentUri, 'tls://[::1]:8050');
});

test('parents by name go before those of the topology, and custom is flat but for them', t => {
	const parents = '[bootstrap.parents]\nn5 = "n0"\nn6 = "n5"';
	for (const [topo, parentOf4] of [
		['kary:2', 'n1'],
		['custom', 'n0'],
	]) {
		const config = configOf(`[bootstrap]\nhosts = "n[0-6]"\nkey = "k"\n${parents}\n[tbon]\ntopo = "${topo}"`);
		const parent = (hostname: string) => bootstrapOf(config, {hostname}).parentUri;
		t.is(parent('n4'), `tls://${parentOf4}:8050`);
		t.is(parent('n5'), 'tls://n0:8050');
		t.is(parent('n6'), 'tls://n5:8050');
	}
});

test('ports are one for all, or one a host', t => {
	const config = configOf(
		'[bootstrap]\nhosts = "n[0-2]"\nkey = "k"\nports = [9000, 9001, 9002]\n[tbon]\ntopo = "kary:1"',
	);
	t.is(bootstrapOf(config, {hostname: 'n1'}).listenUri, 'tls://*:9001');
	t.is(bootstrapOf(config, {hostname: 'n2'}).parentUri, 'tls://n1:9001');
});

test('all hosts agree: the parent of each listens where it is looked for', t => {
	const shapes = fc.record({size: fc.integer({min: 2, max: 40}), fanout: fc.integer({min: 1, max: 6})});
	fc.assert(
		fc.property(shapes, ({size, fanout}) => {
			const hosts = Array.from({length: size}, (_, rank) => `10.0.0.${rank + 1}`);
			const ports = hosts.map((_, rank) => 9000 + rank);
			const config = configOf(
				`[bootstrap]\nkey = "k"\nhosts = ${JSON.stringify(hosts)}\nports = ${JSON.stringify(ports)}\n` +
					`[tbon]\ntopo = "kary:${fanout}"`,
			);
			const places = hosts.map((hostname, rank) => bootstrapOf(config, {hostname, rank}));
			for (const place of places) {
				const parent = place.topology.parentOf(place.rank);
				t.is(place.parentUri, parent === null ? null : places[parent]!.listenUri);
			}
		}),
		{numRuns: 50},
	);
});

test('a host that is not in the list, and a wrong rank, are refused with file and line', t => {
	const refuses = (of: {hostname: string; rank?: number}, message: string) =>
		t.throws(() => bootstrapOf(CLUSTER, of), {
			code: 'EINVAL',
			message: `/etc/coppice/coppice.toml:3: bootstrap.hosts: ${message}`,
		});
	refuses({hostname: 'n7'}, 'this host, n7, is not one of them');
	refuses({hostname: 'n7', rank: 6}, 'this host, n7, is not one of them');
	refuses({hostname: 'n1', rank: 7}, 'there is no rank 7; the ranks of its hosts are 0 to 6');
	refuses({hostname: 'n1', rank: 2}, 'rank 2 is n2, and this host, n1, is rank 1');
	t.is(bootstrapOf(CLUSTER, {hostname: 'n1', rank: 1}).rank, 1);
});
