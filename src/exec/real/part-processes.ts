/**
 * The processes of one part, however they are told from others: by its cgroup (`CgroupProcesses`), or by sessions and marks
 * (`SessionProcesses`). Who supervises a part needs not know which.
 */

import type {PartRole} from '../process-table.ts';

export interface PartProcesses {
	/** Makes ready what the first process needs. @throws {SystemError} */
	prepare(): void;
	/** Whether anything of this role (of any, without one) is alive, or may be. Zombies are dead. */
	isPopulated(role?: PartRole): boolean;
	/** The pids of a role. */
	pids(role: PartRole): readonly number[];
	/** Takes notice of what is there, before more of it can get away. */
	remember(): void;
	/** Sends a signal to each process of a role; how many got it. */
	signal(role: PartRole, signum: number): number;
	/** SIGKILL to all of a role, or of any. What is forked meanwhile may be left: to be called until it is empty. */
	kill(role?: PartRole): void;
	/**
	 * Makes sure that nothing of a role is there and, without one, that no late shim can begin anything. False: something is
	 * alive, or may be: try again later.
	 */
	remove(role?: PartRole): boolean;
	/** Calls `onChange` when the part has become empty, perhaps also without that, perhaps never. */
	watch(onChange: () => void): {close(): void};
	/** It is over and forgotten. */
	close(): void;
}
