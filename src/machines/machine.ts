/**
 * Machines: XState charts compiled to tables (DESIGN section 3).
 *
 * A machine is written as a flat XState v5 chart and only there. `compileMachine` turns the chart into a table
 * `state → fact → transitions` at start, since XState's pure `transition` costs an order more than everything else on
 * the path of a fact. A property test proves the table equal to XState for every machine, state and fact.
 *
 * What a chart may use is what can be replayed: named guards and named `assign` actions, which are pure functions of
 * context and fact. `after`, `invoke`, `spawn`, entry and exit actions, nesting, wildcards and inline functions are
 * refused at compile time.
 */
import type {AnyStateMachine} from 'xstate';

/** Anything that can happen: `type` names it, `atMs` is the wall time in epoch milliseconds, stamped by the shell. */
export interface Fact {
	readonly type: string;
	readonly atMs: number;
}

/** Where an entity stands. Never changed in place. */
export interface Snapshot<C> {
	readonly value: string;
	readonly context: C;
}

/** A fact that the state of its entity does not accept. The entity is as it was, and nothing was written. */
export class IllegalFactError extends Error {
	override readonly name = 'IllegalFactError';
	readonly code = 'FACT_ILLEGAL';
	readonly entity: string;
	readonly state: string;
	readonly fact: string;

	constructor(entity: string, state: string, fact: string) {
		super(`${entity} in state ${state} does not accept ${fact}`);
		this.entity = entity;
		this.state = state;
		this.fact = fact;
	}
}

type Guard<C, F> = (args: {context: C; event: F}) => boolean;
type Assigner<C, F> = (args: {context: C; event: F}) => Partial<C>;

export interface Transition<C, F> {
	readonly guardName: string | null;
	readonly guard: Guard<C, F> | null;
	/** The state to go to, or null: stay. */
	readonly target: string | null;
	readonly actionNames: readonly string[];
	readonly assigners: readonly Assigner<C, F>[];
}

export interface Machine<C, F extends Fact> {
	readonly name: string;
	/** The source: used by the docs generator and by the proof of equality. */
	readonly chart: AnyStateMachine;
	readonly states: readonly string[];
	readonly table: ReadonlyMap<string, ReadonlyMap<string, readonly Transition<C, F>[]>>;
	/** The entity before its first fact. */
	initial(): Snapshot<C>;
	/** Whether `apply` would accept. */
	accepts(snapshot: Snapshot<C>, fact: F): boolean;
	/**
	 * The entity after `fact`; `snapshot` is not changed.
	 * @throws {IllegalFactError} if the state does not accept it.
	 */
	apply(snapshot: Snapshot<C>, fact: F): Snapshot<C>;
	/** No fact can follow. */
	isFinal(snapshot: Snapshot<C>): boolean;
}

export function compileMachine<C extends object, F extends Fact>(
	chart: AnyStateMachine,
	describe: (context: C) => string,
): Machine<C, F> {
	const config = chart.config as unknown as ChartConfig;
	const guards = chart.implementations.guards as unknown as Record<string, Guard<C, F>>;
	const actions = chart.implementations.actions as unknown as Record<string, AssignAction<C, F>>;
	refuse(chart.id, config, ROOT_KEYS);
	if (typeof config.context !== 'object') throw new Error(`${chart.id}: the context must be a value`);
	const table = new Map<string, Map<string, Transition<C, F>[]>>();
	const finals = new Set<string>();
	for (const [state, node] of Object.entries(config.states)) {
		refuse(`${chart.id}.${state}`, node, STATE_KEYS);
		if (node.type === 'final') finals.add(state);
		const row = new Map<string, Transition<C, F>[]>();
		for (const [type, written] of Object.entries(node.on ?? {})) {
			if (type.includes('*')) throw new Error(`${chart.id}.${state}: no wildcards: ${type}`);
			const list = Array.isArray(written) ? written : [written];
			row.set(
				type,
				list.map(one => compileTransition(`${chart.id}.${state}.${type}`, one, {config, guards, actions})),
			);
		}
		table.set(state, row);
	}
	const context = config.context as C;
	const initial: Snapshot<C> = {value: config.initial, context};
	const find = (snapshot: Snapshot<C>, fact: F) =>
		table
			.get(snapshot.value)
			?.get(fact.type)
			?.find(({guard}) => guard === null || guard({context: snapshot.context, event: fact}));
	return {
		name: chart.id,
		chart,
		states: [...table.keys()],
		table,
		initial: () => initial,
		accepts: (snapshot, fact) => find(snapshot, fact) !== undefined,
		isFinal: snapshot => finals.has(snapshot.value),
		apply(snapshot, fact) {
			const transition = find(snapshot, fact);
			if (transition === undefined) {
				throw new IllegalFactError(describe(snapshot.context), snapshot.value, fact.type);
			}
			const {target, assigners} = transition;
			return {
				value: target ?? snapshot.value,
				context: assigners.length === 0 ? snapshot.context : assigned(snapshot.context, {assigners, fact}),
			};
		},
	};
}

/** One copy for all assigners: each sees what those before it have assigned. */
function assigned<C extends object, F>(
	context: C,
	{assigners, fact}: {readonly assigners: readonly Assigner<C, F>[]; readonly fact: F},
): C {
	const next = {...context};
	for (const assigner of assigners) Object.assign(next, assigner({context: next, event: fact}));
	return next;
}

interface WrittenTransition {
	readonly guard?: unknown;
	readonly target?: string;
	readonly actions?: string | readonly string[];
}

interface ChartConfig {
	readonly initial: string;
	readonly context: unknown;
	readonly states: Record<
		string,
		{
			readonly type?: string;
			readonly on?: Record<string, string | WrittenTransition | WrittenTransition[] | undefined>;
		}
	>;
}

interface AssignAction<C, F> {
	readonly type: string;
	readonly assignment: Assigner<C, F>;
}

interface Parts<C, F> {
	readonly config: ChartConfig;
	readonly guards: Record<string, Guard<C, F>>;
	readonly actions: Record<string, AssignAction<C, F>>;
}

const ROOT_KEYS = new Set(['id', 'initial', 'context', 'states', 'description', 'version', 'schemas']);
const STATE_KEYS = new Set(['type', 'on', 'description']);
const TRANSITION_KEYS = new Set(['guard', 'target', 'actions', 'description']);

function refuse(where: string, written: object, allowed: ReadonlySet<string>): void {
	for (const key of Object.keys(written)) {
		if (!allowed.has(key))
			throw new Error(`${where}: '${key}' cannot be replayed, so a machine may not use it`);
	}
}

function compileTransition<C, F>(
	where: string,
	transition: string | WrittenTransition | undefined,
	{config, guards, actions}: Parts<C, F>,
): Transition<C, F> {
	if (transition === undefined) throw new Error(`${where}: leave out what is not accepted`);
	const written: WrittenTransition = typeof transition === 'string' ? {target: transition} : transition;
	refuse(where, written, TRANSITION_KEYS);
	const {guard: guardName = null, target = null} = written;
	if (target !== null && !Object.hasOwn(config.states, target)) {
		throw new Error(`${where}: target ${JSON.stringify(target)} is not a state of the chart`);
	}
	const guard = guardName === null ? null : guards[guardName as string];
	if (guard === undefined) throw new Error(`${where}: guard ${JSON.stringify(guardName)} is not a named one`);
	const actionNames: readonly string[] = [written.actions ?? []].flat();
	const assigners = actionNames.map(name => {
		const action = actions[name];
		if (action?.type !== 'xstate.assign' || typeof action.assignment !== 'function') {
			throw new Error(`${where}: action ${JSON.stringify(name)} is not a named assign(function)`);
		}
		return action.assignment;
	});
	return {guardName: guardName as string | null, guard, target, actionNames, assigners};
}
