/** What the TLS library says went wrong, without the places in its own sources. */

export function tlsReason(error: unknown): string {
	const {reason, message} = error as {readonly reason?: unknown; readonly message?: unknown};
	if (typeof reason === 'string' && reason !== '') return reason;
	return typeof message === 'string' && message !== '' ? message : String(error);
}
