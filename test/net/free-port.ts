/** Free ports for tests. */
import {randomInt} from 'node:crypto';
import {once} from 'node:events';
import {createServer} from 'node:net';

/** Below what the kernel gives to sockets that name none (ip(7), ip_local_port_range): such a one took a port that was free just now. */
const PORT_MIN = 20_000;
const PORTS = 12_000;
const TRIES_MAX = 100;

/** A port that nobody listens at. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
	for (let tries = 1; ; tries += 1) {
		const port = PORT_MIN + randomInt(PORTS);
		const server = createServer().listen(port, host);
		try {
			await once(server, 'listening');
		} catch (error) {
			if (tries === TRIES_MAX) throw error;
			continue;
		}
		server.close();
		await once(server, 'close');
		return port;
	}
}
