/** Goal: whatever became of a part's files, its job gets its end; and no more than a row of output is held at a time. */
import test from 'ava';
import {SystemError, type ErrnoName} from '../../src/formats/errno.ts';
import type {ProcessHost} from '../../src/ports/process-host.ts';
import {
	keepOutput,
	OUTPUT_CHUNK_BYTES,
	type OutputKeeping,
} from '../../src/services/job-exec/output-keeper.ts';

const key = {id: 1n, attempt: 1};

/** A host on which task 0 wrote `bytes` bytes to stdout, of which those from `brokenAt` on can't be read. */
function keeping(bytes: number, brokenAt: number, code: ErrnoName = 'EIO') {
	const rows: number[] = [];
	const errors: string[] = [];
	const host = {
		readOutput: async (_: unknown, __: number, stream: string, offset: number, bytesMax: number) => {
			const size = stream === 'stdout' ? bytes : 0;
			if (stream === 'stdout' && offset >= brokenAt) throw new SystemError(code, 'read of stdout.0');
			const data = new Uint8Array(Math.min(bytesMax, size - offset, brokenAt - offset)).fill(0x61);
			return {data, eof: offset + data.length >= size};
		},
		readEventlog: async () => '{}\n',
	} as unknown as ProcessHost;
	const pauses: number[] = [];
	const setTimer = (delayMs: number, onFire: () => void) => {
		pauses.push(delayMs);
		queueMicrotask(onFire);
		return {cancel: () => undefined};
	};
	const options: OutputKeeping = {
		clock: {setTimer},
		host,
		key,
		tasks: [0],
		send: async ({value}) => void rows.push(value.length),
		onUnreadable: error => errors.push(error.code),
	};
	return {options, rows, errors, pauses};
}

test('small output rides with the report, large output is sent ahead row by row', async t => {
	const small = keeping(1000, Infinity);
	const kept = await keepOutput(small.options);
	t.deepEqual([small.rows.length, kept.chunks.length, kept.outputs[0]?.bytes], [0, 1, 1000]);
	const large = keeping(10 * OUTPUT_CHUNK_BYTES + 1, Infinity);
	const rest = await keepOutput(large.options);
	const held = rest.chunks.reduce((sum, {value}) => sum + value.length, 0);
	t.true(held <= OUTPUT_CHUNK_BYTES);
	t.is(large.rows.reduce((sum, length) => sum + length, 0) + held, 10 * OUTPUT_CHUNK_BYTES + 1);
	t.deepEqual([rest.outputs[0]?.chunks, large.errors], [11, []]);
});

test('output that cannot be read is cut there, and says why', async t => {
	const {options, errors} = keeping(5000, 2000);
	const {outputs, chunks, eventlog} = await keepOutput(options);
	const text = Buffer.concat(chunks.map(({value}) => value)).toString();
	t.regex(text, /^a{2000}\ncoppice: output after 2000 bytes is lost: EIO: read of stdout\.0\n$/);
	t.deepEqual([outputs[0]?.bytes, eventlog, errors], [text.length, '{}\n', ['EIO']]);
});

test('what another attempt may cure is an error', async t => {
	const {options} = keeping(5000, 2000, 'EMFILE');
	await t.throwsAsync(keepOutput(options), {message: /read of stdout/});
});

test('a row that finds the disk of the root behind goes again, and none before it does', async t => {
	const {options, rows, pauses} = keeping(4 * OUTPUT_CHUNK_BYTES, Infinity);
	let refused = 0;
	const {send} = options;
	const kept = await keepOutput({
		...options,
		send: async row => {
			if (rows.length === 2 && (refused += 1) <= 3) throw new SystemError('EAGAIN', 'behind');
			await send(row);
		},
	});
	t.deepEqual([kept.outputs[0]?.chunks, rows.length + kept.chunks.length, pauses.length], [4, 4, 3]);
	const isGone = keeping(4 * OUTPUT_CHUNK_BYTES, Infinity).options;
	const send2 = async () => {
		throw new SystemError('EHOSTUNREACH', 'gone');
	};
	await t.throwsAsync(keepOutput({...isGone, send: send2}), {message: /gone/});
});

test('a gigabyte is kept whole, in rows', async t => {
	const gigabyte = 1024 ** 3;
	const {options, rows} = keeping(gigabyte + 57, Infinity);
	const {outputs} = await keepOutput(options);
	t.is(outputs[0]?.bytes, gigabyte + 57);
	t.true(rows.length >= gigabyte / OUTPUT_CHUNK_BYTES - 1);
});
