/**
 * The way down: takes connections, hears hellos, and keeps one link a child. Invariant: at most one link stands for a rank;
 * whoever has not said an acceptable hello can do nothing but say one, and not for long.
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock} from '../../ports/clock.ts';
import type {Link} from '../../ports/transport.ts';
import type {Message, Request} from '../message.ts';
import {decodePayload, encodeErrorText, encodePayload} from '../payload.ts';
import {HELLO_TOPIC, judgeHello, parseHello, type Hello, type HelloRules, type Welcome} from './hello.ts';
import {PeerLink, type PeerTimes} from './peer-link.ts';

/** So many connections may be without a hello beside the children; further ones are refused. */
export const STRANGERS_MAX = 64;
/** Whoever connects has so long to say hello. */
export const HELLO_TIMEOUT_MS = 10_000;

export interface Child {
	readonly hello: Hello;
	readonly link: PeerLink;
}

export interface ChildrenOptions {
	readonly clock: Clock;
	readonly times: PeerTimes;
	readonly rules: HelloRules;
	/** A hello is good. Call `welcome` when the child may join; never: it waits. */
	readonly onHello: (child: Child, welcome: (answer: Welcome) => void) => void;
	readonly onMessage: (rank: number, message: Message) => void;
	readonly onDrain: (rank: number) => void;
	readonly onTorpid: (rank: number, silentMs: number) => void;
	readonly onResponsive: (rank: number) => void;
	/** A child that said hello is gone. Null: in good order. */
	readonly onLost: (rank: number, error: SystemError | null) => void;
	/** A connection that came to nothing. */
	readonly onRefused: (peer: string, error: SystemError) => void;
}

export class Children {
	readonly #options: ChildrenOptions;
	readonly #children = new Map<number, Child>();
	#strangers = 0;

	constructor(options: ChildrenOptions) {
		this.#options = options;
	}

	get(rank: number): Child | undefined {
		return this.#children.get(rank);
	}

	accept(socket: Link): void {
		const {clock, times, onRefused} = this.#options;
		let child: Child | null = null;
		let isStranger = true;
		const settle = () => {
			if (isStranger) this.#strangers -= 1;
			isStranger = false;
			timer.cancel();
		};
		this.#strangers += 1;
		const link = new PeerLink(socket, {
			clock,
			times,
			onMessage: message => {
				if (child !== null) this.#options.onMessage(child.hello.rank, message);
				else {
					child = this.#meet(link, message);
					if (child !== null) settle();
				}
			},
			onDrain: () => child !== null && this.#options.onDrain(child.hello.rank),
			onTorpid: silentMs => child !== null && this.#options.onTorpid(child.hello.rank, silentMs),
			onResponsive: () => child !== null && this.#options.onResponsive(child.hello.rank),
			onEnd: error => {
				if (child !== null) this.#ended(child, error);
				else if (isStranger && error !== null) onRefused(socket.peer, error);
				settle();
			},
		});
		const timer = clock.setTimer(HELLO_TIMEOUT_MS, () => {
			link.end(new SystemError('ETIMEDOUT', `no hello within ${HELLO_TIMEOUT_MS / 1000} s`));
		});
		if (this.#strangers > STRANGERS_MAX) {
			link.end(
				new SystemError('EAGAIN', `${this.#strangers} connections have said no hello (STRANGERS_MAX)`),
			);
		}
	}

	/** Ends the link of a child for this reason, which both sides hear; `onLost` runs. */
	drop(rank: number, reason: SystemError): void {
		this.#children.get(rank)?.link.end(reason);
	}

	/** Ends all links. */
	close(reason: SystemError | null): void {
		for (const {link} of [...this.#children.values()]) link.end(reason);
	}

	/** The first message of a link. Null: it was no hello that we can accept, and the link ends. */
	#meet(link: PeerLink, message: Message): Child | null {
		if (message.type !== 'request' || message.topic !== HELLO_TOPIC) {
			link.end(new SystemError('ENOTCONN', 'you are not known here: restart and say hello'));
			return null;
		}
		try {
			const hello = parseHello(decodePayload(message.payload));
			const fault = judgeHello(hello, this.#options.rules);
			if (fault !== null) throw fault;
			return this.#take({hello, link}, message);
		} catch (error) {
			const fault = asSystemError(error, 'EPROTO');
			link.send({...responseTo(message), errnum: fault.errnum, payload: encodeErrorText(fault.message)});
			link.end(fault);
			return null;
		}
	}

	#take(child: Child, request: Request): Child {
		const {rank, uuid} = child.hello;
		const before = this.#children.get(rank);
		const text =
			before?.hello.uuid === uuid
				? `rank ${rank} has connected once more`
				: `rank ${rank} has come back with a new uuid: it was restarted`;
		before?.link.end(new SystemError('ESTALE', text));
		this.#children.set(rank, child);
		this.#options.onHello(child, welcome => {
			if (child.link.isOpen) {
				child.link.send({...responseTo(request), errnum: 0, payload: encodePayload(welcome)});
			}
		});
		return child;
	}

	#ended(child: Child, error: SystemError | null): void {
		const {rank} = child.hello;
		if (this.#children.get(rank) !== child) return;
		this.#children.delete(rank);
		this.#options.onLost(rank, error);
	}
}

function responseTo({topic, matchtag, userid, rolemask, route}: Request) {
	return {type: 'response', topic, matchtag, userid, rolemask, route, streaming: false} as const;
}
