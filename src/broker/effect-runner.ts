/**
 * Turns the effects that are derived from states into performed ones: each once in a boot, again after its rank
 * was reconciled anew, never before the facts behind it are durable, and not at all when it is no longer wanted by the
 * time it could leave.
 */
import type {Effect, EffectKind} from '../machines/effects.ts';
import type {Performer} from '../services/core.ts';

export interface EffectRunnerOptions {
	/** This broker's rank. Default: none, all effects wait at the gate. */
	readonly rank?: number;
	/** The gate. */
	readonly leave: (run: () => void) => void;
	/** Posts a fact that follows from a state by rule, unless it is not wanted any more when its turn comes. */
	readonly advance: (fact: Extract<Effect, {kind: 'advance'}>['fact'], isWanted: () => boolean) => void;
	/** Runs what is done about a job. Default: as it is. */
	readonly inHand?: (id: bigint, run: () => void) => void;
}

export class EffectRunner {
	readonly #options: EffectRunnerOptions;
	readonly #performers = new Map<EffectKind, Performer<Effect>>();
	/** What each entity wants at present: mostly one effect, rarely more than one for each rank. */
	readonly #wanted = new Map<string, readonly Effect[]>();
	readonly #reconciled = new Set<number>();
	/** Last effects for ranks that were not reconciled when their entity left memory, by rank. */
	readonly #held = new Map<number, Effect[]>();
	/** False during a replay: effects are only noted. */
	#isLive = false;

	constructor(options: EffectRunnerOptions) {
		this.#options = options;
	}

	register(kind: EffectKind, performer: Performer<Effect>): void {
		if (this.#performers.has(kind)) throw new Error(`two performers for ${kind}`);
		this.#performers.set(kind, performer);
	}

	/** The replay is over: performs all that is wanted. */
	goLive(): void {
		this.#isLive = true;
		for (const effects of [...this.#wanted.values()]) {
			for (const effect of effects) this.#issue(effect);
		}
	}

	/** Takes note of what `entity` wants now. */
	update(entity: string, effects: readonly Effect[]): void {
		const before = this.#wanted.get(entity);
		if (effects.length === 0 && before === undefined) return;
		if (effects.length === 0) this.#wanted.delete(entity);
		else this.#wanted.set(entity, effects);
		if (!this.#isLive) return;
		for (const effect of notIn(before ?? [], effects)) this.#performers.get(effect.kind)?.withdraw?.(effect);
		for (const effect of notIn(effects, before ?? [])) this.#issue(effect);
	}

	/**
	 * Performs the last effects of an entity that is leaving memory; they are never withdrawn. Those for a rank that is being
	 * reconciled wait for it: its inventory may have been judged already, while the entity was there.
	 */
	last(effects: readonly Effect[]): void {
		if (!this.#isLive) return;
		for (const effect of effects) {
			if ('rank' in effect && !this.#reconciled.has(effect.rank)) {
				this.#held.set(effect.rank, [...(this.#held.get(effect.rank) ?? []), effect]);
			} else {
				this.#perform(effect);
			}
		}
	}

	isReconciled(rank: number): boolean {
		return this.#reconciled.has(rank);
	}

	reconciled(rank: number): void {
		this.#reconciled.add(rank);
		for (const effects of [...this.#wanted.values()]) {
			for (const effect of effects) {
				if ('rank' in effect && effect.rank === rank) this.#issue(effect);
			}
		}
		const held = this.#held.get(rank) ?? [];
		this.#held.delete(rank);
		for (const effect of held) this.#perform(effect);
	}

	/** From here on the rank's next inventory is judged by what there is now: it asks for what was held. */
	unreconciled(rank: number): void {
		this.#reconciled.delete(rank);
		this.#held.delete(rank);
	}

	/** Performs effects of one kind again, whose performer lost what it was told. */
	again(kind: EffectKind): void {
		for (const effects of [...this.#wanted.values()]) {
			for (const effect of effects) if (effect.kind === kind) this.#issue(effect);
		}
	}

	#perform(effect: Effect, isWanted: () => boolean = () => true): void {
		if (this.#isFactual(effect)) return this.#performNow(effect);
		this.#options.leave(() => {
			if (isWanted()) this.#performNow(effect);
		});
	}

	/**
	 * Orders to this broker's own rank, and its reports, are asked of services that note facts and pass the gate themselves before
	 * anything leaves (`HandlerOptions.isFactual`), as each message to another rank does.
	 */
	#isFactual(effect: Effect): boolean {
		return effect.kind === 'report' || ('rank' in effect && effect.rank === this.#options.rank);
	}

	#performNow(effect: Effect): void {
		const performer = this.#performers.get(effect.kind);
		const {inHand} = this.#options;
		if (inHand === undefined || effect.kind === 'advance') performer?.perform(effect);
		else inHand(effect.id, () => performer?.perform(effect));
	}

	#issue(effect: Effect): void {
		if (effect.kind === 'advance') {
			this.#options.advance(effect.fact, () => this.#isWanted(effect));
			return;
		}
		if (effect.kind === 'alloc' || effect.kind === 'await') {
			// The scheduler's queue, and the watch over dependencies, are part of this process: nothing leaves, so nothing waits.
			this.#performNow(effect);
			return;
		}
		if ('rank' in effect && !this.#reconciled.has(effect.rank)) return;
		this.#perform(effect, () => this.#isWanted(effect));
	}

	#isWanted(effect: Effect): boolean {
		if ('rank' in effect && !this.#reconciled.has(effect.rank)) return false;
		for (const entity of entitiesOf(effect))
			if (this.#wanted.get(entity)?.some(({key}) => key === effect.key) === true) return true;
		return false;
	}
}

/** So many are compared one by one. */
const FEW = 8;

/** Those of `effects` whose keys are not among the others', each key once. */
function notIn(effects: readonly Effect[], others: readonly Effect[]): readonly Effect[] {
	if (effects.length === 0) return effects;
	if (effects.length === 1 && others.length === 0) return effects;
	if (effects.length <= FEW && others.length <= FEW) {
		return effects.filter(
			({key}, index) =>
				!others.some(other => other.key === key) && effects.findIndex(one => one.key === key) === index,
		);
	}
	const seen = new Set(others.map(({key}) => key));
	return effects.filter(({key}) => !seen.has(key) && seen.add(key));
}

/** The names under which a job's and a part's effects are kept. */
export function jobEntity(id: bigint): string {
	return `j${id}`;
}

export function partEntity(key: string): string {
	return `p${key}`;
}

function entitiesOf(effect: Effect): readonly string[] {
	if (effect.kind === 'advance') return [jobEntity(effect.fact.id)];
	const job = jobEntity(effect.id);
	return 'attempt' in effect ? [job, partEntity(`${effect.id}.${effect.attempt}`)] : [job];
}
