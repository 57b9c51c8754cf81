/**
 * The instance's key: one key for all its brokers, with which each link between hosts is authenticated on both sides. A file
 * in PEM holds the private key and a certificate that carries the public key and the instance's id. Invariant: a key that
 * others could have read or replaced is never used.
 */
import {createPrivateKey, X509Certificate, type KeyObject} from 'node:crypto';
import {constants} from 'node:fs';
import {open, type FileHandle} from 'node:fs/promises';
import {asSystemError, SystemError} from '../../formats/errno.ts';

export interface InstanceKey {
	/** The UUID of the instance whose key it is. */
	readonly instance: string;
	readonly privateKeyPem: string;
	readonly certificatePem: string;
	readonly publicKey: KeyObject;
}

/**
 * Reads a key that `coppice keygen` made.
 *
 * @throws {SystemError} EPERM: it is readable by group or others, or belongs to another user; EBADMSG: it is no such key;
 * ENOENT, EACCES, EISDIR, … Each names the file.
 */
export async function readInstanceKey(path: string): Promise<InstanceKey> {
	const text = await readPrivately(path);
	const bad = (reason: string, cause?: unknown) =>
		new SystemError('EBADMSG', `key ${path}: ${reason}; make one with 'coppice keygen FILE'`, {cause});
	const privateKeyPem = /-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----/.exec(text)?.[0];
	if (privateKeyPem === undefined) throw bad('it holds no private key in PEM');
	const certificatePem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(text)?.[0];
	if (certificatePem === undefined) throw bad('it holds no certificate in PEM');
	let certificate: X509Certificate;
	let publicKey: KeyObject;
	let belongsTogether: boolean;
	try {
		certificate = new X509Certificate(certificatePem);
		publicKey = certificate.publicKey;
		belongsTogether = certificate.checkPrivateKey(createPrivateKey(privateKeyPem));
	} catch (error) {
		throw bad(`it is damaged (${error instanceof Error ? error.message : String(error)})`, error);
	}
	if (!belongsTogether) throw bad('its certificate is that of another key');
	const instance = COMMON_NAME.exec(certificate.subject)?.[1];
	if (instance === undefined) throw bad('its certificate names no instance');
	return {instance, privateKeyPem, certificatePem, publicKey};
}

const COMMON_NAME = /^CN=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/m;
/** A longer file is no key. */
const KEY_BYTES_MAX = 64 * 1024;

/** The text of a file that only this user can read, judged and read through one descriptor. */
async function readPrivately(path: string): Promise<string> {
	let file: FileHandle | null = null;
	try {
		// Without waiting: what is found might be a fifo.
		file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
		const {mode, uid, size, isFile} = await statOf(file);
		if (!isFile) throw new SystemError('EBADMSG', `key ${path}: it is not a file`);
		const own = process.getuid!();
		if (uid !== own) {
			throw new SystemError('EPERM', `key ${path}: it belongs to another user (uid ${uid}, not ${own})`);
		}
		if ((mode & 0o077) !== 0) {
			const is = `mode 0${(mode & 0o777).toString(8)}`;
			throw new SystemError(
				'EPERM',
				`key ${path}: readable by group or others (${is}); it must have mode 0600`,
			);
		}
		if (size > KEY_BYTES_MAX) throw new SystemError('EBADMSG', `key ${path}: ${size} bytes are too many`);
		return await file.readFile('utf8');
	} catch (error) {
		if (error instanceof SystemError) throw error;
		throw asSystemError(error, 'EIO', `key ${path}`);
	} finally {
		await file?.close();
	}
}

async function statOf(file: FileHandle) {
	const found = await file.stat();
	return {mode: found.mode, uid: found.uid, size: found.size, isFile: found.isFile()};
}
