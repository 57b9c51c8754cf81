/** Writes a machine as a page of Markdown: diagram, states, transitions, facts, effects. Pure; the page is docs/machines.md. */
import {brokerMachine} from './broker.ts';
import {jobMachine} from './job.ts';
import type {Fact, Machine, Transition} from './machine.ts';
import {nodeMachine} from './node.ts';
import {partMachine} from './part.ts';
import {peerMachine} from './peer.ts';
import {queueMachine} from './queue.ts';
import {nodeWords, queueWords} from './resource-words.ts';
import {rpcMachine} from './rpc.ts';
import {brokerWords, jobWords, partWords, peerWords, rpcWords, type MachineWords} from './words.ts';

/** The whole of docs/machines.md. */
export function describeMachines(): string {
	return [
		HEAD,
		describeMachine(jobMachine, jobWords),
		describeMachine(partMachine, partWords),
		describeMachine(rpcMachine, rpcWords),
		describeMachine(peerMachine, peerWords),
		describeMachine(nodeMachine, nodeWords),
		describeMachine(queueMachine, queueWords),
		describeMachine(brokerMachine, brokerWords),
	].join('\n');
}

/** @throws {Error} when a state, fact, guard or action has no words, or words have nothing that they are about. */
export function describeMachine<C, F extends Fact>(machine: Machine<C, F>, words: MachineWords): string {
	checkWords(machine, words);
	return [
		`## ${words.title}`,
		'',
		words.text,
		'',
		...diagramOf(machine),
		'',
		...table(
			['state', 'what holds in it'],
			machine.states.map(state => [code(state), words.states[state] ?? '']),
		),
		'',
		'What each fact does where. Any other fact is refused, and then nothing has changed.',
		'',
		...table(['fact', 'from', 'to', 'only if', 'then'], transitionRows(machine, words)),
		'',
		...table(
			['action', 'what it does'],
			Object.entries(words.actions).map(([name, text]) => [code(name), text]),
		),
		'',
		`What each fact says. Besides its own fields it has \`type\`, \`atMs\` (when, in epoch milliseconds)${
			words.common === 'nothing' ? '' : `, and ${words.common}`
		}.`,
		'',
		...table(['fact', 'says', 'fields'], factRows(words)),
		'',
		...effectsOf(machine, words),
	].join('\n');
}

const HEAD = `# Machines

This page is written by \`npm run docs\` from the charts in \`src/machines/\`; a test keeps it equal to them.

Everything that a broker logs is the state of one of seven machines, and changes only by facts of the event log
([event-log.md](event-log.md)). A machine is a flat XState chart: guards and actions are pure functions of the state and
the fact, so a replay reaches the same state. What has to be done in the world is derived from the state, never from the
fact: the same effects are wanted after a crash as before it. Why it is built like this is in
[architecture.md](architecture.md).
`;

/** Moves only; facts that leave an entity where it is are in the table. */
function diagramOf<C, F extends Fact>(machine: Machine<C, F>): string[] {
	const moves = new Map<string, Set<string>>();
	for (const {from, type, transition} of transitionsOf(machine)) {
		if (transition.target === null || transition.target === from) continue;
		const key = `${from} --> ${transition.target}`;
		moves.set(key, (moves.get(key) ?? new Set()).add(shortName(machine, type)));
	}
	return [
		'```mermaid',
		'stateDiagram-v2',
		`    [*] --> ${machine.initial().value}`,
		...[...moves].map(([key, names]) => `    ${key}: ${[...names].join(', ')}`),
		...machine.states
			.filter(value => machine.isFinal({...machine.initial(), value}))
			.map(state => `    ${state} --> [*]`),
		'```',
	];
}

/** Equal transitions of several states in one row, in the order of the chart. */
function transitionRows<C, F extends Fact>(machine: Machine<C, F>, words: MachineWords): string[][] {
	const rows = new Map<string, {from: string[]; type: string; transition: Transition<C, F>; not: string[]}>();
	for (const {from, type, transition, not} of transitionsOf(machine)) {
		const {guardName, target, actionNames} = transition;
		const key = JSON.stringify([type, guardName, not, target, actionNames]);
		const row = rows.get(key);
		if (row === undefined) rows.set(key, {from: [from], type, transition, not});
		else row.from.push(from);
	}
	const order = Object.keys(words.facts);
	return [...rows.values()]
		.sort((a, b) => order.indexOf(a.type) - order.indexOf(b.type))
		.map(({from, type, transition: {guardName, target, actionNames}, not}) => [
			code(type),
			from.map(code).join(', '),
			target === null ? 'stays' : code(target),
			guardName === null
				? not.map(name => `otherwise than \`${name}\``).join(', ')
				: `${code(guardName)}: ${words.guards[guardName]}`,
			actionNames.map(code).join(', '),
		]);
}

function factRows(words: MachineWords): string[][] {
	return Object.entries(words.facts).map(([type, {says, fields}]) => [
		code(type),
		says,
		Object.entries(fields)
			.map(([name, text]) => `${code(name)}: ${text}`)
			.join('; '),
	]);
}

function effectsOf<C, F extends Fact>(machine: Machine<C, F>, {effects}: MachineWords): string[] {
	const rows = machine.states.flatMap(state =>
		Object.entries(effects[state] ?? {}).map(([kind, text]) => [code(state), code(kind), text ?? '']),
	);
	if (rows.length === 0) return ['No effect is derived from its states.', ''];
	return [
		'What is wanted in each state. While an `advance`, a fact that follows by rule, is due, it is the only thing wanted.',
		'',
		...table(['state', 'effect', 'what'], rows),
		'',
	];
}

/** Every transition with the guards that were asked before it and said no. */
function transitionsOf<C, F extends Fact>(machine: Machine<C, F>) {
	return [...machine.table].flatMap(([from, row]) =>
		[...row].flatMap(([type, list]) =>
			list.map((transition, index) => ({
				from,
				type,
				transition,
				not: list.slice(0, index).flatMap(({guardName}) => (guardName === null ? [] : [guardName])),
			})),
		),
	);
}

function checkWords<C, F extends Fact>(machine: Machine<C, F>, words: MachineWords): void {
	const transitions = transitionsOf(machine);
	const used = {
		states: machine.states,
		facts: transitions.map(({type}) => type),
		guards: transitions.flatMap(({transition: {guardName}}) => guardName ?? []),
		actions: transitions.flatMap(({transition: {actionNames}}) => actionNames),
	};
	for (const [kind, names] of Object.entries(used)) {
		const written = Object.keys(words[kind as keyof typeof used]);
		const missing = [...new Set(names)].filter(name => !written.includes(name));
		const idle = written.filter(name => !names.includes(name));
		if (missing.length > 0) throw new Error(`${machine.name}: ${kind} without words: ${missing.join(', ')}`);
		if (idle.length > 0)
			throw new Error(`${machine.name}: words for ${kind} that are not: ${idle.join(', ')}`);
	}
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
	const line = (cells: readonly string[]) =>
		`| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
	return [line(heads), `|${heads.map(() => '---').join('|')}|`, ...rows.map(line)];
}

function shortName({name}: {readonly name: string}, type: string): string {
	return type.startsWith(`${name}.`) ? type.slice(name.length + 1) : type;
}

function code(text: string): string {
	return `\`${text}\``;
}
