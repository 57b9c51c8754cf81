/**
 * A rank's side of PMI barriers over several ranks: tells the root what the tasks of a part have put, once all of them
 * wait, until the root has said what all parts have put. What waits is in the part's directory, and the job shell says it again
 * after every start of this broker; so nothing here outlives the broker.
 */
import {asSystemError} from '../../formats/errno.ts';
import {partKey} from '../../machines/part.ts';
import type {Timer} from '../../ports/clock.ts';
import type {Exchange, ProcessHost} from '../../ports/process-host.ts';
import type {Core} from '../core.ts';
import type {Peers} from '../peers.ts';
import type {BarrierEntry, BarrierName, PartName} from './messages.ts';

const ROOT = 0;
/** An entry that did not reach the root is sent again after so long. */
export const ENTRY_RETRY_MS = 1000;

export interface PmiExchangeOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly host: ProcessHost;
	/** Whether the root knows what is on this node: before that it may not know the job. */
	readonly isReconciled: () => boolean;
}

export class PmiExchange {
	readonly #options: PmiExchangeOptions;
	/** By part: what waits, and whether the root has it. */
	readonly #waiting = new Map<string, {exchange: Exchange; isSent: boolean; retry: Timer | null}>();

	constructor(options: PmiExchangeOptions) {
		this.#options = options;
		const {peers, host} = options;
		host.onExchange = exchange => this.#enter(exchange);
		peers.handle('job-exec.barrier-exit', (exchange: Exchange) => this.#exit(exchange));
		peers.handle('job-exec.barrier-entry', ({barrier, ...name}: BarrierName) => {
			return {puts: host.readExchange?.(name, barrier)?.puts ?? null};
		});
	}

	/** Whatever waits is told the root: it may be another one, or have forgotten. */
	repeat(): void {
		for (const entry of this.#waiting.values()) {
			entry.isSent = false;
			this.#send(entry.exchange);
		}
	}

	forget(name: PartName): void {
		this.#waiting.get(partKey(name))?.retry?.cancel();
		this.#waiting.delete(partKey(name));
	}

	/** Said again by the shell, now and then: then the root is told again too, whatever may have been lost. */
	#enter(exchange: Exchange): void {
		const known = this.#waiting.get(partKey(exchange));
		known?.retry?.cancel();
		this.#waiting.set(partKey(exchange), {exchange, isSent: false, retry: null});
		this.#send(exchange);
	}

	#exit(exchange: Exchange): void {
		const known = this.#waiting.get(partKey(exchange));
		if (known !== undefined && known.exchange.barrier <= exchange.barrier) this.forget(exchange);
		this.#options.host.exchanged?.(exchange);
	}

	#send(exchange: Exchange): void {
		const {core, peers, isReconciled} = this.#options;
		const entry = this.#waiting.get(partKey(exchange));
		if (entry?.exchange !== exchange || entry.isSent || !isReconciled()) return;
		entry.isSent = true;
		const message: BarrierEntry = {...exchange, rank: core.rank};
		peers.request(ROOT, 'job-manager.barrier-enter', message).catch((error: unknown) => {
			const reason = asSystemError(error);
			core.log(
				'warning',
				`PMI barrier of job part ${partKey(exchange)}: ${reason.toString()}; it is told again`,
			);
			if (this.#waiting.get(partKey(exchange)) !== entry) return;
			entry.isSent = false;
			entry.retry = core.clock.setTimer(ENTRY_RETRY_MS, () => this.#send(exchange));
		});
	}
}
