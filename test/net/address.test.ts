/** Goal: an address says what it says, and everything else is refused before a socket is opened. */
import test from 'ava';
import {hostPortOf, isHost, networkOf, plainAddress, tlsUri} from '../../src/net/address.ts';

test('hosts are names, IPv4, and IPv6 in brackets; both ways', t => {
	for (const [host, port, uri] of [
		['n1', 8050, 'tls://n1:8050'],
		['n1.example.org', 1, 'tls://n1.example.org:1'],
		['127.0.0.1', 65_535, 'tls://127.0.0.1:65535'],
		['::1', 80, 'tls://[::1]:80'],
		['fe80::1%eth0', 80, 'tls://[fe80::1%eth0]:80'],
		['*', 80, 'tls://*:80'],
	] as const) {
		t.is(tlsUri(host, port), uri);
		t.deepEqual(hostPortOf(uri), {host, port});
	}
});

test('what is no address is refused', t => {
	for (const text of [
		'',
		'tls://',
		'tls://n1',
		'tls://n1:',
		'tls://n1:0',
		'tls://n1:65536',
		'tls://n1:80/',
		'tls://:80',
		'tls://[n1]:80',
		'tls://::1:80',
		'tls://[::1:80',
		'tls://a b:80',
		'tls://-a:80',
		'tls://a..b:80',
		'tls://**:80',
		'tcp://n1:80',
		'local:///x',
		`tls://${'x'.repeat(254)}:80`,
	]) {
		t.throws(() => hostPortOf(text), {code: 'EINVAL', message: /is not of the form tls:\/\/host:port/}, text);
	}
	t.false(isHost('*'));
});

test('the network of an address is what one host can have', t => {
	for (const [address, network] of [
		['10.0.0.1', '10.0.0.1'],
		['::ffff:10.0.0.1', '10.0.0.1'],
		['::1', '0:0:0:0'],
		['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
		['2001:db8::6', '2001:db8:0:0'],
		['2001:db8:1:2::', '2001:db8:1:2'],
		['fe80::1:2%eth0', 'fe80:0:0:0'],
		['', ''],
	]) {
		t.is(networkOf(address!), network!, address);
	}
	t.is(plainAddress('::ffff:10.0.0.1'), '10.0.0.1');
	t.is(plainAddress('::ffff:a:b'), '::ffff:a:b');
});
