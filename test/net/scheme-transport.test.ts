/** Goal: the scheme of an address decides who carries a link, and an instance without a key has none to other hosts. */
import test from 'ava';
import {SchemeTransport} from '../../src/net/scheme-transport.ts';
import {SystemError} from '../../src/formats/errno.ts';
import type {Transport} from '../../src/ports/transport.ts';

function named(name: string): Transport {
	const say = async (address: string) => Promise.reject(new SystemError('ENOSYS', `${name} ${address}`));
	return {listen: say, connect: say};
}

test('each scheme has its transport', async t => {
	const transport = new SchemeTransport({local: named('unix'), tls: named('tls')});
	for (const [address, name] of [
		['local:///x', 'unix'],
		['tls://n1:80', 'tls'],
	]) {
		await t.throwsAsync(transport.connect(address!, {timeoutMs: 1}), {message: `${name} ${address}`});
		await t.throwsAsync(
			transport.listen(address!, () => {}),
			{message: `${name} ${address}`},
		);
	}
});

test('plain TCP and everything else is refused, and so is TLS without a key', async t => {
	const transport = new SchemeTransport({local: named('unix'), tls: null});
	for (const address of ['tcp://n1:80', '', 'n1:80', 'LOCAL:///x', 'tls:n1:80']) {
		await t.throwsAsync(transport.connect(address, {timeoutMs: 1}), {code: 'EINVAL', message: /is neither/});
		await t.throwsAsync(
			transport.listen(address, () => {}),
			{code: 'EINVAL', message: /is neither/},
		);
	}
	await t.throwsAsync(transport.connect('tls://n1:80', {timeoutMs: 1}), {
		code: 'EINVAL',
		message: /no bootstrap\.key/,
	});
});
