/**
 * Hello: how a broker says who it is to its parent, and what the parent makes of it (docs/resiliency.md). Pure. Invariant: who
 * passes `judgeHello` is a child of this broker, of this instance, and speaks this protocol.
 */
import {SystemError} from '../../formats/errno.ts';
import type {Topology} from './topology.ts';

/** The version of what brokers say to each other; another one is refused. */
export const OVERLAY_PROTOCOL = 1;
export const HELLO_TOPIC = 'overlay.hello';

export interface Hello {
	readonly protocol: number;
	readonly instance: string;
	readonly rank: number;
	readonly size: number;
	readonly hostname: string;
	readonly version: string;
	/** Fresh at each start. */
	readonly uuid: string;
	readonly pid: number;
	readonly bootCount: number;
	/** The boot of the node. */
	readonly bootId: string;
	readonly logId: string;
	readonly headSeq: number;
}

/** The parent's answer: who it is, and how many events it has seen. */
export interface Welcome extends Hello {
	readonly eventSequence: number;
}

/** A text of a hello is no longer: it is kept in the log, and shown to people. */
export const HELLO_TEXT_MAX = 255;

/**
 * @throws {SystemError} EPROTO for what is no hello.
 */
export function parseHello(payload: unknown): Hello {
	return parse(payload, HELLO_FIELDS) as unknown as Hello;
}

/**
 * @throws {SystemError} EPROTO for what is no answer to a hello.
 */
export function parseWelcome(payload: unknown): Welcome {
	return parse(payload, {...HELLO_FIELDS, eventSequence: isCount}) as unknown as Welcome;
}

export interface HelloRules {
	readonly instance: string;
	readonly rank: number;
	readonly topology: Topology;
	readonly hosts: readonly string[];
}

/** Why this broker can't have the sender as a child, in words for both sides; null: it can. */
export function judgeHello(hello: Hello, {instance, rank, topology, hosts}: HelloRules): SystemError | null {
	const who = `${hello.hostname} (rank ${hello.rank})`;
	if (hello.protocol !== OVERLAY_PROTOCOL) {
		return new SystemError(
			'EPROTONOSUPPORT',
			`${who} runs coppice ${hello.version} and speaks overlay protocol ${hello.protocol}, rank ${rank} speaks ${OVERLAY_PROTOCOL}`,
		);
	}
	if (hello.instance !== instance) {
		return new SystemError('EPERM', `${who} is of instance ${hello.instance}, rank ${rank} of ${instance}`);
	}
	if (topology.parentOf(hello.rank) !== rank) {
		return new SystemError('EINVAL', `rank ${hello.rank} is not a child of rank ${rank}: mismatched config?`);
	}
	if (hello.size !== topology.size) {
		return new SystemError(
			'EINVAL',
			`${who} is of ${hello.size} brokers, rank ${rank} of ${topology.size}: mismatched config?`,
		);
	}
	if (hosts[hello.rank] !== hello.hostname) {
		return new SystemError(
			'EINVAL',
			`${who} is configured as host ${hosts[hello.rank]} at rank ${rank}: mismatched config?`,
		);
	}
	return null;
}

/** Why the sender can't be this broker's parent; null: it can. It has found this broker's hello good. */
export function judgeWelcome(
	welcome: Welcome,
	{instance, rank, topology, hosts}: HelloRules,
): SystemError | null {
	const who = `${welcome.hostname} (rank ${welcome.rank})`;
	if (welcome.protocol !== OVERLAY_PROTOCOL) {
		return new SystemError(
			'EPROTONOSUPPORT',
			`${who} runs coppice ${welcome.version} and speaks overlay protocol ${welcome.protocol}, rank ${rank} speaks ${OVERLAY_PROTOCOL}`,
		);
	}
	if (welcome.instance !== instance) {
		return new SystemError('EPERM', `${who} is of instance ${welcome.instance}, rank ${rank} of ${instance}`);
	}
	const parent = topology.parentOf(rank);
	if (welcome.rank !== parent || welcome.size !== topology.size || welcome.hostname !== hosts[parent]) {
		return new SystemError(
			'EINVAL',
			`${who} of ${welcome.size} brokers answers where ${hosts[parent ?? 0]} (rank ${parent}) of ${topology.size} should: mismatched config?`,
		);
	}
	return null;
}

/** What a peer remembered of a neighbour's log. */
export interface LogMark {
	readonly logId: string;
	readonly headSeq: number;
}

/** A sentence when the log of a neighbour is another one, or is shorter than it was; null: it goes on. */
export function judgeLog(who: string, before: LogMark, now: LogMark): string | null {
	if (before.logId === '') return null;
	if (before.logId !== now.logId) {
		return `${who} has another event log than before (${now.logId}, was ${before.logId})`;
	}
	return now.headSeq < before.headSeq
		? `${who} has lost the end of its event log: it stands at ${now.headSeq}, and was at ${before.headSeq}`
		: null;
}

type Check = (value: unknown) => boolean;

/** Printable, since it is shown to people, and short. */
const isText: Check = value =>
	typeof value === 'string' && value.length <= HELLO_TEXT_MAX && !/\p{Cc}/u.test(value);
const isCount: Check = value => Number.isSafeInteger(value) && (value as number) >= 0;
/** A part of it goes onto routes. */
const isUuid: Check = value => typeof value === 'string' && /^[0-9A-Za-z-]{8,64}$/.test(value);

const HELLO_FIELDS: Readonly<Record<keyof Hello, Check>> = {
	protocol: isCount,
	instance: isText,
	rank: isCount,
	size: isCount,
	hostname: isText,
	version: isText,
	uuid: isUuid,
	pid: isCount,
	bootCount: isCount,
	bootId: isText,
	logId: isText,
	headSeq: isCount,
};

function parse(payload: unknown, checks: Readonly<Record<string, Check>>): Record<string, unknown> {
	const fields = (payload ?? {}) as Record<string, unknown>;
	for (const [name, isGood] of Object.entries(checks)) {
		if (!isGood(fields[name])) throw new SystemError('EPROTO', `hello without a good field '${name}'`);
	}
	return fields;
}
