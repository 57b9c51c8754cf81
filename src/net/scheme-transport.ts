/** One transport out of several: the scheme of an address says which one carries its links. */
import {SystemError} from '../formats/errno.ts';
import type {Link, Listener, Transport} from '../ports/transport.ts';
import {LOCAL, TLS} from './address.ts';

export interface SchemeTransports {
	/** For `local://`. */
	readonly local: Transport;
	/** For `tls://`; null: this instance has no key. */
	readonly tls: Transport | null;
}

export class SchemeTransport implements Transport {
	readonly #transports: SchemeTransports;

	constructor(transports: SchemeTransports) {
		this.#transports = transports;
	}

	async listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
		return this.#of(address).listen(address, onLink);
	}

	async connect(address: string, options: {readonly timeoutMs: number}): Promise<Link> {
		return this.#of(address).connect(address, options);
	}

	#of(address: string): Transport {
		const {local, tls} = this.#transports;
		if (address.startsWith(LOCAL)) return local;
		if (!address.startsWith(TLS)) {
			throw new SystemError(
				'EINVAL',
				`address ${JSON.stringify(address)} is neither local:///path nor tls://host:port`,
			);
		}
		if (tls === null)
			throw new SystemError('EINVAL', `address ${address}: the configuration has no bootstrap.key`);
		return tls;
	}
}
