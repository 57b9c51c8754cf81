/**
 * What a simulated task does: when it writes and ends, and what it does about signals. Owns a reader for the
 * few commands that tests use, so that one contract suite runs the same command lines on both hosts.
 */

import type {OutputStream} from '../ports/process-host.ts';

export interface ScriptedOutput {
	readonly afterMs: number;
	readonly stream: OutputStream;
	readonly text: string;
}

export interface TaskScript {
	/** From start to end; Infinity: until a signal. */
	readonly durationMs: number;
	/** The raw wait status at its own end. */
	readonly waitStatus: number;
	readonly output?: readonly ScriptedOutput[];
	/** Signals that have no effect. */
	readonly ignores?: readonly number[];
	/** Signals that end the task with a wait status of its choice. */
	readonly traps?: ReadonlyMap<number, number>;
	/** It copies its stdin to stdout and ends with that, if its part has a stdin; otherwise it ends at once. */
	readonly echoesInput?: boolean;
	/** After its time it enters so many PMI barriers, one after the other, and ends when it has passed them. */
	readonly barriers?: number;
	/** Why the task could not be started. */
	readonly error?: string;
}

const SIGNUMS: Readonly<Record<string, number>> = {HUP: 1, INT: 2, KILL: 9, USR1: 10, ALRM: 14, TERM: 15};

/**
 * Reads `sleep N`, `cat`, `barrier N` (PMI), `true`, `false`, `exit N`, `echo TEXT [>&2]`, `trap '' SIG`, `trap 'exit N' SIG` and
 * `kill -SIG $$`, alone or as `sh -c 'A; B'`. Any other command is not found (127).
 */
export function scriptOf(argv: readonly string[]): TaskScript {
	const isShell = /(^|\/)sh$/.test(argv[0] ?? '') && argv[1] === '-c';
	const commands = isShell ? splitCommands(argv[2] ?? '') : [argv.join(' ')];
	const output: ScriptedOutput[] = [];
	const ignores: number[] = [];
	const traps = new Map<number, number>();
	let durationMs = 0;
	let echoesInput = false;
	let barriers = 0;
	const ended = (waitStatus: number) => ({
		durationMs,
		waitStatus,
		output,
		ignores,
		traps,
		...(echoesInput ? {echoesInput} : {}),
		...(barriers > 0 ? {barriers} : {}),
	});
	let last = 0;
	for (const command of commands) {
		const words = command.split(/\s+/);
		const name = (words[0] ?? '').replace(/^.*\//, '');
		last = 0;
		if (name === 'sleep') durationMs += Number(words[1]) * 1000;
		else if (name === 'cat') echoesInput = true;
		else if (name === 'barrier') barriers += Number(words[1] ?? 1);
		else if (name === 'false') last = 1 << 8;
		else if (name === 'exit') return ended(Number(words[1] ?? 0) << 8);
		else if (name === 'kill') return ended(signumOf(words[1] ?? ''));
		else if (name === 'trap') readTrap(command, {ignores, traps});
		else if (name === 'echo') output.push(readEcho(command, durationMs));
		else if (name !== 'true') {
			const error = `${words[0]}: No such file or directory`;
			output.push({afterMs: durationMs, stream: 'stderr', text: `coppice: ${error}\n`});
			return isShell ? ended(127 << 8) : {...ended(127 << 8), error};
		}
	}
	return ended(last);
}

function splitCommands(text: string): string[] {
	return (text.match(/(?:'[^']*'|"[^"]*"|[^;\n'"])+/g) ?? []).map(part => part.trim()).filter(Boolean);
}

function readTrap(command: string, {ignores, traps}: {ignores: number[]; traps: Map<number, number>}): void {
	const match = /^trap\s+'([^']*)'\s+(.*)$/.exec(command);
	if (match === null) throw new Error(`the simulated task can't read: ${command}`);
	const exit = /exit\s+(\d+)/.exec(match[1] ?? '');
	for (const name of (match[2] ?? '').split(/\s+/)) {
		if (match[1] === '') ignores.push(signumOf(name));
		else traps.set(signumOf(name), Number(exit?.[1] ?? 0) << 8);
	}
}

function readEcho(command: string, afterMs: number): ScriptedOutput {
	const toStderr = />&2\s*$/.test(command);
	const text = command
		.replace(/^\S+\s*/, '')
		.replace(/\s*>&2\s*$/, '')
		.replaceAll(/["']/g, '');
	return {afterMs, stream: toStderr ? 'stderr' : 'stdout', text: `${text}\n`};
}

function signumOf(name: string): number {
	const bare = name.replace(/^-?(SIG)?/, '');
	const signum = SIGNUMS[bare] ?? Number(bare);
	if (!Number.isInteger(signum)) throw new Error(`the simulated task does not know the signal ${name}`);
	return signum;
}
