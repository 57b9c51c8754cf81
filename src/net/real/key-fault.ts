/** Whether the other side of a TLS connection has the instance's key: the one question that decides who is a peer. */
import type {KeyObject} from 'node:crypto';
import type {TLSSocket} from 'node:tls';

/**
 * Why the peer of a completed handshake is none of ours, or null. The handshake has proved that the peer has the private
 * key of the certificate that it showed (RFC 8446 4.4.3); here that key must be ours. Names, dates and issuers say nothing.
 */
export function keyFault(socket: TLSSocket, publicKey: KeyObject): string | null {
	// A resumed session proves an older handshake, not this one.
	if (socket.isSessionReused()) return 'it resumed an older session, and proved no key';
	const certificate = socket.getPeerX509Certificate();
	if (certificate === undefined) return 'it showed no certificate';
	try {
		return publicKey.equals(certificate.publicKey) ? null : 'it has another key';
	} catch {
		return 'it has a key of an unknown kind';
	}
}
