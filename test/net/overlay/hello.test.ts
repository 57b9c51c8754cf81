/**
 * Goal: a hello is accepted from a child of ours and from nobody else, and who is refused can read why, on both sides.
 * Method: one good hello, changed in one place at a time.
 */
import test from 'ava';
import fc from 'fast-check';
import {SystemError, type ErrnoName} from '../../../src/formats/errno.ts';
import {
	HELLO_TEXT_MAX,
	judgeHello,
	judgeLog,
	judgeWelcome,
	OVERLAY_PROTOCOL,
	parseHello,
	parseWelcome,
	type Hello,
} from '../../../src/net/overlay/hello.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {decodePayload, encodePayload} from '../../../src/net/payload.ts';

const HOSTS = Array.from({length: 7}, (_, rank) => `node${rank}`);
const rules = (rank: number) => ({instance: 'i-1', rank, topology: Topology.kary(7, 2), hosts: HOSTS});

const hello = (rank: number): Hello => ({
	protocol: OVERLAY_PROTOCOL,
	instance: 'i-1',
	rank,
	size: 7,
	hostname: HOSTS[rank] ?? 'nowhere',
	version: '1.2.3',
	uuid: '01234567-89ab-cdef-0123-456789abcdef',
	pid: 77,
	bootCount: 3,
	bootId: 'boot-9',
	logId: 'log-5',
	headSeq: 12_345_678_901,
});

test('the hello of a child passes, and so does the answer of its parent, over the wire', t => {
	const wire = (value: object) => decodePayload(encodePayload(value));
	t.deepEqual(parseHello(wire(hello(4))), hello(4));
	t.is(judgeHello(parseHello(wire(hello(4))), rules(1)), null);
	const welcome = {...hello(1), eventSequence: 9};
	t.deepEqual(parseWelcome(wire(welcome)), welcome);
	t.is(judgeWelcome(parseWelcome(wire(welcome)), rules(4)), null);
});

const refusals: readonly {title: string; change: Partial<Hello>; code: ErrnoName; text: RegExp}[] = [
	{
		title: 'another protocol',
		change: {protocol: 2},
		code: 'EPROTONOSUPPORT',
		text: /^node4 \(rank 4\) runs coppice 1\.2\.3 and speaks overlay protocol 2, rank 1 speaks 1$/,
	},
	{
		title: 'another instance',
		change: {instance: 'i-2'},
		code: 'EPERM',
		text: /^node4 \(rank 4\) is of instance i-2, rank 1 of i-1$/,
	},
	{
		title: 'a rank that is no child',
		change: {rank: 5},
		code: 'EINVAL',
		text: /^rank 5 is not a child of rank 1/,
	},
	{title: 'the own rank', change: {rank: 1}, code: 'EINVAL', text: /^rank 1 is not a child of rank 1/},
	{title: 'the root', change: {rank: 0}, code: 'EINVAL', text: /^rank 0 is not a child of rank 1/},
	{
		title: 'a rank out of the instance',
		change: {rank: 700},
		code: 'EINVAL',
		text: /^rank 700 is not a child/,
	},
	{
		title: 'another size',
		change: {size: 8},
		code: 'EINVAL',
		text: /^node4 \(rank 4\) is of 8 brokers, rank 1 of 7: mismatched config\?$/,
	},
	{
		title: 'another host',
		change: {hostname: 'elsewhere'},
		code: 'EINVAL',
		text: /^elsewhere \(rank 4\) is configured as host node4 at rank 1: mismatched config\?$/,
	},
];

for (const {title, change, code, text} of refusals) {
	test(`a hello of ${title} is refused: ${code}, and both sides are named`, t => {
		const fault = judgeHello({...hello(4), ...change}, rules(1));
		t.is(fault?.code, code);
		t.regex(fault?.message ?? '', text);
	});
}

test('a child refuses an answer of who is not its parent', t => {
	const welcome = {...hello(1), eventSequence: 0};
	const judge = (change: object) => judgeWelcome({...welcome, ...change}, rules(4));
	t.is(judge({protocol: 3})?.code, 'EPROTONOSUPPORT');
	t.is(judge({instance: 'i-2'})?.code, 'EPERM');
	for (const change of [{rank: 2, hostname: 'node2'}, {rank: 4}, {size: 9}, {hostname: 'elsewhere'}]) {
		t.is(judge(change)?.code, 'EINVAL');
		t.regex(judge(change)?.message ?? '', /answers where node1 \(rank 1\) of 7 should: mismatched config\?$/);
	}
});

test('a field that is missing, of another type or out of bounds is named', t => {
	const bad: Readonly<Record<string, readonly unknown[]>> = {
		string: [undefined, null, 7, {}, 'x'.repeat(HELLO_TEXT_MAX + 1), 'a\u0007b', 'two\nlines'],
		number: [undefined, null, '7', -1, 1.5, NaN, Infinity, 2n],
	};
	for (const [field, value] of Object.entries(hello(4))) {
		for (const other of bad[typeof value] ?? []) {
			const error = t.throws(() => parseHello({...hello(4), [field]: other}), {instanceOf: SystemError});
			t.is(error?.code, 'EPROTO');
			t.true(error?.message.includes(`'${field}'`), `${field}: ${error?.message}`);
		}
	}
	for (const uuid of ['', 'short', 'with space in it', 'a'.repeat(65), 'ümläut-ümläut']) {
		t.throws(() => parseHello({...hello(4), uuid}), {message: /'uuid'/});
	}
	t.throws(() => parseWelcome({...hello(4), eventSequence: -1}), {message: /'eventSequence'/});
});

test('whatever comes instead of a hello is EPROTO, or is judged', t => {
	fc.assert(
		fc.property(fc.anything(), value => {
			try {
				judgeHello(parseHello(value), rules(1));
			} catch (error) {
				if (!(error instanceof SystemError) || error.code !== 'EPROTO') throw error;
			}
		}),
	);
	t.pass();
});

test('a log that is another one, or shorter than it was, is noticed; one that goes on is not', t => {
	const before = {logId: 'a', headSeq: 10};
	t.is(judgeLog('rank 4', before, {logId: 'a', headSeq: 10}), null);
	t.is(judgeLog('rank 4', before, {logId: 'a', headSeq: 11}), null);
	t.is(judgeLog('rank 4', {logId: '', headSeq: 0}, before), null);
	t.is(
		judgeLog('rank 4', before, {logId: 'b', headSeq: 99}),
		'rank 4 has another event log than before (b, was a)',
	);
	t.is(
		judgeLog('rank 4', before, {logId: 'a', headSeq: 9}),
		'rank 4 has lost the end of its event log: it stands at 9, and was at 10',
	);
});
