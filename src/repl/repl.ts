/**
 * The REPL: JavaScript expressions over a broker's state and log, live or dead. They run in the client, on a copy, so
 * nothing that is typed can touch the broker. What is assigned stays for the expressions that follow.
 */
import {createContext, runInContext, type Context} from 'node:vm';
import {SystemError} from '../formats/errno.ts';
import {encodeJobid} from '../formats/jobid.ts';
import {readJobspec} from '../formats/stored-jobspec.ts';
import type {DurableState} from '../machines/durable-state.ts';
import type {JobContext} from '../machines/job.ts';
import {completionsOf, type Completion} from './complete.ts';
import {matcherOf, type LogFact} from './fact-filter.ts';
import {deferred} from './deferred.ts';
import {describeMachine} from './machines.ts';
import {REPL_NAMES} from './names.ts';
import {renderValue, type RenderOptions} from './render.ts';
import {differences, idOf, jobView, viewOf} from './view.ts';
import {concernsWhy, whyOf} from './why.ts';

/** Where the REPL reads. */
export interface ReplSource {
	/** The state after fact `seq`; null: now. */
	state(seq: number | null): Promise<Moment>;
	/** Facts as plain JSON, both ends included. */
	facts(range: {readonly from: number; readonly to: number}): AsyncIterable<LogFact>;
	/** Facts from `from` on, and then as they come; null: a dead log, to which none comes. */
	readonly follow: ((from: number) => AsyncIterable<LogFact>) | null;
	/** A finished job, or null. */
	archived(id: bigint): Promise<JobContext | null>;
}

export interface Moment {
	readonly seq: number;
	readonly state: DurableState;
}

/** An expression may compute so long without a pause. */
const TIMEOUT_MS = 5000;
const LOG_FACTS_DEFAULT = 20;
const USAGE_CHARS = 15;

export class Repl {
	readonly #source: ReplSource;
	readonly #scope: Context = createContext({});
	#isFilled = false;

	constructor(source: ReplSource) {
		this.#source = source;
	}

	/**
	 * The value of `expression`, awaited; an async iterable for `watch`.
	 * @throws {SystemError} EINVAL with what is wrong with it.
	 */
	async evaluate(expression: string): Promise<unknown> {
		await this.#fill();
		try {
			const code = `(async () => (${expression}\n))()`;
			const value: unknown = await runInContext(code, this.#scope, {timeout: TIMEOUT_MS});
			this.#scope['_'] = value;
			return value;
		} catch (error) {
			if (error instanceof SystemError) throw error;
			const text = isErrorLike(error) ? `${error.name}: ${error.message}` : String(error);
			const names = REPL_NAMES.map(({usage}) => usage).join(' ');
			throw new SystemError('EINVAL', `${expression}: ${text} (names: ${names})`);
		}
	}

	/** How the end of `line` may go on. */
	async complete(line: string): Promise<Completion> {
		if (!this.#isFilled) await this.#fill();
		return completionsOf(line, this.#scope);
	}

	/** As people read it, with a line feed at its end. */
	render(value: unknown, options: RenderOptions): string {
		return renderValue(value, options);
	}

	/** The names stand for the present moment, whatever was assigned to them. */
	async #fill(): Promise<void> {
		const now = await this.#source.state(null);
		Object.assign(this.#scope, viewOf(now.state), this.#questionsOf(now), this.#functionsOf(now));
		this.#isFilled = true;
	}

	/** What can be asked about any moment. */
	#questionsOf({seq, state}: Moment) {
		const source = this.#source;
		return {
			job: lazily(async (job: unknown) => {
				const id = idOf(job);
				const active = state.jobs.get(id);
				if (active !== undefined) return {...jobView(active), jobspec: readJobspec(active.context.jobspec)};
				const ended = await source.archived(id);
				if (ended === null) throw unknownJob(id, state);
				return {...jobView({value: 'inactive', context: ended}), jobspec: readJobspec(ended.jobspec)};
			}),
			why: lazily(async (job: unknown) => {
				const id = idOf(job);
				const facts = await this.#collect(seq, fact => concernsWhy(fact, String(id)));
				return whyOf({state, id, ended: await source.archived(id), facts});
			}),
		};
	}

	#functionsOf({seq}: Moment) {
		const source = this.#source;
		return {
			at: lazily(async (when: number) => {
				const moment = await this.#moment(when, seq);
				// The questions are not shown where the moment is printed.
				const questions = Object.entries(this.#questionsOf(moment));
				const hidden = questions.map(([name, value]) => [name, {value, enumerable: false}] as const);
				return Object.defineProperties(
					{seq: moment.seq, ...viewOf(moment.state)},
					Object.fromEntries(hidden),
				);
			}),
			diff: lazily(async (a: number, b: number) => {
				const [before, after] = [await this.#moment(a, seq), await this.#moment(b, seq)];
				return differences(viewOf(before.state), viewOf(after.state));
			}),
			timeline: lazily(async (job: unknown) => {
				const id = String(idOf(job));
				return this.#collect(seq, fact => fact['id'] === id);
			}),
			log: lazily(async (count: number = LOG_FACTS_DEFAULT) => {
				const facts: LogFact[] = [];
				for await (const fact of source.facts({from: Math.max(1, seq - count + 1), to: seq}))
					facts.push(fact);
				return facts;
			}),
			find: lazily(async (what: unknown) => this.#collect(seq, matcherOf(what))),
			watch: (what?: unknown, count = Number.POSITIVE_INFINITY) => this.#watch(seq + 1, {what, count}),
			machine: describeMachine,
			help: REPL_NAMES.map(one => `${one.usage.padEnd(USAGE_CHARS)} ${one.help}`),
		};
	}

	/** @throws {SystemError} EINVAL: there is no such fact, or it is compacted away. */
	async #moment(when: number, newest: number): Promise<Moment> {
		const seq = Number(when);
		if (!Number.isInteger(seq) || seq < 1 || seq > newest)
			throw new SystemError('EINVAL', `there is no fact ${String(when)}: the newest is ${newest}`);
		return this.#source.state(seq);
	}

	async #collect(to: number, matches: (fact: LogFact) => boolean): Promise<LogFact[]> {
		const found: LogFact[] = [];
		for await (const fact of this.#source.facts({from: 1, to})) if (matches(fact)) found.push(fact);
		return found;
	}

	#watch(
		from: number,
		{what, count}: {readonly what: unknown; readonly count: number},
	): AsyncIterable<LogFact> {
		const {follow} = this.#source;
		if (follow === null)
			throw new SystemError('EINVAL', 'watch: nothing is added to a dead log; use find(what) or log(n)');
		const matches = what === undefined ? () => true : matcherOf(what);
		return (async function* () {
			let seen = 0;
			for await (const fact of follow(from)) {
				if (!matches(fact)) continue;
				yield fact;
				seen += 1;
				if (seen >= count) return;
			}
		})();
	}
}

/** Members of what it gives can be named without waiting for it. */
function lazily<A extends unknown[], T>(ask: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
	return (...args) => deferred(ask(...args));
}

function unknownJob(id: bigint, {broker}: DurableState): SystemError {
	const {rank} = broker.context;
	const advice = rank === 0 ? '' : `: rank ${rank} keeps parts of jobs; rank 0 has those that have not ended`;
	return new SystemError('ENOENT', `there is no job ${encodeJobid(id, 'f58plain')} here${advice}`);
}

function isErrorLike(error: unknown): error is Error {
	return typeof error === 'object' && error !== null && 'message' in error && 'name' in error;
}
