/** Goal: a chart with anything that a replay could not repeat is refused when it is compiled, by the name of the thing. */
import test from 'ava';
import {assign, createMachine, setup, type AnyStateMachine} from 'xstate';
import {compileMachine, IllegalFactError, type Fact} from '../../src/machines/machine.ts';

const kit = setup({
	types: {
		context: {} as {n: number},
		events: {} as {type: 'go'; atMs: number} | {type: 'stop'; atMs: number},
	},
	guards: {yes: () => true},
	actions: {
		add: assign(({context}) => ({n: context.n + 1})),
		object: assign({n: 0}),
		noise: () => undefined,
	},
});

const compile = (chart: unknown) =>
	compileMachine<{n: number}, Fact>(chart as AnyStateMachine, () => 'thing 1');
const withA = (a: object, rest: object = {}) =>
	kit.createMachine({id: 'm', initial: 'a', context: {n: 0}, states: {a, b: {}}, ...rest} as never);

test('what names only guards, actions and targets compiles', t => {
	const machine = compile(
		withA({description: 'd', on: {go: {guard: 'yes', target: 'b', actions: ['add', 'add']}}}),
	);
	const after = machine.apply(machine.initial(), {type: 'go', atMs: 1});
	t.deepEqual(after, {value: 'b', context: {n: 2}});
	t.deepEqual(machine.initial(), {value: 'a', context: {n: 0}});
});

function refused(what: string, chart: () => unknown, message: RegExp): void {
	test(`a chart with ${what} is refused`, t => {
		t.throws(() => compile(chart()), {message});
	});
}

refused('after', () => withA({after: {10: 'b'}}), /m\.a: 'after'/);
refused('always', () => withA({always: 'b'}), /m\.a: 'always'/);
refused('invoke', () => withA({invoke: {src: 'x'}}), /m\.a: 'invoke'/);
refused('entry actions', () => withA({entry: 'add'}), /m\.a: 'entry'/);
refused('exit actions', () => withA({exit: 'add'}), /m\.a: 'exit'/);
refused('onDone', () => withA({onDone: 'b'}), /m\.a: 'onDone'/);
refused('nested states', () => withA({initial: 'c', states: {c: {}}}), /m\.a: '(initial|states)'/);
refused('a parallel root', () => withA({}, {type: 'parallel'}), /m: 'type'/);
refused('a history state', () => withA({type: 'history', history: 'deep'}), /m\.a: 'history'/);
refused('root transitions', () => withA({}, {on: {go: '.b'}}), /m: 'on'/);
refused('a wildcard', () => withA({on: {'*': 'b'}}), /no wildcards: \*/);
refused('a partial wildcard', () => withA({on: {'go.*': 'b'}}), /no wildcards: go\.\*/);
refused(
	'an inline guard',
	() => withA({on: {go: {guard: () => true, target: 'b'}}}),
	/guard .*is not a named/,
);
refused(
	'a parametrised guard',
	() => withA({on: {go: {guard: {type: 'yes'}, target: 'b'}}}),
	/guard .*is not a named/,
);
refused('an unknown guard', () => withA({on: {go: {guard: 'no', target: 'b'}}}), /guard "no" is not a named/);
refused(
	'an inline action',
	() => withA({on: {go: {actions: assign({n: 1})}}}),
	/action .*is not a named assign/,
);
refused('an action that is no assign', () => withA({on: {go: {actions: 'noise'}}}), /"noise" is not a named/);
refused('an assign of an object', () => withA({on: {go: {actions: 'object'}}}), /"object" is not a named/);
refused('an unknown action', () => withA({on: {go: {actions: 'nothing'}}}), /"nothing" is not a named/);
refused('reenter', () => withA({on: {go: {target: 'a', reenter: true}}}), /'reenter'/);
refused(
	'a context function',
	() => createMachine({id: 'm', initial: 'a', context: () => ({n: 0}), states: {a: {}}}),
	/context/,
);
refused(
	'a target that is no state',
	() => withA({on: {go: {target: '#m.b', actions: 'add'}}}),
	/target "#m\.b" is not a state/,
);
refused('a forbidden transition', () => withA({on: {go: undefined}}), /m\.a\.go/);

test('a fact that the state does not accept is refused by name and changes nothing', t => {
	const machine = compile(withA({on: {go: 'b'}}));
	const before = machine.initial();
	const error = t.throws(() => machine.apply(before, {type: 'stop', atMs: 1}), {
		instanceOf: IllegalFactError,
	});
	t.is(error.message, 'thing 1 in state a does not accept stop');
	t.deepEqual([error.code, error.entity, error.state, error.fact], ['FACT_ILLEGAL', 'thing 1', 'a', 'stop']);
	t.deepEqual(before, {value: 'a', context: {n: 0}});
});
