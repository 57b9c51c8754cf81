/**
 * The file `part` that is on disk before the first process of a part starts, and from which everything can be rebuilt:
 * what a shim needs, in a form that needs no parser (NUL separated, closed by `end`); the rest of the spec as one line of
 * JSON; then the journal, a line for each event. One file, because making files is what a short job costs most.
 */

import {SystemError} from '../formats/errno.ts';
import {RLIMITS} from '../formats/rlimit.ts';
import type {LaunchSpec, OutputFiles} from '../ports/process-host.ts';
import {inputTasks} from './input-ring.ts';

/** What is stored beside the spec. */
export interface StoredSpec extends LaunchSpec {
	/** The boot in which the part was launched. */
	readonly bootId: string;
	readonly cgroup: string;
}

const SPEC_VERSION = 2;
const LAUNCH_VERSION = 'coppice-launch-3';

/** `part` as text, with an empty journal. */
export function encodePart(spec: StoredSpec): string {
	const {env: _env, carried: _carried, ...rest} = spec; // The files are on disk by themselves.
	return `${encodeLaunch(spec)}${JSON.stringify({version: SPEC_VERSION, ...rest, id: spec.id.toString()})}\n`;
}

/** @throws {SystemError} EBADMSG when the text does not begin with a whole spec of a known version. */
export function decodePart(
	text: string,
	path: string,
): {readonly spec: StoredSpec; readonly journal: string} {
	const sections = sectionsOf(text);
	if (sections === undefined) throw new SystemError('EBADMSG', `${path}: not a whole spec`);
	let value: (Partial<Omit<StoredSpec, 'id'>> & {id?: unknown; version?: unknown}) | null;
	try {
		value = JSON.parse(sections.spec) as typeof value;
	} catch (error) {
		throw new SystemError('EBADMSG', `${path}: not JSON`, {cause: error});
	}
	if (value?.version !== SPEC_VERSION || typeof value.id !== 'string' || !Array.isArray(value.tasks))
		throw new SystemError('EBADMSG', `${path}: not a spec of version ${SPEC_VERSION}`);
	const {version: _, ...rest} = value;
	const env = Object.fromEntries(sections.environment.map(splitAssignment));
	return {spec: {...rest, id: BigInt(value.id), env} as StoredSpec, journal: sections.journal};
}

/** The journal in the text of `part`, which may be damaged where a power failure cut it; '' when there is none. */
export function journalIn(text: string): string {
	return sectionsOf(text)?.journal ?? '';
}

/** By counting fields, since no text in them can be a sign for their end. Undefined: it is not whole. */
function sectionsOf(
	text: string,
): {readonly environment: readonly string[]; readonly spec: string; readonly journal: string} | undefined {
	const fields = text.split('\0');
	const argumentsAt = 2 + Number(fields[1]);
	const countAt = argumentsAt + 1 + Number(fields[argumentsAt]);
	const endAt = countAt + 1 + Number(fields[countAt]);
	if (fields[0] !== LAUNCH_VERSION || fields[endAt] !== 'end') return undefined;
	const rest = fields.slice(endAt + 1).join('\0');
	const specEnd = rest.indexOf('\n');
	if (specEnd === -1) return undefined;
	const environment = fields.slice(countAt + 1, endAt);
	return {environment, spec: rest.slice(0, specEnd), journal: rest.slice(specEnd + 1)};
}

function splitAssignment(assignment: string): [name: string, value: string] {
	const equals = assignment.indexOf('=');
	return [assignment.slice(0, equals), assignment.slice(equals + 1)];
}

/**
 * Why a spec can't be run, or undefined. Checked before anything is written, so that a bad spec leaves no trace.
 */
export function faultOf(spec: LaunchSpec): string | undefined {
	if (spec.argv.length === 0 || spec.argv[0] === '') return 'the command is empty';
	if (spec.tasks.length === 0) return 'there are no tasks';
	if (!spec.tasks.every((task, index) => Number.isInteger(task) && task > (spec.tasks[index - 1] ?? -1)))
		return 'the tasks are not ascending';
	for (const {argv, env} of [spec.prolog, spec.epilog].filter(script => script !== undefined)) {
		if (argv.length === 0 || argv[0] === '') return 'the command of a prolog or epilog is empty';
		if ([...argv, ...Object.values(env)].some(text => text.includes('\0')))
			return 'a string of a prolog or epilog contains a NUL byte';
	}
	const texts = [
		...spec.argv,
		...Object.entries(spec.env).flat(),
		spec.cwd,
		spec.stdout,
		spec.stderr,
		spec.node,
	];
	if (texts.some(text => text?.includes('\0') === true)) return 'a string contains a NUL byte';
	if (Object.keys(spec.env).some(name => name === '' || name.includes('=')))
		return 'a name in the environment is empty or contains =';
	for (const [name, value] of Object.entries(spec.rlimits ?? {})) {
		if (RLIMITS[name] === undefined) return `there is no resource limit ${name}`;
		if (!Number.isSafeInteger(value) || value < -1) return `the resource limit ${name} can't be ${value}`;
	}
	if (spec.umask !== undefined && !(Number.isInteger(spec.umask) && spec.umask >= 0 && spec.umask <= 0o777))
		return `the umask can't be ${spec.umask}`;
	if (!spec.cwd.startsWith('/')) return `the working directory ${spec.cwd} is not absolute`;
	for (const path of [spec.stdout, spec.stderr]) {
		if (path !== null && !path.startsWith('/')) return `the output path ${path} is not absolute`;
	}
	if (spec.input !== undefined && 'path' in spec.input && !/^\/[^\0]*$/.test(spec.input.path))
		return `the input path ${spec.input.path} is not absolute, or contains a NUL byte`;
	return undefined;
}

/**
 * The launch record as text. One output file for all tasks of a job is emptied only where its first task runs: another
 * rank's part may have begun to write to it.
 */
export function encodeLaunch(spec: StoredSpec): string {
	const options = launchOptions(spec);
	const environment = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
	const lists = [options, spec.argv, environment].flatMap(list => [String(list.length), ...list]);
	return `${[LAUNCH_VERSION, ...lists, 'end'].join('\0')}\0`;
}

/** One letter each for stdout and stderr: as it comes, whole lines, labeled lines. */
function linesOf(files: OutputFiles | undefined): string {
	const letters = {lines: 'n', labels: 'l'};
	const of = (mode: OutputFiles['stdout']) => (mode === undefined ? '0' : letters[mode]);
	const both = `${of(files?.stdout)}${of(files?.stderr)}`;
	return both === '00' ? '' : both;
}

/** What the shim reads by name, as `name=value`; what it does without is left out. */
function launchOptions(spec: StoredSpec): string[] {
	const rlimits = Object.entries(spec.rlimits ?? {}).map(([name, value]) => `${RLIMITS[name]}:${value}`);
	const options: Readonly<Record<string, string>> = {
		boot: spec.bootId,
		cgroup: spec.cgroup,
		cwd: spec.cwd,
		stdout: spec.stdout ?? '',
		stderr: spec.stderr ?? '',
		truncate: spec.tasks[0] === 0 ? '1' : '',
		rlimits: rlimits.join(' '),
		umask: spec.umask === undefined ? '' : spec.umask.toString(8),
		node: spec.node ?? '',
		limit: spec.outputBytesMax === undefined ? '' : String(spec.outputBytesMax),
		append: spec.files?.appends === true ? '1' : '',
		lines: linesOf(spec.files),
		pmi: spec.pmi === undefined ? '' : String(spec.pmi.size),
		input: spec.input !== undefined && 'path' in spec.input ? spec.input.path : '',
		feed: inputTasks(spec).join(' '),
		pty: spec.pty === undefined ? '' : [spec.pty.rows, spec.pty.columns, ...spec.pty.tasks].join(' '),
	};
	return Object.entries(options)
		.filter(([, value]) => value !== '')
		.map(([name, value]) => `${name}=${value}`);
}
