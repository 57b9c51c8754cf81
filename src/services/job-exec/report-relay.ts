/**
 * Carries reports of this rank, and of those below it, to the root: each rank sends to its parent, which gathers what comes
 * and passes it on in batches, a few at a time; what comes while they are under way is the next batch. Nothing is kept here:
 * a report counts when the root has acknowledged it, and whoever hears an error says it again.
 */
import {asSystemError, isErrnoName, SystemError} from '../../formats/errno.ts';
import type {Core} from '../core.ts';
import type {Peers} from '../peers.ts';
import type {ReportAnswer, ReportAnswers, ReportBatch, ReportMessage, ReportResponse} from './messages.ts';

const ROOT = 0;
/** So many batches are on their way up at a time. */
export const BATCHES_UNDER_WAY_MAX = 2;
/** A batch has at most so many reports, and so many bytes unless one report alone has more. */
export const BATCH_REPORTS_MAX = 512;
export const BATCH_BYTES_MAX = 1024 * 1024;
/** What waits here has at most so many bytes; more is refused with EAGAIN. */
export const WAITING_BYTES_MAX = 16 * 1024 * 1024;
/** From a batch to its answer. */
const BATCH_TIMEOUT_MS = 30_000;
/** About what a report takes without its output, and each task of it. */
const REPORT_BYTES = 160;
const TASK_BYTES = 48;

interface Waiting {
	readonly message: ReportMessage;
	readonly sizeBytes: number;
	readonly answer: (answer: ReportAnswer) => void;
}

export class ReportRelay {
	readonly #core: Core;
	readonly #peers: Peers;
	#waiting: Waiting[] = [];
	#waitingBytes = 0;
	#underWay = 0;

	constructor(core: Core, peers: Peers) {
		this.#core = core;
		this.#peers = peers;
	}

	/** A report of this rank. Resolves to the root's answer. Rejects when it was lost on the way: say it again. */
	async send(message: ReportMessage): Promise<ReportResponse> {
		if (this.#peers.parent === null) {
			return (await this.#peers.request(ROOT, 'job-manager.exec-report', message)) as ReportResponse;
		}
		return responseOf(await this.#enqueue(message));
	}

	/** A batch of a child. Resolves when each of its reports has an answer. */
	async takeBatch(batch: ReportBatch): Promise<ReportAnswers> {
		if (this.#peers.parent === null) {
			return (await this.#peers.request(ROOT, 'job-manager.exec-reports', batch)) as ReportAnswers;
		}
		return {answers: await Promise.all(batch.reports.map(report => this.#enqueue(report)))};
	}

	#enqueue(message: ReportMessage): Promise<ReportAnswer> {
		const sizeBytes = sizeOf(message);
		if (this.#waitingBytes > 0 && this.#waitingBytes + sizeBytes > WAITING_BYTES_MAX) {
			const text = `rank ${this.#core.rank} has ${this.#waitingBytes} bytes of reports to pass on: try again later`;
			return Promise.resolve({error: {code: 'EAGAIN', message: text}});
		}
		return new Promise(answer => {
			this.#waiting.push({message, sizeBytes, answer});
			this.#waitingBytes += sizeBytes;
			this.#pump();
		});
	}

	#pump(): void {
		while (this.#waiting.length > 0 && this.#underWay < BATCHES_UNDER_WAY_MAX) {
			this.#underWay += 1;
			const batch = this.#takeNext();
			void this.#pass(batch).then(answers => {
				this.#underWay -= 1;
				for (const [index, one] of batch.entries()) one.answer(answers[index] ?? UNANSWERED);
				this.#pump();
			});
		}
	}

	#takeNext(): Waiting[] {
		let bytes = 0;
		let count = 0;
		for (const {sizeBytes} of this.#waiting) {
			if (count === BATCH_REPORTS_MAX || (count > 0 && bytes + sizeBytes > BATCH_BYTES_MAX)) break;
			bytes += sizeBytes;
			count += 1;
		}
		const batch = this.#waiting.slice(0, count);
		this.#waiting = this.#waiting.slice(count);
		this.#waitingBytes -= bytes;
		return batch;
	}

	/** Never rejects: an error is the answer to each report of the batch. */
	async #pass(batch: readonly Waiting[]): Promise<readonly ReportAnswer[]> {
		const payload: ReportBatch = {reports: batch.map(({message}) => message)};
		try {
			const {answers} = (await this.#peers.request(this.#peers.parent ?? ROOT, 'job-exec.relay', payload, {
				timeoutMs: BATCH_TIMEOUT_MS,
			})) as ReportAnswers;
			return answers;
		} catch (error) {
			const {code, message} = asSystemError(error);
			return batch.map(() => ({error: {code, message}}));
		}
	}
}

const UNANSWERED: ReportAnswer = {
	error: {code: 'EPROTO', message: 'the answer to a batch of reports is too short'},
};

function responseOf(answer: ReportAnswer): ReportResponse {
	if (!('error' in answer)) return answer;
	const {code, message} = answer.error;
	throw new SystemError(isErrnoName(code) ? code : 'EIO', message);
}

function sizeOf({body, output}: ReportMessage): number {
	let bytes = REPORT_BYTES + ('tasks' in body ? body.tasks.length * TASK_BYTES : 0);
	if (output === undefined) return bytes;
	bytes += output.eventlog.length;
	for (const {value} of output.chunks) bytes += value.length;
	return bytes;
}
