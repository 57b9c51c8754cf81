/** The world of a real process: files, terminal, signals, users. */
import {promises, readFileSync} from 'node:fs';
import {installedFile, installedVersion} from '../../ports/real/installation.ts';
import {SystemRandom} from '../../ports/real/system-random.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';
import {parseProcLimits} from '../../formats/rlimit.ts';
import {asSystemError} from '../../formats/errno.ts';
import {UnixTransport} from '../../net/real/unix-transport.ts';
import type {ReadLinesOptions, World} from '../context.ts';
import {fileError} from './file-error.ts';
import {ProcessSink} from './process-sink.ts';
import {ProcessSource} from './process-source.ts';

export function realWorld(openRepl: World['openRepl']): World {
	return {
		env: process.env,
		cwd: workingDirectory(),
		userid: process.getuid!(),
		get umask() {
			return process.umask();
		},
		get version() {
			return installedVersion();
		},
		get commandPath() {
			return installedFile('bin/coppice');
		},
		clock: new SystemClock(),
		random: new SystemRandom(),
		transport: new UnixTransport(),
		stdout: new ProcessSink(process.stdout, 'standard output'),
		stderr: new ProcessSink(process.stderr, 'standard error'),
		stdin: new ProcessSource(),
		readFile: path => readText(path),
		writeFile: writeChunk,
		resourceLimits,
		readInput,
		readLines,
		openRepl,
		exists,
		processStart,
		onSignal: (name, handle) => {
			process.on(name, handle);
			return () => process.off(name, handle);
		},
		usernameOf,
		useridOf,
		utcOffsetMinutes: epochS => -new Date(epochS * 1000).getTimezoneOffset(),
	};
}

/** The shell's idea of it, symbolic links kept, when it is true; a directory that was removed is no reason to fail. */
function workingDirectory(): string {
	try {
		return process.cwd();
	} catch {
		return '/';
	}
}

async function readText(path: string): Promise<string> {
	try {
		return await promises.readFile(path, 'utf8');
	} catch (error) {
		throw fileError(error, path);
	}
}

const writeChunk: World['writeFile'] = async (path, chunk, {append = false} = {}) => {
	try {
		await promises.writeFile(path, chunk, {flag: append ? 'a' : 'w'});
	} catch (error) {
		throw fileError(error, path);
	}
};

/** Node raises its own limit of open files to the hard one at its start: that of its parent is what the user has. */
async function resourceLimits(): Promise<Readonly<Record<string, number>>> {
	try {
		const own = parseProcLimits(await promises.readFile('/proc/self/limits', 'utf8'));
		const {nofile} = parseProcLimits(
			await promises.readFile(`/proc/${process.ppid}/limits`, 'utf8').catch(() => ''),
		);
		return nofile === undefined ? own : {...own, nofile};
	} catch {
		return {}; // Then the job has those of its node.
	}
}

async function readInput(): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks).toString('utf8');
}

/** Loaded late: no other command needs it. */
async function* readLines(options: ReadLinesOptions): AsyncGenerator<string> {
	const {readTypedLines} = await import('./read-lines.ts');
	yield* readTypedLines(options);
}

async function exists(path: string): Promise<boolean> {
	try {
		await promises.lstat(path);
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
		throw asSystemError(error, 'EIO', path);
	}
}

/** Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold anything, so what follows its last bracket counts. */
async function processStart(pid: number): Promise<string | null> {
	try {
		const stat = await promises.readFile(`/proc/${pid}/stat`, 'utf8');
		const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return state === 'Z' || state === 'X' ? null : fields[18]!;
	} catch {
		return null; // ENOENT, or ESRCH when it ends while it is read.
	}
}

let users: readonly (readonly [name: string, userid: number])[] | null = null;

/** The local users; a name service beyond passwd(5) needs libc, which Node does not ask. */
function localUsers(): NonNullable<typeof users> {
	try {
		users ??= readFileSync('/etc/passwd', 'utf8')
			.split('\n')
			.map(line => line.split(':'))
			.filter(fields => fields.length >= 3)
			.map(([name, , userid]) => [name!, Number(userid)] as const);
	} catch {
		users ??= []; // Ids are shown instead of names.
	}
	return users;
}

function usernameOf(userid: number): string {
	return localUsers().find(([, id]) => id === userid)?.[0] ?? String(userid);
}

function useridOf(name: string): number | undefined {
	return (
		localUsers().find(([user]) => user === name)?.[1] ?? (/^[0-9]+$/.test(name) ? Number(name) : undefined)
	);
}
