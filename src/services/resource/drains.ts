/** Draining and undraining (RFC 44): which facts follow from what an admin asks, or why it is refused. As a whole: all or none. */
import {SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import type {NodeDrain} from '../../machines/node.ts';
import type {Core} from '../core.ts';
import type {Resources} from './resources.ts';

export interface DrainRequest {
	/** An idset or a hostlist. */
	readonly targets: string;
	readonly reason: string;
	readonly userid: number;
	/**
	 * Of targets that are drained already: '' refuses, unless no reason was given then; `update` leaves them as they are;
	 * `overwrite` gives them the new reason, `force-overwrite` the new time as well.
	 */
	readonly mode: string;
}

export interface UndrainRequest {
	readonly targets: string;
	readonly reason: string;
	readonly userid: number;
	/** '' refuses targets that are not drained; `force` passes them over. */
	readonly mode: string;
}

/** So long may a reason be. */
export const DRAIN_REASON_LENGTH_MAX = 4096;

export class Drains {
	readonly #core: Core;
	readonly #resources: Resources;

	constructor(core: Core, resources: Resources) {
		this.#core = core;
		this.#resources = resources;
	}

	/** @throws {SystemError} EINVAL for targets that are not there, are drained already, or a mode that is none. */
	drain({targets, reason, userid, mode}: DrainRequest): void {
		if (!['', 'update', 'overwrite', 'force-overwrite'].includes(mode)) {
			throw new SystemError('EINVAL', `resource.drain: '${mode}' is no mode`);
		}
		checkReason(reason);
		const ranks = this.#resources.ranksOf(targets);
		const drained = ranks.filter(rank => this.#drainOf(rank) !== null);
		const settled = drained.filter(rank => this.#drainOf(rank)?.reason !== '');
		if (mode === '' && settled.length > 0) {
			throw new SystemError('EINVAL', `rank(s) ${Idset.from(settled).toString()} already drained`);
		}
		const isLeft = new Set(mode === 'update' ? settled : []);
		const nowMs = this.#core.clock.epochMs();
		for (const rank of ranks) {
			if (isLeft.has(rank)) continue;
			const before = this.#drainOf(rank);
			const sinceMs = before === null || mode === 'force-overwrite' ? nowMs : before.sinceMs;
			this.#core.post({type: 'node.drain', rank, reason, userid, sinceMs});
		}
		this.#core.log(
			'notice',
			`drained rank(s) ${Idset.from(ranks).toString()}: ${reason || 'no reason given'}`,
		);
	}

	/** @throws {SystemError} EINVAL for targets that are not there or not drained. */
	undrain({targets, reason, userid, mode}: UndrainRequest): void {
		if (!['', 'force'].includes(mode)) {
			throw new SystemError('EINVAL', `resource.undrain: '${mode}' is no mode`);
		}
		checkReason(reason);
		const ranks = this.#resources.ranksOf(targets);
		const drained = ranks.filter(rank => this.#drainOf(rank) !== null);
		if (mode === '' && drained.length < ranks.length) {
			const others = Idset.from(ranks).difference(Idset.from(drained));
			throw new SystemError('EINVAL', `rank${others.count > 1 ? 's' : ''} ${others.toString()} not drained`);
		}
		for (const rank of drained) this.#core.post({type: 'node.undrain', rank, reason, userid});
		this.#core.log('notice', `undrained rank(s) ${Idset.from(drained).toString()}`);
	}

	#drainOf(rank: number): NodeDrain | null {
		return this.#core.state.nodes.get(rank)?.context.drain ?? null;
	}
}

function checkReason(reason: string): void {
	if (reason.length > DRAIN_REASON_LENGTH_MAX) {
		throw new SystemError('EINVAL', `a reason may have at most ${DRAIN_REASON_LENGTH_MAX} characters`);
	}
}
