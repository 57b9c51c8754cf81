/** A link as the channel of a client: whatever its peer sends or fails to send, at worst the link ends, with a reason. */
import {asSystemError} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {Link} from '../ports/transport.ts';
import {Keepalive} from './keepalive.ts';
import {CONTROL_PING, decodeMessage, encodeMessage, type Control, type Message} from './message.ts';
import type {RpcChannel, RpcClient} from './rpc-client.ts';

const PING: Control = {type: 'control', controlType: CONTROL_PING, status: 0, payload: new Uint8Array(0)};

export interface AttachOptions {
	readonly clock: Clock;
	/** Null: the link is not watched for silence. */
	readonly keepaliveMs: number | null;
	readonly open: (channel: RpcChannel) => RpcClient;
}

/** Opens a client over `link`, and feeds it. */
export function attachLink(link: Link, {clock, keepaliveMs, open}: AttachOptions): RpcClient {
	let isReading = true;
	const client = open({
		peer: link.peer,
		send: message => link.send(encodeMessage(message)),
		pause: () => {
			isReading = false;
			link.pause();
		},
		resume: () => {
			isReading = true;
			link.resume();
		},
		close: reason => link.close(reason),
	});
	const keepalive =
		keepaliveMs === null
			? null
			: new Keepalive({
					clock,
					intervalMs: keepaliveMs,
					isReading: () => isReading,
					ping: () => link.send(encodeMessage(PING)),
					onSilent: silentMs =>
						link.destroy({code: 'ETIMEDOUT', message: `${link.peer} was silent for ${silentMs} ms`}),
				});
	link.onFrame = frame => {
		keepalive?.heard();
		let message: Message;
		try {
			message = decodeMessage(frame);
		} catch (error) {
			const {code, message: text} = asSystemError(error, 'EPROTO');
			link.destroy({code, message: `${link.peer}: ${text}`});
			return;
		}
		client.receive(message);
	};
	link.onEnd = end => {
		keepalive?.stop();
		client.ended(end);
	};
	return client;
}
