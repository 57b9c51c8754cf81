/** The shell options of a jobspec for stdin (`input.stdin`) and terminals (`pty`) of tasks, as in Flux. */
import {SystemError} from './errno.ts';
import {Idset} from './idset.ts';
import {requestOf, type Jobspec} from './jobspec.ts';
import {quote} from './quote.ts';
import {isObject} from './shape.ts';

/** Where stdin comes from: a file, or clients, for some tasks or all (null). */
export type InputOption = {readonly path: string} | {readonly ranks: Idset | null};

export interface PtyOption {
	/** The tasks that get a terminal; null: all. */
	readonly ranks: Idset | null;
	/** A client that attaches passes its own terminal on as it is. */
	readonly isInteractive: boolean;
	readonly rows: number;
	readonly columns: number;
}

/** Of a terminal whose client has said nothing of its own. */
const ROWS_DEFAULT = 24;
const COLUMNS_DEFAULT = 80;
const SIZE_MAX = 65_535;

/** `input.stdin`; null: tasks have /dev/null. @throws {SystemError} EINVAL that names the option. */
export function inputOption({attributes}: Jobspec): InputOption | null {
	const input = attributes.system.shell?.options?.['input'];
	const stdin = isObject(input) ? input['stdin'] : undefined;
	if (stdin === undefined) return null;
	if (!isObject(stdin)) throw new SystemError('EINVAL', 'shell option input.stdin: must be an object');
	const {type, path, ranks} = stdin;
	const isFile = type === 'file' || (type === undefined && path !== undefined);
	if (!isFile && type !== 'service')
		throw new SystemError(
			'EINVAL',
			`shell option input.stdin.type: ${text(type)} is neither file nor service`,
		);
	if (!isFile) return {ranks: ranksOf(ranks, 'input.stdin.ranks')};
	if (typeof path !== 'string' || path === '')
		throw new SystemError('EINVAL', 'shell option input.stdin.path: a file without a path');
	return {path};
}

/**
 * `pty`, `pty.ranks`, `pty.interactive`, and the first size of a client's terminal; null: no terminals. With
 * `pty.interactive` alone task 0 has one. @throws {SystemError} EINVAL that names the option.
 */
export function ptyOption({attributes}: Jobspec): PtyOption | null {
	const pty = attributes.system.shell?.options?.['pty'];
	if (pty === undefined || pty === null || pty === 0 || pty === false) return null;
	const {ranks, interactive, rows, columns} = isObject(pty) ? pty : {};
	const isInteractive = interactive !== undefined && interactive !== 0 && interactive !== false;
	return {
		ranks: ranks === undefined && isInteractive ? Idset.from([0]) : ranksOf(ranks, 'pty.ranks'),
		isInteractive,
		rows: sizeOf(rows, 'pty.rows') ?? ROWS_DEFAULT,
		columns: sizeOf(columns, 'pty.columns') ?? COLUMNS_DEFAULT,
	};
}

/** @throws {SystemError} EINVAL: an option is wrong, or names tasks that the job does not have. */
export function checkTaskOptions(jobspec: Jobspec): void {
	const input = inputOption(jobspec);
	const pty = ptyOption(jobspec);
	const all = Idset.range(0, requestOf(jobspec).ntasks - 1);
	for (const [name, tasks] of [
		['input.stdin.ranks', input !== null && 'ranks' in input ? input.ranks : null],
		['pty.ranks', pty?.ranks ?? null],
	] as const) {
		const strangers = tasks?.difference(all) ?? Idset.empty;
		if (strangers.isEmpty) continue;
		throw new SystemError(
			'EINVAL',
			`shell option ${name}: the job has no task ${strangers.toString()}, only ${all.toString()}`,
		);
	}
}

/** Those of `tasks` that `ranks` names. */
export function among(tasks: readonly number[], ranks: Idset | null): readonly number[] {
	return ranks === null ? tasks : tasks.filter(task => ranks.has(task));
}

/** An idset, also where it was read as a number; null: all. */
function ranksOf(value: unknown, name: string): Idset | null {
	if (value === undefined || value === 'all') return null;
	if (typeof value !== 'string' && typeof value !== 'number')
		throw new SystemError('EINVAL', `shell option ${name}: ${text(value)} is no idset`);
	try {
		return Idset.parse(String(value));
	} catch (error) {
		throw new SystemError('EINVAL', `shell option ${name}: ${(error as Error).message}`);
	}
}

function sizeOf(value: unknown, name: string): number | undefined {
	if (value === undefined) return undefined;
	if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= SIZE_MAX) return value;
	throw new SystemError('EINVAL', `shell option ${name}: ${text(value)} is not within 1..${SIZE_MAX}`);
}

function text(value: unknown): string {
	return typeof value === 'string' ? quote(value) : (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
