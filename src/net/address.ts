/** Addresses of links. Today: `local:///path`, a unix socket. */
import {SystemError} from '../formats/errno.ts';

/** sun_path of unix(7) without its terminating zero byte. */
export const SOCKET_PATH_BYTES_MAX = 107;

const LOCAL = 'local://';

/**
 * The socket path of a `local:///path` address.
 * @throws {SystemError} EINVAL for anything else, and for a path longer than a unix socket's can be.
 */
export function socketPathOf(address: string): string {
	const path = address.slice(LOCAL.length);
	if (!address.startsWith(LOCAL) || !path.startsWith('/')) {
		throw new SystemError('EINVAL', `address ${JSON.stringify(address)} is not of the form local:///path`);
	}
	const sizeBytes = Buffer.byteLength(path);
	if (path.includes('\0') || sizeBytes > SOCKET_PATH_BYTES_MAX) {
		throw new SystemError(
			'EINVAL',
			`socket path ${path} has ${sizeBytes} bytes; unix sockets take at most ${SOCKET_PATH_BYTES_MAX} (unix(7))`,
		);
	}
	return path;
}
