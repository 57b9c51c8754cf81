/** Makes the key of an instance (`coppice keygen`). Loaded for that command only: no broker needs an X.509 library. */
import {randomBytes, webcrypto} from 'node:crypto';
import {open, unlink, type FileHandle} from 'node:fs/promises';
import {asSystemError, SystemError} from '../../formats/errno.ts';

/**
 * Makes a key and writes it to a new file, mode 0600. `instance` is the UUID of the instance.
 * @throws {SystemError} EEXIST when there is such a file: it stays as it is. ENOENT, ENOSPC, …: there is no new file.
 */
export async function makeInstanceKey(path: string, instance: string): Promise<void> {
	const text = await generate(instance);
	let file: FileHandle;
	try {
		file = await open(path, 'wx', 0o600);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
			throw new SystemError('EEXIST', `${path} is there already; a key is never overwritten`);
		}
		throw asSystemError(error, 'EIO', `writing ${path}`);
	}
	try {
		await file.chmod(0o600); // Whatever the umask took away.
		await file.writeFile(text);
		await file.sync();
	} catch (error) {
		await unlink(path).catch(() => undefined);
		throw asSystemError(error, 'EIO', `writing ${path}`);
	} finally {
		await file.close();
	}
}

/** ECDSA on P-256: the quickest handshakes of all kinds of key, and also there where only FIPS 140 is allowed. */
const ALGORITHM = {name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256'};
/** RFC 5280 4.1.2.5: no well-defined expiration date. A clock that is wrong must not cut a cluster off. */
const NEVER = new Date('9999-12-31T23:59:59Z');
const ALWAYS = new Date(0);

async function generate(instance: string): Promise<string> {
	const {X509CertificateGenerator} = await import('@peculiar/x509');
	const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
	// RFC 5280 4.1.2.2: positive.
	const serialNumber = Buffer.concat([Buffer.of(1), randomBytes(15)]).toString('hex');
	const certificate = await X509CertificateGenerator.createSelfSigned(
		{
			serialNumber,
			name: [{CN: [instance]}],
			notBefore: ALWAYS,
			notAfter: NEVER,
			signingAlgorithm: ALGORITHM,
			keys,
		},
		webcrypto,
	);
	const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
	return `${pem('PRIVATE KEY', pkcs8)}${certificate.toString('pem')}\n`;
}

function pem(label: string, bytes: Buffer): string {
	const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
	return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
