/** The state machines as the REPL shows them: states, and for each which fact leads where, and under what condition. */
import {SystemError} from '../formats/errno.ts';
import {brokerMachine} from '../machines/broker.ts';
import {jobMachine} from '../machines/job.ts';
import {nodeMachine} from '../machines/node.ts';
import {partMachine} from '../machines/part.ts';
import {peerMachine} from '../machines/peer.ts';
import {queueMachine} from '../machines/queue.ts';
import {rpcMachine} from '../machines/rpc.ts';

const MACHINES = [brokerMachine, jobMachine, nodeMachine, partMachine, peerMachine, queueMachine, rpcMachine];

export const MACHINE_NAMES: readonly string[] = MACHINES.map(({name}) => name);

export interface MachineView {
	readonly name: string;
	readonly states: readonly string[];
	/** By state and fact: the transitions that are tried in this order. */
	readonly table: Readonly<
		Record<string, Readonly<Record<string, readonly {readonly guard: string | null; readonly to: string}[]>>>
	>;
}

/** @throws {SystemError} EINVAL when there is none of this name. */
export function describeMachine(name: unknown): MachineView {
	const machine = MACHINES.find(one => one.name === name);
	if (machine === undefined)
		throw new SystemError('EINVAL', `no machine '${String(name)}'; there are ${MACHINE_NAMES.join(' ')}`);
	const table: Record<string, MachineView['table'][string]> = {};
	for (const [state, row] of machine.table) {
		table[state] = Object.fromEntries(
			[...row].map(([fact, transitions]) => [
				fact,
				transitions.map(({guardName, target}) => ({guard: guardName ?? null, to: target ?? state})),
			]),
		);
	}
	return {name: machine.name, states: machine.states, table};
}
