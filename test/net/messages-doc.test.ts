/** Goal: docs/messages.md says what the code does: its example byte for byte, its limits number for number. */
import {readFileSync} from 'node:fs';
import test from 'ava';
import * as frame from '../../src/net/frame.ts';
import * as message from '../../src/net/message.ts';
import * as payload from '../../src/net/payload.ts';
import * as server from '../../src/net/rpc-server.ts';
import * as stream from '../../src/net/rpc-stream.ts';
import * as transport from '../../src/ports/transport.ts';

const text = readFileSync('docs/messages.md', 'utf8');

function hexOf(name: string): string {
	const block = new RegExp(`\`\`\`hex ${name}\n(.*?)\`\`\``, 's').exec(text)![1]!;
	return block
		.split('\n')
		.map(line => line.split('   ')[0]!)
		.join('')
		.replaceAll(' ', '');
}

test('the worked example is what the code writes and reads', t => {
	const request: message.Message = {
		type: 'request',
		topic: 'job-manager.kill',
		matchtag: 7,
		nodeid: message.NODEID_ANY,
		upstream: false,
		streaming: false,
		noresponse: false,
		userid: 1000,
		rolemask: 0,
		route: [],
		deadlineMs: 30_000,
		payload: Buffer.from(payload.encodePayload({id: 1_653_142_978_560n, signum: 15})),
	};
	const response: message.Message = {
		type: 'response',
		topic: 'job-manager.kill',
		matchtag: 7,
		errnum: 22,
		streaming: false,
		userid: 1000,
		rolemask: 0,
		route: [],
		payload: Buffer.from('job is inactive'),
	};
	t.is(message.encodeMessage(request).toString('hex'), hexOf('request'));
	t.is(message.encodeMessage(response).toString('hex'), hexOf('response'));
	t.deepEqual(message.decodeMessage(Buffer.from(hexOf('request'), 'hex')), request);
	t.deepEqual(message.decodeMessage(Buffer.from(hexOf('response'), 'hex')), response);
});

test('the limits in the table are those of the code', t => {
	const constants: Record<string, unknown> = {
		...frame,
		...message,
		...payload,
		...server,
		...stream,
		...transport,
	};
	const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (\d+) \|/gm)];
	t.true(rows.length >= 13);
	for (const [, name, value] of rows) t.is(constants[name!], Number(value), name);
});
