/** Goal: what docs/starting.md shows works, and what it says of limits and defaults is so. Method: the page is read. */
import {readFileSync} from 'node:fs';
import test from 'ava';
import {bootstrapOf} from '../../src/broker/bootstrap.ts';
import {parseConfig} from '../../src/broker/config.ts';
import {ACCEPT_LIMITS, HANDSHAKES_MAX} from '../../src/net/real/tls-transport.ts';
import {REFUSAL_LINES_MAX, REFUSAL_SPAN_MS} from '../../src/net/refusal-log.ts';

const page = readFileSync('docs/starting.md', 'utf8');

/** The blocks of one language, without their indentation. */
function blocks(language: string): string[] {
	const pattern = new RegExp(`^( *)\`\`\`${language}\\n([^]*?)^ *\`\`\`$`, 'gm');
	return [...page.matchAll(pattern)].map(([, indent = '', text = '']) =>
		text.replace(new RegExp(`^${indent}`, 'gm'), ''),
	);
}

test('the documented configuration of a cluster is accepted, and gives the tree that it says', t => {
	const texts = blocks('toml');
	t.is(texts.length, 1);
	const config = parseConfig([{kind: 'file', path: '/etc/coppice/coppice.toml', text: texts[0]!}]);
	t.is(config.bootstrap.hosts.length, 128);
	t.is(config.bootstrap.key, '/etc/coppice/key');
	t.is(config.resource.exclude, '0');
	const of = (hostname: string) => bootstrapOf(config, {hostname});
	t.is(of('head').rank, 0);
	t.is(of('n126.cluster.example').rank, 127);
	t.is(of('n40').parentUri, 'tls://n0:8050');
	t.is(of('n31').parentUri, 'tls://head:8050');
	t.is(of('n100').parentUri, 'tls://n1:8050');
	t.is(of('n1').listenUri, 'tls://*:8050');
	t.is(of('n50').listenUri, null);
});

test('the documented unit starts the documented command', t => {
	const [unit = ''] = blocks('ini');
	const command = blocks('sh')
		.find(text => text.startsWith('coppice broker'))!
		.trim();
	t.true(unit.includes(`\nExecStart=/usr/bin/${command}\n`));
	t.true(readFileSync('packaging/coppice.service', 'utf8').includes('ExecStart=/usr/bin/coppice broker\n'));
});

test('the documented limits of a listener are those of the code', t => {
	const {handshakeMs, handshakesMax, rate, ratePerAddress} = ACCEPT_LIMITS;
	t.true(page.includes(`proof of the key | ${handshakeMs / 1000} s |`));
	t.is(handshakesMax, HANDSHAKES_MAX);
	t.true(page.includes(`| handshakes at a time | ${HANDSHAKES_MAX};`));
	t.true(
		page.includes(
			`${rate.perS} a second, ${ratePerAddress.perS} of them from one address (IPv6: from one /64); ` +
				`at once ${rate.burst}, and ${ratePerAddress.burst} |`,
		),
	);
	t.true(page.includes(`more than ${REFUSAL_LINES_MAX} in ten seconds`));
	t.is(REFUSAL_SPAN_MS, 10_000);
});
