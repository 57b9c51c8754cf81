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

/**
 * So many connections may be without a hello beside the children. For one more the oldest gives way: a child says hello at
 * once, and whoever stalls must not keep it out.
 */
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
	/** Connections without a hello, the oldest first. */
	readonly #strangers = new Set<PeerLink>();
	#isClosed = false;

	constructor(options: ChildrenOptions) {
		this.#options = options;
	}

	get(rank: number): Child | undefined {
		return this.#children.get(rank);
	}

	accept(socket: Link): void {
		const {clock, times, onRefused} = this.#options;
		if (this.#isClosed) {
			socket.destroy();
			return;
		}
		let child: Child | null = null;
		const link = new PeerLink(socket, {
			clock,
			times,
			onMessage: message => {
				if (child !== null) {
					this.#options.onMessage(child.hello.rank, message);
					return;
				}
				child = this.#meet(link, message);
				if (child !== null) timer.cancel();
			},
			onDrain: () => child !== null && this.#options.onDrain(child.hello.rank),
			onTorpid: silentMs => child !== null && this.#options.onTorpid(child.hello.rank, silentMs),
			onResponsive: () => child !== null && this.#options.onResponsive(child.hello.rank),
			onEnd: error => {
				timer.cancel();
				this.#strangers.delete(link);
				if (child !== null) this.#ended(child, error);
				else if (error !== null && !this.#isClosed) onRefused(socket.peer, error);
			},
		});
		const timer = clock.setTimer(HELLO_TIMEOUT_MS, () => {
			link.end(new SystemError('ETIMEDOUT', `no hello within ${HELLO_TIMEOUT_MS / 1000} s`));
		});
		this.#strangers.add(link);
		if (this.#strangers.size <= STRANGERS_MAX) return;
		for (const oldest of this.#strangers) {
			const text = `gave way to a newer one: ${STRANGERS_MAX} connections had said no hello (STRANGERS_MAX)`;
			oldest.end(new SystemError('EAGAIN', text));
			break;
		}
	}

	/** Ends the link of a child for this reason, which both sides hear; `onLost` runs. */
	drop(rank: number, reason: SystemError): void {
		this.#children.get(rank)?.link.end(reason);
	}

	/** Ends all links, and takes no more. */
	close(reason: SystemError | null): void {
		this.#isClosed = true;
		for (const link of [...this.#strangers]) link.end(reason);
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
		this.#strangers.delete(child.link);
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
