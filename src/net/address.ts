/** Addresses of links: `local:///path`, a unix socket, and `tls://host:port`, TCP with TLS. */
import {SystemError} from '../formats/errno.ts';

/** sun_path of unix(7) without its terminating zero byte. */
export const SOCKET_PATH_BYTES_MAX = 107;

export const LOCAL = 'local://';
export const TLS = 'tls://';

/** As the host of an address to listen at: all interfaces. */
export const ANY_HOST = '*';

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

export interface HostPort {
	/** A name, an IPv4 or an IPv6 address, the latter without brackets; or `ANY_HOST`. */
	readonly host: string;
	/** 1 to 65535. */
	readonly port: number;
}

/** Host and port of a `tls://host:port` address. @throws {SystemError} EINVAL for anything else. */
export function hostPortOf(address: string): HostPort {
	const match = /^tls:\/\/(?:\[([^\]]*:[^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(address);
	const host = match?.[1] ?? match?.[2] ?? '';
	const port = Number(match?.[3]);
	if (match === null || !(isHost(host) || host === ANY_HOST) || port < 1 || port > 65_535) {
		throw new SystemError(
			'EINVAL',
			`address ${JSON.stringify(address)} is not of the form tls://host:port ([host] for IPv6)`,
		);
	}
	return {host, port};
}

/** The address of a host and a port. */
export function tlsUri(host: string, port: number): string {
	return `${TLS}${hostPortText(host, port)}`;
}

/** `host:port`, with an IPv6 address in brackets. */
export function hostPortText(host: string, port: number): string {
	return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether `text` can be the name of a host (RFC 1123, underscores allowed), or looks like one of its addresses. */
export function isHost(text: string): boolean {
	return HOST_NAME.test(text) || IPV6.test(text);
}

/** IPv4 addresses of a socket that takes both kinds come as IPv6 ones (RFC 4291 2.5.5.2): here as IPv4. */
export function plainAddress(address: string): string {
	return address.replace(/^::ffff:(?=[0-9.]+$)/i, '');
}

/** What one host can have of addresses: an IPv4 address, or an IPv6 network of 2^64 of them, as its first four groups. */
export function networkOf(address: string): string {
	const plain = plainAddress(address).split('%', 1)[0]!;
	if (!plain.includes(':')) return plain;
	const [head = '', tail] = plain.split('::');
	const before = groupsOf(head);
	const after = groupsOf(tail ?? '');
	const zeros = Array.from({length: Math.max(0, 8 - before.length - after.length)}, () => '0');
	return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

function groupsOf(text: string): string[] {
	return text === '' ? [] : text.split(':');
}

const HOST_NAME =
	/^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/;
/** The network library judges it in the end; a zone may follow. */
const IPV6 = /^(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,16})?$/;
