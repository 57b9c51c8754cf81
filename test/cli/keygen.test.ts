/** Goal: `coppice keygen` leaves a key that brokers accept, or nothing. Method: the command itself. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {readInstanceKey} from '../../src/net/real/instance-key.ts';

const COPPICE = fileURLToPath(new URL('../../../bin/coppice', import.meta.url));

function directoryOf(t: ExecutionContext): string {
	const directory = mkdtempSync(join(tmpdir(), 'coppice-keygen-'));
	t.teardown(() => rmSync(directory, {recursive: true}));
	return directory;
}

function keygen(cwd: string, ...args: string[]) {
	// With a umask that would leave the file open to all, or without any right at all.
	const script = `umask ${args.includes('strict') ? '0777' : '0'}; exec "$0" keygen "$@"`;
	const argv = args.filter(arg => arg !== 'strict');
	const {status, stdout, stderr} = spawnSync('sh', ['-c', script, COPPICE, ...argv], {cwd, encoding: 'utf8'});
	return {status, stdout, stderr};
}

test('keygen writes a key with mode 0600, whatever the umask, and says nothing', async t => {
	const directory = directoryOf(t);
	for (const [name, umask] of [
		['open', ''],
		['closed', 'strict'],
	] as const) {
		t.deepEqual(keygen(directory, ...(umask === '' ? [] : [umask]), name), {
			status: 0,
			stdout: '',
			stderr: '',
		});
		t.is(statSync(join(directory, name)).mode & 0o777, 0o600);
		t.regex((await readInstanceKey(join(directory, name))).instance, /^[0-9a-f-]{36}$/);
	}
});

test('keygen refuses to overwrite a key', t => {
	const directory = directoryOf(t);
	t.is(keygen(directory, 'key').status, 0);
	const before = readFileSync(join(directory, 'key'), 'utf8');
	const again = keygen(directory, 'key');
	t.is(again.status, 1);
	t.is(again.stdout, '');
	t.is(
		again.stderr,
		`coppice keygen: EEXIST: ${directory}/key is there already; a key is never overwritten\n`,
	);
	t.is(readFileSync(join(directory, 'key'), 'utf8'), before);
});

test('keygen makes another key for an instance that is there', async t => {
	const directory = directoryOf(t);
	const instance = '01234567-89ab-cdef-0123-456789abcdef';
	t.is(keygen(directory, '--instance', instance, 'key').status, 0);
	t.is((await readInstanceKey(join(directory, 'key'))).instance, instance);
});

test('a wrong call makes nothing', t => {
	const directory = directoryOf(t);
	t.is(keygen(directory).status, 2);
	t.is(keygen(directory, 'a', 'b').status, 2);
	t.is(keygen(directory, '--instance', 'x', 'a').status, 2);
	t.is(keygen(directory, 'none/a').status, 1);
	t.deepEqual(readdirSync(directory), []);
});
