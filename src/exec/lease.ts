/**
 * How long a rank has been out of contact with the root, and whether that is longer than its lease. Pure: it is told, and
 * asked, by the monotonic clock of one boot. What it must remember over a restart of the job shell is its `record`.
 */
export interface LeaseRecord {
	readonly bootId: string;
	/** null: there is no lease. */
	readonly leaseMs: number | null;
	/** Since when contact is lost; null: it was there when this was written. */
	readonly sinceMs: number | null;
}

export class Lease {
	readonly #bootId: string;
	#leaseMs: number | null = null;
	#sinceMs: number | null;

	/** @param record what an earlier shell knew, or null. Contact that it had is lost since now. */
	constructor(
		record: LeaseRecord | null,
		{bootId, nowMs}: {readonly bootId: string; readonly nowMs: number},
	) {
		this.#bootId = bootId;
		this.#leaseMs = record?.leaseMs ?? null;
		this.#sinceMs = record?.bootId === bootId ? (record.sinceMs ?? nowMs) : nowMs;
	}

	get record(): LeaseRecord {
		return {bootId: this.#bootId, leaseMs: this.#leaseMs, sinceMs: this.#sinceMs};
	}

	/** The rank is in contact with the root. True: the record is another one now. */
	inContact(leaseMs: number | null): boolean {
		const isNews = leaseMs !== this.#leaseMs || (this.#sinceMs !== null && leaseMs !== null);
		this.#leaseMs = leaseMs;
		this.#sinceMs = null;
		return isNews;
	}

	/** Contact is lost, or not known to be there. True: the record is another one now. */
	lose(nowMs: number): boolean {
		if (this.#sinceMs !== null) return false;
		this.#sinceMs = nowMs;
		return this.#leaseMs !== null;
	}

	/** For how long contact has been lost, if that is longer than the lease; else null. */
	overdueMs(nowMs: number): number | null {
		if (this.#leaseMs === null || this.#sinceMs === null) return null;
		const awayMs = nowMs - this.#sinceMs;
		return awayMs > this.#leaseMs ? awayMs : null;
	}
}

/** A record as it was written; null for what is none. */
export function parseLeaseRecord(text: string): LeaseRecord | null {
	try {
		const {bootId, leaseMs, sinceMs} = JSON.parse(text) as Partial<LeaseRecord>;
		const isTime = (value: unknown) => value === null || typeof value === 'number';
		if (typeof bootId !== 'string' || !isTime(leaseMs) || !isTime(sinceMs)) return null;
		return {bootId, leaseMs: leaseMs ?? null, sinceMs: sinceMs ?? null};
	} catch (error) {
		if (error instanceof SyntaxError || error instanceof TypeError) return null;
		throw error;
	}
}
