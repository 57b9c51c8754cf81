/** Goal: a key file is used only when nobody else can have read or replaced it, and each refusal names file and reason. */
import {execFileSync} from 'node:child_process';
import {X509Certificate} from 'node:crypto';
import {chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {readInstanceKey} from '../../../src/net/real/instance-key.ts';
import {makeInstanceKey} from '../../../src/net/real/make-instance-key.ts';
import {INSTANCE} from './instance-key-fixture.ts';

async function keyFile(t: ExecutionContext): Promise<string> {
	const directory = mkdtempSync(join(tmpdir(), 'coppice-key-'));
	t.teardown(() => rmSync(directory, {recursive: true}));
	const path = join(directory, 'key');
	await makeInstanceKey(path, INSTANCE);
	return path;
}

test('a key is made with mode 0600, is valid for ever, and reads back', async t => {
	const path = await keyFile(t);
	t.is(statSync(path).mode & 0o777, 0o600);
	const key = await readInstanceKey(path);
	t.is(key.instance, INSTANCE);
	const certificate = new X509Certificate(key.certificatePem);
	t.true(certificate.verify(key.publicKey));
	t.is(certificate.validTo, 'Dec 31 23:59:59 9999 GMT');
	t.is(certificate.validFrom, 'Jan  1 00:00:00 1970 GMT');
	t.is(key.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
});

test('each key is another one', async t => {
	const [one, two] = [await readInstanceKey(await keyFile(t)), await readInstanceKey(await keyFile(t))];
	t.false(one.publicKey.equals(two.publicKey));
});

test('a file that is there is never overwritten', async t => {
	const path = await keyFile(t);
	const before = readFileSync(path, 'utf8');
	await t.throwsAsync(makeInstanceKey(path, INSTANCE), {
		code: 'EEXIST',
		message: `${path} is there already; a key is never overwritten`,
	});
	t.is(readFileSync(path, 'utf8'), before);
	await t.throwsAsync(makeInstanceKey(`${path}/x`, INSTANCE), {code: 'ENOTDIR'});
});

for (const mode of [0o640, 0o604, 0o660, 0o610, 0o644, 0o777]) {
	test(`a key with mode 0${mode.toString(8)} is refused`, async t => {
		const path = await keyFile(t);
		chmodSync(path, mode);
		await t.throwsAsync(readInstanceKey(path), {
			code: 'EPERM',
			message: `key ${path}: readable by group or others (mode 0${mode.toString(8)}); it must have mode 0600`,
		});
	});
}

test('a key that only its owner can read is accepted', async t => {
	const path = await keyFile(t);
	chmodSync(path, 0o400);
	t.is((await readInstanceKey(path)).instance, INSTANCE);
});

(process.getuid?.() === 0 ? test : test.skip)('a key of another user is refused', async t => {
	const path = await keyFile(t);
	chownSync(path, 65_534, 65_534);
	await t.throwsAsync(readInstanceKey(path), {
		code: 'EPERM',
		message: `key ${path}: it belongs to another user (uid 65534, not 0)`,
	});
});

test('what is no file, or is not there, is refused', async t => {
	const path = await keyFile(t);
	await t.throwsAsync(readInstanceKey(`${path}2`), {code: 'ENOENT', message: new RegExp(`key ${path}2: `)});
	await t.throwsAsync(readInstanceKey(join(path, '..')), {code: 'EBADMSG', message: /it is not a file/});
	execFileSync('mkfifo', ['-m', '600', `${path}.fifo`]);
	await t.throwsAsync(readInstanceKey(`${path}.fifo`), {code: 'EBADMSG', message: /it is not a file/});
});

test('garbage is refused, naming what is wrong with it', async t => {
	const path = await keyFile(t);
	const sound = readFileSync(path, 'utf8');
	const other = readFileSync(await keyFile(t), 'utf8');
	const split = sound.indexOf('-----BEGIN CERTIFICATE');
	const otherSplit = other.indexOf('-----BEGIN CERTIFICATE');
	const faults: readonly (readonly [text: string, message: RegExp])[] = [
		['', /it holds no private key in PEM/],
		['\0\x01garbage', /it holds no private key in PEM/],
		[sound.slice(split), /it holds no private key in PEM/],
		[sound.slice(0, split), /it holds no certificate in PEM/],
		[sound.slice(0, -60), /it holds no certificate in PEM/],
		[sound.replace(/(CERTIFICATE-----\n)..../, '$1AAAA'), /it is damaged \(/],
		[sound.replace(/(PRIVATE KEY-----\n)..../, '$1AAAA'), /it is damaged \(/],
		[sound.slice(0, split) + other.slice(otherSplit), /its certificate is that of another key/],
		['x'.repeat(100_000), /100000 bytes are too many/],
	];
	for (const [text, message] of faults) {
		writeFileSync(path, text);
		const error = await t.throwsAsync(readInstanceKey(path), {code: 'EBADMSG', message});
		t.true(error?.message.startsWith(`key ${path}: `));
	}
});

test('a key pair of another origin names no instance, and is refused', async t => {
	const path = await keyFile(t);
	await makeInstanceKey(`${path}.strange`, 'somebody');
	await t.throwsAsync(readInstanceKey(`${path}.strange`), {
		code: 'EBADMSG',
		message: /its certificate names no instance/,
	});
});
