/** Files that say which process something is. A pid counts only with its start ticks and boot id: pids are reused. */
import {readFileSync} from 'node:fs';
import {isAlive, startTicksOf} from '../../exec/real/proc.ts';
import type {ProcessId} from '../../exec/task-record.ts';
import {readSmallFile, replaceVolatileFile} from './small-file.ts';

export interface ProcessName extends ProcessId {
	readonly bootId: string;
}

/** How others can name this process. */
export function ownName(): ProcessName {
	return nameOf(process.pid) ?? {pid: process.pid, startTicks: 0, bootId: bootId()};
}

/** The name of a process that is there now, or null. */
export function nameOf(pid: number): ProcessName | null {
	const startTicks = startTicksOf(pid);
	return startTicks === undefined ? null : {pid, startTicks, bootId: bootId()};
}

/** Whether this very process is alive. A zombie is not. */
export function isNamedAlive(name: ProcessName): boolean {
	return name.bootId === bootId() && isAlive(name);
}

export async function writePidFile(path: string, name: ProcessName): Promise<void> {
	// Not synced: a pid counts only in the boot that it is from.
	await replaceVolatileFile(path, `${JSON.stringify(name)}\n`);
}

/** The process that a pid file names, or null when there is no such file, or it is damaged. */
export async function readPidFile(path: string): Promise<ProcessName | null> {
	return parseName(await readSmallFile(path));
}

/** The name in a JSON text, or null. */
export function parseName(text: string | null): ProcessName | null {
	if (text === null) return null;
	try {
		return asName(JSON.parse(text));
	} catch (error) {
		if (error instanceof SyntaxError) return null;
		throw error;
	}
}

/** A value that came as JSON as a name, or null when it is none. */
export function asName(value: unknown): ProcessName | null {
	if (typeof value !== 'object' || value === null) return null;
	const {pid, startTicks, bootId} = value as Record<string, unknown>;
	const isName = Number.isSafeInteger(pid) && (pid as number) > 1 && Number.isSafeInteger(startTicks);
	if (!isName || typeof bootId !== 'string') return null;
	return {pid: pid as number, startTicks: startTicks as number, bootId};
}

let cachedBootId: string | undefined;

/** The kernel's boot id. */
export function bootId(): string {
	return (cachedBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim());
}
