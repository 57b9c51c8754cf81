/** `overlay.trace`: messages to and from neighbours as they pass, and changes of neighbours (docs/services.md). */
import {SystemError, errnoText} from '../../formats/errno.ts';
import type {Message} from '../../net/message.ts';
import type {Overlay} from '../../net/overlay/overlay.ts';
import type {TracedMessage} from '../../net/overlay/trace.ts';
import {decodePayload, encodePayload} from '../../net/payload.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';

/** RFC 3's numbers of message types. */
const TYPES = {request: 1, response: 2, event: 4, control: 8} as const;
const ALL_TYPES = 15;
/** More that a follower does not read end its trace. */
const BEHIND_MAX = 4096;
const OWN_TOPIC = 'overlay.trace';

export function serveTrace(
	{core, overlay}: {readonly core: Core; readonly overlay: Overlay},
	request: RpcRequest,
): void {
	const fields = new Fields(request);
	const filter: Filter = {
		typemask: fields.integer('typemask', ALL_TYPES),
		topic: globOf(fields.text('topic_glob', '*')),
		nodeid: fields.integer('nodeid', -1),
	};
	const isFull = fields.flag('full');
	let behind = 0;
	const tell = (entry: object) => {
		if (!request.isOpen) return;
		behind = request.respondStream({timestamp: core.clock.epochMs() / 1000, ...entry}) ? 0 : behind + 1;
		if (behind <= BEHIND_MAX) return;
		stop();
		request.error(new SystemError('ENOBUFS', `${behind} messages of the trace were not read (BEHIND_MAX)`));
	};
	const stops = [
		overlay.trace.follow(traced => {
			if (matches(filter, traced)) tell(describe(traced, isFull));
		}),
		core.onChange(change => {
			if (change.kind !== 'peer' || (filter.nodeid >= 0 && filter.nodeid !== change.peer)) return;
			const {value, context} = change.snapshot;
			if (!filter.topic.test(`peer.${value}`)) return;
			tell({...EMPTY, prefix: 'peer', rank: change.peer, topic: `peer.${value}`, errstr: context.error});
		}),
	];
	const stop = () => {
		for (const one of stops) one();
	};
	request.onCancel = stop;
	request.onDrain = () => (behind = 0);
}

interface Filter {
	/** The sum of TYPES. */
	readonly typemask: number;
	readonly topic: Glob;
	/** A neighbour, or -1: any. */
	readonly nodeid: number;
}

const EMPTY = {name: null, type: 0, payload_size: 0, payload: null, errnum: 0} as const;

function matches({typemask, topic, nodeid}: Filter, {rank, message}: TracedMessage): boolean {
	if ((TYPES[message.type] & typemask) === 0 || (nodeid >= 0 && nodeid !== rank)) return false;
	const name = topicOf(message);
	// Or the trace would trace itself, without end.
	return !name.startsWith(OWN_TOPIC) && topic.test(name);
}

function describe({direction, rank, message}: TracedMessage, isFull: boolean): object {
	const errnum = message.type === 'response' ? message.errnum : 0;
	return {
		...EMPTY,
		prefix: direction,
		rank,
		type: TYPES[message.type],
		topic: topicOf(message),
		payload_size: message.payload.length,
		payload: isFull && errnum === 0 ? readable(message.payload) : null,
		errnum,
		errstr: errnum === 0 ? '' : Buffer.from(message.payload).toString('utf8') || errnoText(errnum),
	};
}

function topicOf(message: Message): string {
	return message.type === 'control' ? `control.${message.controlType}` : message.topic;
}

/** Null where the payload is bytes, which only brokers understand, or can't be told. */
function readable(payload: Uint8Array): unknown {
	try {
		const value = decodePayload(payload);
		if (value instanceof Uint8Array) return null;
		encodePayload([value ?? null]); // One level deeper than it was it may be too deep.
		return value ?? null;
	} catch {
		return null;
	}
}

interface Glob {
	readonly test: (text: string) => boolean;
}

/** `*` and `?` as in a shell, in time that no pattern can stretch: each star takes as little as it must. */
function globOf(glob: string): Glob {
	return {
		test(text) {
			let [at, read] = [0, 0];
			let [star, retry] = [-1, 0];
			while (read < text.length) {
				if (glob[at] === '*') {
					star = at++;
					retry = read;
				} else if (at < glob.length && (glob[at] === '?' || glob[at] === text[read])) {
					at += 1;
					read += 1;
				} else if (star >= 0) {
					at = star + 1;
					read = ++retry;
				} else return false;
			}
			while (glob[at] === '*') at += 1;
			return at === glob.length;
		},
	};
}
