/** Frames for a broker, by seed: what real clients say and distortions of it, and noise. */
import {wrapSigned} from '../../src/formats/sign-none.ts';
import {encodeFrame} from '../../src/net/frame.ts';
import {encodeMessage, MATCHTAG_NONE, NODEID_ANY, type Message, type Request} from '../../src/net/message.ts';
import {encodePayload} from '../../src/net/payload.ts';
import type {Seeded} from '../chaos/seeded.ts';
import {templateOf} from './templates.ts';
import {flipBits, randomPayload, spoiledPayload} from './values.ts';

export interface FrameWords {
	/** What may be asked. */
	readonly topics: readonly string[];
	/** Asked seldom: each costs the broker much, as it should. */
	readonly costly: readonly string[];
	/** Names that payloads have. */
	readonly fields: readonly string[];
	/** Frames of a recorded, valid conversation. */
	readonly recorded: readonly Buffer[];
}

/** How a connection behaves: until its end, or until it is thrown out. */
export type Manner = 'asking' | 'distorting' | 'cutting' | 'noise' | 'slow';

const COSTLY_SHARE = 1 / 400;
const SUBMIT_SHARE = 1 / 50;
const JOBSPEC = JSON.stringify({
	version: 1,
	resources: [{type: 'slot', count: 1, label: 'task', with: [{type: 'core', count: 1}]}],
	tasks: [{command: ['true'], slot: 'task', count: {per_slot: 1}}],
	attributes: {system: {duration: 0, cwd: '/', environment: {}}},
});

export function mannerOf(random: Seeded): Manner {
	const way = random.float();
	if (way < 0.3) return 'asking';
	if (way < 0.75) return 'distorting';
	if (way < 0.9) return 'cutting';
	return way < 0.98 ? 'noise' : 'slow';
}

/** The bytes of one frame, or of what takes its place. */
export function frameOf(random: Seeded, manner: Manner, words: FrameWords): Buffer {
	if (manner === 'asking' || manner === 'slow') return requestFrame(random, words);
	if (manner === 'distorting') return distorted(random, words);
	if (manner === 'noise') return Buffer.from(random.bytes(random.integer(1, 300)));
	return cut(random, words);
}

/** A frame that is well-formed; what it says may not be. */
function requestFrame(random: Seeded, words: FrameWords): Buffer {
	if (random.chance(0.1)) return otherFrame(random, words);
	const topic = random.chance(COSTLY_SHARE) ? random.pick(words.costly) : random.pick(words.topics);
	const isSubmit = random.chance(SUBMIT_SHARE);
	const noresponse = random.chance(0.1);
	const request: Request = {
		type: 'request',
		topic: isSubmit ? 'job-ingest.submit' : topicLike(random, topic),
		matchtag: noresponse ? MATCHTAG_NONE : random.chance(0.05) ? 7 : random.integer(1, 2 ** 32 - 1),
		nodeid: random.chance(0.6) ? NODEID_ANY : random.pick([0, 1, 2, 0, 1, 2, 3, 99, 2 ** 32 - 2]),
		userid: random.pick([0, 1000, 2 ** 32 - 1]),
		rolemask: random.pick([0, 1, 2, 0xffff_ffff]),
		route: random.chance(0.9) ? [] : ['r1', 'c1', 'x'].slice(random.integer(0, 2)),
		upstream: random.chance(0.03),
		streaming: !noresponse && random.chance(0.4),
		noresponse,
		deadlineMs: random.chance(0.7) ? random.integer(0, 2000) : null,
		payload: isSubmit ? submission(random) : payloadFor(random, topic, words),
	};
	return encodeMessage(request);
}

/** What the topic wants but for a field or two, or anything. */
function payloadFor(random: Seeded, topic: string, words: FrameWords): Uint8Array {
	const template = templateOf(topic);
	if (template === undefined || random.chance(0.2)) return randomPayload(random, words.fields);
	return spoiledPayload(random, template);
}

function topicLike(random: Seeded, topic: string): string {
	const way = random.float();
	if (way < 0.9) return topic;
	if (way < 0.94) return `${topic}-cancel`;
	if (way < 0.96) return `${topic.slice(0, topic.lastIndexOf('.'))}.disconnect`;
	return random.pick(['nobody.here', '__proto__.x', 'constructor.name', `${'x'.repeat(200)}.y`]);
}

/** A jobspec with a few characters changed: some are still jobs. */
function submission(random: Seeded): Uint8Array {
	let text = JOBSPEC;
	for (let changes = random.integer(0, 2); changes > 0; changes -= 1) {
		const at = random.integer(0, text.length - 1);
		const inner = random.pick([
			'0',
			'-1',
			'null',
			'{',
			'[[',
			'"',
			'1e400',
			'\\u0000',
			'{"a":'.repeat(200),
			'9'.repeat(40),
		]);
		text = text.slice(0, at) + inner + text.slice(at + random.integer(0, 3));
	}
	const J = random.chance(0.95) ? wrapSigned(process.getuid!(), text) : text;
	return encodePayload({J, urgency: random.pick([16, 0, 31, 32, -1]), flags: random.pick([0, 1, 4, 255])});
}

/** Messages that a client has no reason to send. */
function otherFrame(random: Seeded, words: FrameWords): Buffer {
	const payload = randomPayload(random, words.fields);
	const from = {userid: 0, rolemask: 1};
	const message: Message = random.pick<Message>([
		{type: 'event', topic: 'a.b', sequence: random.integer(0, 99), ...from, payload},
		{type: 'control', controlType: random.integer(0, 255), status: random.integer(0, 200), payload},
		{
			type: 'response',
			topic: random.pick(words.topics),
			matchtag: random.integer(1, 99),
			errnum: random.pick([0, 2, 61]),
			route: [],
			streaming: random.chance(0.5),
			...from,
			payload,
		},
	]);
	return encodeMessage(message);
}

/** A recorded frame with a few bits flipped, behind its length, so that most arrive whole. */
function distorted(random: Seeded, {recorded}: FrameWords): Buffer {
	const frame = random.pick(recorded);
	if (random.chance(0.3)) return frame;
	if (random.chance(0.05)) return flipBits(random, frame, 3);
	return Buffer.concat([frame.subarray(0, 6), flipBits(random, frame.subarray(6), random.integer(1, 8))]);
}

/** Lengths that are wrong, and frames that end early. */
function cut(random: Seeded, words: FrameWords): Buffer {
	const frame = Buffer.from(random.pick(words.recorded));
	const way = random.integer(0, 5);
	if (way === 0) return frame.subarray(0, random.integer(1, frame.length));
	if (way === 1)
		frame.writeUInt32BE(
			random.pick([0, 1, 2, 3, 2 ** 31, 2 ** 32 - 1, frame.length + 4, frame.length - 5]),
			0,
		);
	else if (way === 2) frame.writeUInt16BE(random.pick([0, 1, 0xffff, frame.length]), 4);
	else if (way === 3) return encodeFrame(random.bytes(random.integer(1, 80)), random.bytes(8));
	return frame;
}
