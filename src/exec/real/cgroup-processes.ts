/** The processes of a part that has a cgroup: the kernel keeps them together, whatever they do. */

import type {PartRole} from '../process-table.ts';
import {CgroupWatch} from './cgroup-watch.ts';
import {isPopulated, killCgroup, makePartCgroup, pidsIn, removeCgroup} from './cgroup.ts';
import type {PartProcesses} from './part-processes.ts';
import {sendSignal} from './proc.ts';

export class CgroupProcesses implements PartProcesses {
	readonly #path: string;

	constructor(path: string) {
		this.#path = path;
	}

	prepare(): void {
		makePartCgroup(this.#path);
	}

	isPopulated(role?: PartRole): boolean {
		return isPopulated(this.#pathOf(role));
	}

	pids(role: PartRole): readonly number[] {
		return pidsIn(this.#pathOf(role));
	}

	remember(): void {
		// The kernel does.
	}

	signal(role: PartRole, signum: number): number {
		return this.pids(role).filter(pid => sendSignal(pid, signum)).length;
	}

	kill(role?: PartRole): void {
		killCgroup(this.#pathOf(role));
	}

	remove(role?: PartRole): boolean {
		return removeCgroup(this.#pathOf(role));
	}

	watch(onChange: () => void): {close(): void} {
		return new CgroupWatch(this.#path, onChange);
	}

	close(): void {
		// The cgroup is gone.
	}

	#pathOf(role: PartRole | undefined): string {
		return role === undefined ? this.#path : `${this.#path}/${role}`;
	}
}
