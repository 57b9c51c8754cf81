/** What can be wrong with a log, and the error that a reader meets there. */
import {SystemError} from '../formats/errno.ts';

/**
 * - `vanished`: an instance was here, but its database is gone.
 * - `unopenable`: LevelDB refuses the database; what is served comes from a repaired copy.
 * - `base-missing`: the log's first record is not there.
 * - `gap`: records are missing.
 * - `changed`: a record is there, but is not what was written.
 * - `undecodable`: something is there, but is no record by its form.
 * - `unchained`: a record is whole, but does not follow the one before it.
 * - `unreadable`: LevelDB gave an error while reading.
 * - `lost-tail`: HEAD names acknowledged facts beyond the end of the log: a cut tail, or an older copy of it.
 * - `head-missing`: HEAD is not there or unreadable, so that nothing proves the end of the log.
 * - `foreign-head`: HEAD belongs to another log, or to another course of this one.
 * - `full`: the disk is full; nothing is lost.
 */
export type DamageKind =
	| 'vanished'
	| 'unopenable'
	| 'base-missing'
	| 'gap'
	| 'changed'
	| 'undecodable'
	| 'unchained'
	| 'unreadable'
	| 'lost-tail'
	| 'head-missing'
	| 'foreign-head'
	| 'full';

export interface Damage {
	readonly kind: DamageKind;
	/** The first and last sequence number that it concerns; null: none, or not known. */
	readonly fromSeq: number | null;
	readonly toSeq: number | null;
	/** What is wrong, as a person reads it. */
	readonly sentence: string;
}

/** Thrown by readers after everything before the damage was served. */
export class LogDamageError extends SystemError {
	readonly damage: Damage;

	constructor(damage: Damage, options?: ErrorOptions) {
		super('EBADMSG', damage.sentence, options);
		this.damage = damage;
	}
}

/** `5` or `5 to 9`. */
export function seqRangeText(fromSeq: number, toSeq: number | null): string {
	if (toSeq === null) return `${fromSeq} and later`;
	return fromSeq === toSeq ? `${fromSeq}` : `${fromSeq} to ${toSeq}`;
}
