/**
 * Kills and stops processes of an instance, as a seed chooses. Invariant: after `release` nothing is stopped any more; what
 * it did to jobs' shims is remembered, since only that may cost an exit status.
 */
import {ROLES, type Instance} from './instance.ts';
import {processNamed, signalProcess, type ProcessName} from './processes.ts';
import type {Seeded} from './seeded.ts';
import {pause} from './until.ts';

export interface StrikerOptions {
	readonly instance: Instance;
	/** Milliseconds from one strike to the next, each scaled by chance. */
	readonly delaysMs: readonly number[];
}

/** How long something stays stopped: within all limits, torpid, lost. */
const STOPS_MS = [100, 800, 2500, 7000];
const SHIM_SHARE = 0.12;
const STOP_SHARE = 0.25;

export class Striker {
	/** How often each thing was killed or stopped. */
	readonly strikes: Record<string, number> = {};
	/** Ids of jobs of which a shim was killed. */
	readonly shimless = new Set<string>();
	/** Ids of jobs of which a shim was stopped. */
	readonly delayed = new Set<string>();
	readonly #instance: Instance;
	readonly #delaysMs: readonly number[];
	readonly #stopped = new Set<ProcessName>();

	constructor({instance, delaysMs}: StrikerOptions) {
		this.#instance = instance;
		this.#delaysMs = delaysMs;
	}

	async strikeFor(durationMs: number, random: Seeded): Promise<void> {
		const endMs = performance.now() + durationMs;
		while (performance.now() < endMs) {
			// Often within one another's recovery, sometimes with time to settle.
			await pause(random.pick(this.#delaysMs) * random.float() * 2);
			const choice = random.float();
			if (choice < SHIM_SHARE) this.#killShim(random);
			else if (choice < SHIM_SHARE + STOP_SHARE) this.#stopSome(random);
			else this.#killSome(random);
		}
	}

	/** Lets everything go on. */
	release(): void {
		for (const name of this.#stopped) signalProcess(name, 'SIGCONT');
		this.#stopped.clear();
	}

	#killSome(random: Seeded): void {
		const {size} = this.#instance;
		const named = random.some(ROLES).flatMap(role =>
			ranksFor(role, {size, random}).map(rank => ({
				role: nameFor(role, rank),
				name: this.#instance.find(role, rank),
			})),
		);
		const names = named.flatMap(({role, name}) => {
			if (name === null) return [];
			this.#count(`${role} killed`);
			return [name];
		});
		// Stopped first: none can react to the end of another.
		if (random.chance(0.5)) for (const name of names) signalProcess(name, 'SIGSTOP');
		for (const name of names) signalProcess(name, 'SIGKILL');
	}

	#stopSome(random: Seeded): void {
		const role = random.pick(['broker', 'broker', 'shell', 'daemon', 'shim'] as const);
		const stopMs = random.pick(STOPS_MS) * (0.5 + random.float());
		const {size} = this.#instance;
		if (role === 'shim') {
			const shim = this.#someShim(random);
			if (shim === null) return;
			this.delayed.add(shim.id);
			this.#stop(shim.name, {what: role, stopMs});
			return;
		}
		for (const rank of ranksFor(role, {size, random})) {
			const name = this.#instance.find(role, rank);
			if (name !== null) this.#stop(name, {what: nameFor(role, rank), stopMs});
		}
	}

	#stop(name: ProcessName, {what, stopMs}: {what: string; stopMs: number}): void {
		if (!signalProcess(name, 'SIGSTOP')) return;
		this.#count(`${what} stopped`);
		this.#stopped.add(name);
		setTimeout(() => {
			if (this.#stopped.delete(name)) signalProcess(name, 'SIGCONT');
		}, stopMs).unref();
	}

	#killShim(random: Seeded): void {
		const shim = this.#someShim(random);
		if (shim === null) return;
		this.shimless.add(shim.id);
		this.#count('shim killed');
		signalProcess(shim.name, 'SIGKILL');
	}

	#someShim(random: Seeded): {id: string; name: ProcessName} | null {
		const shims = this.#instance.shims();
		if (shims.length === 0) return null;
		const {pid, id} = random.pick(shims);
		const name = processNamed(pid);
		return name === null ? null : {id, name};
	}

	#count(what: string): void {
		this.strikes[what] = (this.strikes[what] ?? 0) + 1;
	}
}

/** Mostly one rank, the root more often than others; sometimes some, seldom all. */
function ranksFor(role: string, {size, random}: {size: number; random: Seeded}): number[] {
	if (size === 1 || role === 'daemon') return [0];
	const all = Array.from({length: size}, (_, rank) => rank);
	const choice = random.float();
	if (choice < 0.25) return [0];
	if (choice < 0.85) return [random.pick(all)];
	return choice < 0.95 ? all.filter(() => random.chance(0.3)) : all;
}

function nameFor(role: string, rank: number): string {
	return role === 'broker' && rank === 0 ? 'root' : role;
}
