/**
 * Knows whose input this broker has in hand, so that a panic can be held against it, and what was held against whom before.
 * Invariant: what is in hand is noted before its code runs and forgotten after it, however that ends; an error keeps the
 * innermost note.
 */
import {inspect} from 'node:util';
import {SystemError, type ErrnoName} from '../formats/errno.ts';
import type {Request} from '../net/message.ts';
import type {RpcServerOptions} from '../net/rpc-server.ts';
import type {BrokerOptions} from './broker-options.ts';
import {
	digestOf,
	EVIDENCE_PAYLOAD_BYTES_MAX,
	refusedOf,
	type Culprit,
	type PanicEvidence,
	type Refused,
} from './panic-evidence.ts';

export interface BlameOptions {
	/** Null: nothing is kept, as in the simulator. */
	readonly evidence: PanicEvidence | null;
	readonly version: string;
	readonly pid: number;
	readonly epochMs: () => number;
	/** Requests without an answer, oldest first. */
	readonly pending: () => Iterable<{readonly topic: string; readonly sender: string}>;
}

/** These carry what happened to a job: not the message is to blame for a panic, but the job. */
const REPORT_TOPICS = /^job-(exec|manager\.exec)/;
const PENDING_KEPT_MAX = 50;
/** What the world does to a broker is nobody's input. */
const WORLD: ReadonlySet<string> = new Set<ErrnoName>([
	'EACCES',
	'EAGAIN',
	'EBADMSG',
	'ECONNRESET',
	'EIO',
	'EMFILE',
	'ENOENT',
	'ENOMEM',
	'ENOSPC',
	'EPERM',
	'EROFS',
	'ETIMEDOUT',
]);

/** That of a broker. */
export function blameOf(broker: BrokerOptions, pending: BlameOptions['pending']): Blame {
	const {evidence = null, version, pid, ports} = broker;
	return new Blame({evidence, version, pid, epochMs: () => ports.clock.epochMs(), pending});
}

export class Blame {
	readonly #options: BlameOptions;
	readonly #requests = new Map<string, Refused>();
	/** Those of `#requests`: most requests are judged by this alone. */
	readonly #topics = new Set<string>();
	readonly #jobs = new Map<bigint, Refused>();
	readonly #noted = new WeakMap<object, Culprit>();
	#request: Request | null = null;
	#sender = '';
	#job: bigint | null = null;

	constructor(options: BlameOptions) {
		this.#options = options;
		for (const refused of refusedOf(options.evidence?.kept ?? [], options.version)) {
			const {culprit} = refused;
			if (culprit.kind === 'job') {
				this.#jobs.set(BigInt(culprit.id), refused);
			} else {
				this.#requests.set(culprit.digest, refused);
				this.#topics.add(culprit.topic);
			}
		}
	}

	/** Jobs that are to be set aside, and why. */
	get jobs(): ReadonlyMap<bigint, string> {
		return new Map([...this.#jobs].map(([id, refused]) => [id, sentenceOf(refused)]));
	}

	/** What is refused, in sentences. */
	get sentences(): readonly string[] {
		return [...this.#requests.values(), ...this.#jobs.values()].map(sentenceOf);
	}

	/** For an `RpcServer`. */
	get hooks(): Required<Pick<RpcServerOptions, 'refusalOf' | 'inHand'>> {
		return {
			refusalOf: request => this.refusalOf(request),
			inHand: (request, sender, run) => this.takeRequest(request, sender, run),
		};
	}

	/** Why this request is not taken, or null. */
	refusalOf({topic, payload}: Pick<Request, 'topic' | 'payload'>): SystemError | null {
		if (!this.#topics.has(topic)) return null;
		const refused = this.#requests.get(digestOf(topic, payload));
		return refused === undefined ? null : new SystemError('EPERM', sentenceOf(refused));
	}

	/** Runs the code that takes a request. */
	takeRequest(request: Request, sender: string, run: () => void): void {
		const [before, senderBefore] = [this.#request, this.#sender];
		this.#request = request;
		this.#sender = sender;
		try {
			run();
		} catch (error) {
			this.#note(error);
			throw error;
		} finally {
			this.#request = before;
			this.#sender = senderBefore;
		}
	}

	/** Runs code that works on a job. */
	ofJob<T>(id: bigint, run: () => T): T {
		const before = this.#job;
		this.#job = id;
		try {
			return run();
		} catch (error) {
			this.#note(error);
			throw error;
		} finally {
			this.#job = before;
		}
	}

	/** The broker ends because of `error`, or, when it is undefined, of what the world does: keeps the evidence. */
	panicked(reason: string, error: unknown): void {
		const {evidence, version, pid, epochMs, pending} = this.#options;
		if (evidence === null) return;
		const atMs = epochMs();
		if (error === undefined || (error instanceof SystemError && WORLD.has(error.code))) {
			evidence.keep({version, atMs, pid, reason, stack: '', culprit: null, pending: []});
			return;
		}
		const isObject = typeof error === 'object' && error !== null;
		const culprit = (isObject ? this.#noted.get(error) : undefined) ?? this.#inHand();
		const stack = error instanceof Error ? (error.stack ?? error.message) : inspect(error);
		const open: {topic: string; sender: string}[] = [];
		for (const {topic, sender} of pending()) {
			if (open.length === PENDING_KEPT_MAX) break;
			open.push({topic, sender});
		}
		evidence.keep({version, atMs, pid, reason, stack, culprit, pending: open});
	}

	#note(error: unknown): void {
		if (typeof error !== 'object' || error === null || this.#noted.has(error)) return;
		const culprit = this.#inHand();
		if (culprit !== null) this.#noted.set(error, culprit);
	}

	#inHand(): Culprit | null {
		const request = this.#request;
		if (request !== null && (this.#job === null || !REPORT_TOPICS.test(request.topic))) {
			const {topic, userid, payload} = request;
			return {
				kind: 'request',
				topic,
				sender: this.#sender,
				userid,
				digest: digestOf(topic, payload),
				payload: Buffer.from(payload.subarray(0, EVIDENCE_PAYLOAD_BYTES_MAX)).toString('base64'),
			};
		}
		return this.#job === null ? null : {kind: 'job', id: String(this.#job)};
	}
}

function sentenceOf({culprit, count, evidence: {path, panic}}: Refused): string {
	const what =
		culprit.kind === 'job'
			? `job ${culprit.id} made this broker panic ${count} times and is set aside`
			: `this ${culprit.topic} request made this broker panic ${count} times and is refused`;
	return `${what}, at last by: ${panic.reason} (evidence in ${path}; without it, it is taken again at the next start)`;
}
