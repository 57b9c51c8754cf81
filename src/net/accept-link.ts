/** A link as the channel of a session. Invariant: whatever its peer sends, at worst this link ends, with a reason. */
import {asSystemError, type SystemError} from '../formats/errno.ts';
import type {Link} from '../ports/transport.ts';
import {
	CONTROL_GOODBYE,
	CONTROL_PING,
	CONTROL_PONG,
	decodeMessage,
	encodeMessage,
	type Message,
} from './message.ts';
import {encodeErrorText} from './payload.ts';
import type {RpcSession, SessionChannel} from './rpc-session.ts';

/** What takes in what a link brings. */
export type LinkReceiver = Pick<RpcSession, 'receive' | 'drained' | 'ended'>;

/** Opens a session over `link`, and feeds it. */
export function acceptLink<T extends LinkReceiver>(link: Link, open: (channel: SessionChannel) => T): T {
	const session = open({
		peer: link.peer,
		send: response => {
			const keepsUp = link.send(encodeMessage(response));
			// Who does not take responses gets to make no further requests, or they would pile up here.
			if (!keepsUp) link.pause();
			return keepsUp;
		},
	});
	link.onFrame = frame => {
		let message: Message;
		try {
			message = decodeMessage(frame);
		} catch (error) {
			sayGoodbye(link, asSystemError(error, 'EPROTO'));
			return;
		}
		if (message.type === 'request') session.receive(message);
		else if (message.type === 'control' && message.controlType === CONTROL_PING) {
			link.send(encodeMessage({...message, controlType: CONTROL_PONG}));
		}
		// Responses, events and other controls have no meaning from a client, and do no harm.
	};
	link.onDrain = () => {
		link.resume();
		session.drained();
	};
	link.onEnd = end => session.ended(end);
	return session;
}

/** Tells the peer why, and ends the link. */
export function sayGoodbye(link: Link, reason: SystemError): void {
	const payload = encodeErrorText(reason.message);
	link.send(encodeMessage({type: 'control', controlType: CONTROL_GOODBYE, status: reason.errnum, payload}));
	link.close({code: reason.code, message: `${link.peer}: ${reason.message}`});
}
