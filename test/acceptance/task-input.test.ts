/**
 * Goal: what a client has for the stdin of a job's tasks reaches each of them whole, once and in order, and so does its end,
 * whatever is killed meanwhile; a task that does not read holds up its own client and nobody else.
 * Method: 20 MiB of noise through a pipe, with SIGKILLs at fractions of it; the tasks tell the digest.
 */
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Writable} from 'node:stream';
import test from 'ava';
import {startedInstance, type Instance, type Role} from '../chaos/instance.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

const MIB = 1024 * 1024;
const PIECE_BYTES = 64 * 1024;
const DIGEST = 'sha256sum; cat | wc -c';

/** Writes `data` no faster than it is read, and calls `at` on the way. */
async function feed(
	stdin: Writable,
	data: Buffer,
	at: (offset: number) => Promise<void> = async () => undefined,
): Promise<void> {
	for (let offset = 0; offset < data.length; offset += PIECE_BYTES) {
		if (!stdin.write(data.subarray(offset, offset + PIECE_BYTES))) await once(stdin, 'drain');
		await at(offset);
	}
	stdin.end();
}

function digestOf(data: Buffer): string {
	return createHash('sha256').update(data).digest('hex');
}

async function kill(instance: Instance, roles: readonly Role[]): Promise<void> {
	await instance.kill(roles.map(role => instance.find(role)).filter(name => name !== null));
}

test.serial(
	'20 MiB arrive whole at two tasks, and their end, while broker, shell and launcher are killed in turn and together',
	async t => {
		const instance = await startedInstance(t);
		const data = randomBytes(20 * MIB);
		const run = instance.spawn(['run', '-n2', '-l', 'sh', '-c', `${DIGEST}; exit 3`], {
			stdin: 'pipe',
			timeoutMs: 200_000,
		});
		const kills: [offset: number, roles: readonly Role[]][] = [
			[2 * MIB, ['broker']],
			[4 * MIB, ['shell']],
			[6 * MIB, ['launcher']],
			[8 * MIB, ['broker', 'shell']],
			[10 * MIB, ['broker']],
			[14 * MIB, ['broker', 'shell', 'launcher', 'daemon']],
			[18 * MIB, ['broker', 'launcher']],
		];
		await feed(run.child.stdin!, data, async offset => {
			if (kills.length === 0 || offset < kills[0]![0]) return;
			const [, roles] = kills.shift()!;
			await kill(instance, roles);
			if (roles.includes('daemon')) await instance.start();
		});
		t.is(kills.length, 0);
		const {status, stdout, stderr} = await run.finished;
		const expected = [0, 1].flatMap(task => [`${task}: ${digestOf(data)}  -`, `${task}: 0`]);
		t.deepEqual(stdout.trimEnd().split('\n').sort(), expected.sort());
		t.like({status, stderr}, {status: 3, stderr: ''});
		await proveLog(t, instance);
	},
);

test.serial('a client that is killed leaves no end behind; another one goes on, and ends it', async t => {
	const instance = await startedInstance(t);
	const id = await instance.ok('submit', '--input=all', 'cat');
	const first = instance.spawn(['job', 'attach', id], {stdin: 'pipe'});
	first.child.stdin!.write('one\n');
	await until('the first line came back', () => first.stdout === 'one\n');
	first.child.kill('SIGKILL');
	await first.finished;
	t.is((await instance.job(id)).state, 'RUN');
	const second = instance.spawn(['job', 'attach', id], {stdin: 'pipe'});
	second.child.stdin!.end('two\n');
	t.like(await second.finished, {status: 0, stdout: 'one\ntwo\n', stderr: ''});
});

test.serial('a task that does not read holds up its client, at a bounded cost, and nobody else', async t => {
	const instance = await startedInstance(t);
	const run = instance.spawn(['run', 'sh', '-c', 'echo ready; sha256sum'], {stdin: 'pipe'});
	const gate = instance.newGate();
	const slow = instance.spawn(['run', 'sh', '-c', 'echo ready; read x < "$0"; sha256sum', gate.path], {
		stdin: 'pipe',
		timeoutMs: 120_000,
	});
	await until('both run', () => run.stdout.includes('ready') && slow.stdout.includes('ready'));
	const data = randomBytes(8 * MIB);
	let fed = 0;
	const feeding = feed(slow.child.stdin!, data, async offset => void (fed = offset));
	await until('it is full', () => fed > MIB);
	await feed(run.child.stdin!, data);
	t.true((await run.finished).stdout.includes(digestOf(data)), 'the other one was fed meanwhile');
	t.true(fed < 4 * MIB, `${fed} bytes of 8 MiB were taken from the client`);
	await gate.open();
	await feeding;
	t.like(await slow.finished, {status: 0, stdout: `ready\n${digestOf(data)}  -\n`});
});

test.serial(
	'a file is read by each task, and one that is not there fails the job with the reason',
	async t => {
		const instance = await startedInstance(t);
		const path = join(instance.root, 'in.1');
		writeFileSync(path, 'from a file\n');
		const input = join(instance.root, 'in.{{taskid}}');
		const {status, stdout, stderr} = await instance.run(['run', '-n2', '-l', `--input=${input}`, 'cat']);
		t.is(status, 126);
		t.is(stdout, '1: from a file\n');
		t.regex(stderr, /task 0.*in\.0: No such file or directory/);
		t.like(await instance.run(['run', 'cat']), {status: 0, stdout: ''}, '/dev/null');
	},
);

test.serial('input goes to the tasks that were chosen', async t => {
	const instance = await startedInstance(t);
	const run = instance.spawn(['run', '-n3', '-l', '--input=0,2', 'cat'], {stdin: 'pipe'});
	run.child.stdin!.end('x\n');
	const {status, stdout} = await run.finished;
	t.deepEqual([status, stdout.split('\n').sort()], [0, ['', '0: x', '2: x']]);
	const id = await instance.ok('submit', '-n2', '--input=all', 'cat');
	const one = instance.spawn(['job', 'attach', '-i', '1', id], {stdin: 'pipe'});
	one.child.stdin!.end('for 1\n');
	await until('task 1 has it', () => one.stdout === 'for 1\n');
	const rest = instance.spawn(['job', 'attach', '-l', id], {stdin: 'pipe'});
	rest.child.stdin!.end('for 0\n');
	t.deepEqual((await rest.finished).stdout.split('\n').sort(), ['', '0: for 0', '1: for 1']);
	t.is((await one.finished).status, 0);
});
