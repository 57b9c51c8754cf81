/**
 * Messages: request, response, event and control, after RFC 3 in meaning; the encoding is our own (docs/messages.md).
 * Invariant: a message that was decoded has passed every bound given here, whoever sent it; its payload is opaque.
 */
import {SystemError} from '../formats/errno.ts';
import {FRAME_BYTES_MAX} from '../ports/transport.ts';
import {asBuffer, encodeFrame, headerEnd, FRAME_PREFIX_BYTES, HEADER_BYTES_MAX} from './frame.ts';
import {HeaderReader, HeaderWriter, malformed} from './header-codec.ts';

/** The first field of every header. Brokers agree on it at hello; another one is refused with EPROTONOSUPPORT. */
export const MESSAGE_VERSION = 1;
/** Addressed to the first broker on the way to the root that has the service. */
export const NODEID_ANY = 0xffff_ffff;
export const USERID_UNKNOWN = 0xffff_ffff;
/** No answer is wanted. Matchtags of RPCs count from 1. */
export const MATCHTAG_NONE = 0;
/** A topic's length in UTF-8. */
export const TOPIC_BYTES_MAX = 255;
/** A request without response to `TOPIC-cancel` with `{matchtag}` cancels the sender's RPC of that topic and tag. */
export const CANCEL_SUFFIX = '-cancel';
/** A request without response to `SERVICE.disconnect` cancels all RPCs of its sender to that service, silently. */
export const DISCONNECT_METHOD = 'disconnect';
export const ROUTE_HOPS_MAX = 64;
export const HOP_BYTES_MAX = 64;
/** More requests of one link without a final response are refused with EAGAIN, by the sender and by the server. */
export const RPC_PENDING_MAX = 4096;
/** What is left of a frame for the payload, however long its header. */
export const PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - FRAME_PREFIX_BYTES - HEADER_BYTES_MAX;
/** Linux' MAX_ERRNO. */
export const ERRNUM_MAX = 4095;
/** The longest deadline that a request can carry: 49 days. */
export const DEADLINE_MS_MAX = 0xffff_ffff;

/** Role bits (RFC 12). */
export const ROLE_OWNER = 1;
export const ROLE_USER = 2;
export const ROLE_LOCAL = 4;

/** "Are you there?": answered with a pong of the same status. */
export const CONTROL_PING = 1;
export const CONTROL_PONG = 2;
/** The last message on a link that its sender ends: why, as errno in `status` and as a text in the payload. */
export const CONTROL_GOODBYE = 3;

interface Addressed {
	/** `service.method`. */
	readonly topic: string;
	/** Which request a response answers: 1 to 2^32-1, unique among a sender's unanswered ones; 0 with `noresponse`. */
	readonly matchtag: number;
	readonly userid: number;
	readonly rolemask: number;
	/** Who passed the request on, the first sender first; a response goes back along it. */
	readonly route: readonly string[];
	/** A request that may be answered several times; on a response: this is one of several. */
	readonly streaming: boolean;
	/** Opaque here (see payload.ts); empty: none. */
	readonly payload: Uint8Array;
}

export interface Request extends Addressed {
	readonly type: 'request';
	/** A rank, or NODEID_ANY. */
	readonly nodeid: number;
	/** `nodeid` is the sender's own rank, and is to be passed by: the request is for those above it. */
	readonly upstream: boolean;
	readonly noresponse: boolean;
	/** Milliseconds that are left to answer it, as of the sending; null: for ever. */
	readonly deadlineMs: number | null;
}

export interface Response extends Addressed {
	readonly type: 'response';
	/** 0, or what failed; the payload is then a text in UTF-8, or empty. ENODATA is the good end of a stream. */
	readonly errnum: number;
}

export interface Event {
	readonly type: 'event';
	readonly topic: string;
	/** Counts the events of an instance from 1; 0: not published so far. */
	readonly sequence: number;
	readonly userid: number;
	readonly rolemask: number;
	readonly payload: Uint8Array;
}

/** Between the two ends of one link; never passed on. */
export interface Control {
	readonly type: 'control';
	/** CONTROL_*, or a number that the two ends agree on: 0 to 255. */
	readonly controlType: number;
	readonly status: number;
	readonly payload: Uint8Array;
}

export type Message = Request | Response | Event | Control;

const U32_MAX = 0xffff_ffff;
const TYPE_REQUEST = 1;
const TYPE_RESPONSE = 2;
const TYPE_EVENT = 4;
const TYPE_CONTROL = 8;
const FLAG_NORESPONSE = 0x04;
const FLAG_UPSTREAM = 0x10;
const FLAG_STREAMING = 0x40;
const FLAGS_OF_REQUEST = FLAG_NORESPONSE | FLAG_UPSTREAM | FLAG_STREAMING;
const FIELDS_MAX = 10;
const NO_ROUTE: readonly string[] = [];
/** Topics of requests and hops are few, and the same ones again and again: checked and encoded once. */
const WORDS_MAX = 4096;
const words = new Map<string, Buffer>();
const writer = new HeaderWriter();
const reader = new HeaderReader();

/**
 * The message as one whole frame.
 * @throws {SystemError} EINVAL naming a field out of its bounds, EMSGSIZE for more than a frame can carry.
 */
export function encodeMessage(message: Message): Buffer {
	switch (message.type) {
		case 'request':
			writeRequest(message);
			break;
		case 'response':
			writeResponse(message);
			break;
		case 'event':
			writer.begin(7);
			writeStart(TYPE_EVENT, 0);
			writeWord('topic', message.topic, TOPIC_BYTES_MAX);
			writeUint('sequence', message.sequence, Number.MAX_SAFE_INTEGER);
			writeCredentials(message);
			break;
		case 'control':
			writer.begin(5);
			writeStart(TYPE_CONTROL, 0);
			writeUint('control type', message.controlType, 0xff);
			writeUint('status', message.status, U32_MAX);
			break;
	}
	return encodeFrame(writer.bytes, message.payload);
}

/**
 * The message in one whole frame; its payload is a view of the frame.
 * @throws {SystemError} EPROTO, EMSGSIZE or EPROTONOSUPPORT, naming the fault: end the link.
 */
export function decodeMessage(frame: Uint8Array): Message {
	const bytes = asBuffer(frame);
	const end = headerEnd(bytes);
	reader.open(bytes, FRAME_PREFIX_BYTES, end);
	const fields = reader.array('header', FIELDS_MAX);
	const version = reader.uint('version', U32_MAX);
	if (version !== MESSAGE_VERSION) {
		throw new SystemError(
			'EPROTONOSUPPORT',
			`message version ${version} is not supported, only ${MESSAGE_VERSION}`,
		);
	}
	const type = reader.uint('type', 0xff);
	const flags = reader.uint('flags', 0xff);
	const message = readFields({type, flags, fields, payload: bytes.subarray(end)});
	reader.finish();
	return message;
}

/** The service of a topic: what stands before its last dot. */
export function serviceOf(topic: string): string {
	return topic.slice(0, Math.max(0, topic.lastIndexOf('.')));
}

function writeStart(type: number, flags: number): void {
	writer.uint(MESSAGE_VERSION);
	writer.uint(type);
	writer.uint(flags);
}

function writeRequest(message: Request): void {
	const fault = requestFault(message);
	if (fault !== null) throw new SystemError('EINVAL', `${fault} (topic ${JSON.stringify(message.topic)})`);
	writer.begin(10);
	writeStart(
		TYPE_REQUEST,
		(message.noresponse ? FLAG_NORESPONSE : 0) |
			(message.upstream ? FLAG_UPSTREAM : 0) |
			(message.streaming ? FLAG_STREAMING : 0),
	);
	writeWord('topic', message.topic, TOPIC_BYTES_MAX);
	writeUint('matchtag', message.matchtag, U32_MAX);
	writeUint('nodeid', message.nodeid, U32_MAX);
	writeCredentials(message);
	writeRoute(message.route);
	if (message.deadlineMs === null) writer.nil();
	else writeUint('deadline', message.deadlineMs, DEADLINE_MS_MAX);
}

function writeResponse(message: Response): void {
	if (message.matchtag === MATCHTAG_NONE) {
		throw new SystemError('EINVAL', `matchtag of a response is 0 (topic ${JSON.stringify(message.topic)})`);
	}
	writer.begin(9);
	writeStart(TYPE_RESPONSE, message.streaming ? FLAG_STREAMING : 0);
	writeWord('topic', message.topic, TOPIC_BYTES_MAX);
	writeUint('matchtag', message.matchtag, U32_MAX);
	writeUint('errnum', message.errnum, ERRNUM_MAX);
	writeCredentials(message);
	writeRoute(message.route);
}

function writeCredentials(message: {readonly userid: number; readonly rolemask: number}): void {
	writeUint('userid', message.userid, U32_MAX);
	writeUint('rolemask', message.rolemask, U32_MAX);
}

function writeRoute(route: readonly string[]): void {
	if (route.length > ROUTE_HOPS_MAX) {
		throw new SystemError('EINVAL', `route has ${route.length} hops, the limit is ${ROUTE_HOPS_MAX}`);
	}
	writer.array(route.length);
	for (const hop of route) writeWord('hop', hop, HOP_BYTES_MAX);
}

function writeUint(field: string, value: number, max: number): void {
	if (!Number.isSafeInteger(value) || value < 0 || value > max) {
		throw new SystemError('EINVAL', `${field} is ${value}, not an integer from 0 to ${max}`);
	}
	writer.uint(value);
}

function writeWord(field: string, word: string, bytesMax: number): void {
	let encoded = words.get(word);
	if (encoded === undefined) {
		encoded = Buffer.from(word, 'utf8');
		if (encoded.length === 0 || encoded.some(byte => byte <= 0x20 || byte === 0x7f)) {
			throw new SystemError(
				'EINVAL',
				`${field} ${JSON.stringify(word)} is empty or has spaces or control characters`,
			);
		}
		if (words.size >= WORDS_MAX) words.clear();
		if (encoded.length <= TOPIC_BYTES_MAX) words.set(word, encoded);
	}
	if (encoded.length > bytesMax) {
		throw new SystemError('EINVAL', `${field} has ${encoded.length} bytes, the limit is ${bytesMax}`);
	}
	writer.text(encoded);
}

interface Raw {
	readonly type: number;
	readonly flags: number;
	readonly fields: number;
	readonly payload: Uint8Array;
}

function readFields(raw: Raw): Message {
	switch (raw.type) {
		case TYPE_REQUEST:
			expectShape(raw, 10, FLAGS_OF_REQUEST);
			return readRequest(raw);
		case TYPE_RESPONSE:
			expectShape(raw, 9, FLAG_STREAMING);
			return readResponse(raw);
		case TYPE_EVENT:
			expectShape(raw, 7, 0);
			return {
				type: 'event',
				topic: reader.text('topic', TOPIC_BYTES_MAX),
				sequence: reader.uint('sequence', Number.MAX_SAFE_INTEGER),
				userid: reader.uint('userid', U32_MAX),
				rolemask: reader.uint('rolemask', U32_MAX),
				payload: raw.payload,
			};
		case TYPE_CONTROL:
			expectShape(raw, 5, 0);
			return {
				type: 'control',
				controlType: reader.uint('control type', 0xff),
				status: reader.uint('status', U32_MAX),
				payload: raw.payload,
			};
		default:
			throw malformed('type', `is ${raw.type}`);
	}
}

function expectShape(raw: Raw, fields: number, flags: number): void {
	if (raw.fields !== fields) throw malformed('header', `has ${raw.fields} fields, not ${fields}`);
	if ((raw.flags & ~flags) !== 0) throw malformed('flags', `are ${raw.flags}, of which ${flags} are known`);
}

function readRequest({flags, payload}: Raw): Request {
	const request: Request = {
		type: 'request',
		topic: reader.text('topic', TOPIC_BYTES_MAX),
		matchtag: reader.uint('matchtag', U32_MAX),
		nodeid: reader.uint('nodeid', U32_MAX),
		userid: reader.uint('userid', U32_MAX),
		rolemask: reader.uint('rolemask', U32_MAX),
		route: readRoute(),
		deadlineMs: reader.uintOrNil('deadline', DEADLINE_MS_MAX),
		upstream: (flags & FLAG_UPSTREAM) !== 0,
		streaming: (flags & FLAG_STREAMING) !== 0,
		noresponse: (flags & FLAG_NORESPONSE) !== 0,
		payload,
	};
	const fault = requestFault(request);
	if (fault !== null) throw new SystemError('EPROTO', `malformed message: ${fault}`);
	return request;
}

function readResponse({flags, payload}: Raw): Response {
	const topic = reader.text('topic', TOPIC_BYTES_MAX);
	const matchtag = reader.uint('matchtag', U32_MAX);
	if (matchtag === MATCHTAG_NONE) throw malformed('matchtag', 'of a response is 0');
	return {
		type: 'response',
		topic,
		matchtag,
		errnum: reader.uint('errnum', ERRNUM_MAX),
		userid: reader.uint('userid', U32_MAX),
		rolemask: reader.uint('rolemask', U32_MAX),
		route: readRoute(),
		streaming: (flags & FLAG_STREAMING) !== 0,
		payload,
	};
}

function readRoute(): readonly string[] {
	const hops = reader.array('route', ROUTE_HOPS_MAX);
	if (hops === 0) return NO_ROUTE;
	const route: string[] = [];
	for (let index = 0; index < hops; index++) route.push(reader.text('hop', HOP_BYTES_MAX));
	return route;
}

/** What the fields of a request, each good by itself, may not be together. */
function requestFault(request: Request): string | null {
	const dot = request.topic.lastIndexOf('.');
	if (dot <= 0 || dot === request.topic.length - 1) return 'topic of a request is not service.method';
	if (request.noresponse && request.streaming) return 'flags noresponse and streaming exclude each other';
	if (request.noresponse !== (request.matchtag === MATCHTAG_NONE)) {
		return request.noresponse ? 'matchtag is not 0 though no response is wanted' : 'matchtag is 0';
	}
	return null;
}
