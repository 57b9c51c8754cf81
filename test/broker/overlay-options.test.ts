/** Goal: every rank derives its place in the tree from the same configuration, and a wrong one is refused by name. */
import test from 'ava';
import {parseConfig, type BrokerConfig} from '../../src/broker/config.ts';
import {overlayOptionsOf} from '../../src/broker/overlay-options.ts';

const HOST = {hostname: 'node', rundir: '/run/c'};

function configOf(...confs: string[]): BrokerConfig {
	return parseConfig(confs.map(text => ({kind: 'argument', text})));
}

test('brokers of one host are named by rank and meet at sockets of the run directory', t => {
	const info = {...HOST, size: 4, topo: 'kary:2'};
	const places = [0, 1, 2, 3].map(rank => overlayOptionsOf({config: configOf(), info, rank}));
	t.deepEqual(
		places.map(({listenUri}) => listenUri),
		['local:///run/c/tbon-0', 'local:///run/c/tbon-1', null, null],
	);
	t.deepEqual(
		places.map(({parentUri}) => parentUri),
		[null, 'local:///run/c/tbon-0', 'local:///run/c/tbon-0', 'local:///run/c/tbon-1'],
	);
	for (const {hosts} of places) t.deepEqual(hosts, ['node-0', 'node-1', 'node-2', 'node-3']);
});

test('a broker alone has the name of its host, no parent and no children', t => {
	const place = overlayOptionsOf({config: configOf(), info: {...HOST, size: 1, topo: 'kary:32'}, rank: 0});
	t.deepEqual([place.hosts, place.listenUri, place.parentUri], [['node'], null, null]);
});

test('the timers are those of the configuration', t => {
	const config = configOf('tbon.torpid=3s', 'tbon.lost-timeout=9s', 'tbon.reconnect-max=1s');
	const place = overlayOptionsOf({config, info: {...HOST, size: 2, topo: 'custom'}, rank: 1});
	t.deepEqual(
		[place.torpidMs, place.lostTimeoutMs, place.keepaliveMs, place.reconnectMsMax],
		[3000, 9000, 600, 1000],
	);
});

test('brokers of many hosts meet by TLS, where the configuration says', t => {
	const config = configOf(
		'bootstrap.hosts=n[0-3]',
		'bootstrap.key=/etc/coppice/key',
		'bootstrap.ports=[8050,8051,8052,8053]',
		'bootstrap.parents={n3="n2"}',
		'tbon.topo=custom',
	);
	const info = {...HOST, size: 4, topo: 'custom'};
	const place = overlayOptionsOf({config, info, rank: 3});
	t.is(place.parentUri, 'tls://n2:8052');
	t.is(place.listenUri, null);
	t.is(overlayOptionsOf({config, info, rank: 2}).listenUri, 'tls://*:8052');
	t.deepEqual(place.hosts, ['n0', 'n1', 'n2', 'n3']);
});

test('what does not go together is refused', t => {
	const info = {...HOST, size: 3, topo: 'kary:2'};
	t.throws(() => overlayOptionsOf({config: configOf(), info, rank: 3}), {code: 'EINVAL', message: /rank 3/});
	const config = configOf('bootstrap.hosts=n[0-3]', 'bootstrap.key=k', 'tbon.topo=custom');
	t.throws(() => overlayOptionsOf({config, info, rank: 0}), {code: 'EINVAL', message: /3 brokers.*names 4/});
	const wrong = {...info, topo: 'ring'};
	t.throws(() => overlayOptionsOf({config: configOf(), info: wrong, rank: 0}), {
		code: 'EINVAL',
		message: /ring/,
	});
});
