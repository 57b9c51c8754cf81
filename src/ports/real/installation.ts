/**
 * Where the files of this installation are, and how its other programs are run. Code runs either as compiled, file by file
 * (`dist/src/`), or from a bundle (`dist/bundle/NAME.cjs`, made by packaging/make-bundle.js), which starts in half the time.
 * Invariant: whoever runs from a bundle starts others from bundles.
 */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

/** Defined in bundles only, where `import.meta.url` is that of the bundle. */
declare const COPPICE_BUNDLE: true | undefined;

const isBundled = typeof COPPICE_BUNDLE !== 'undefined';
const ROOT_URL = new URL(isBundled ? '../../' : '../../../../', import.meta.url);

export type ProgramName = 'broker' | 'daemon' | 'shell';

/** The compiled file of each program. */
const MAIN_FILES: Readonly<Record<ProgramName, string>> = {
	broker: 'dist/src/broker/real/broker-main.js',
	daemon: 'dist/src/cli/real/daemon-main.js',
	shell: 'dist/src/exec/real/shell-main.js',
};

/**
 * Our processes live for months and keep little: on a machine with much memory V8 would let garbage pile up for as long as there is
 * room, so the old generation is collected when it has grown by 80 %. The young one is small too, but not a busy broker's: what a
 * job in progress needs would be copied again and again (measured: `npm run bench -- memory`, `testjobs`).
 */
export const V8_FLAGS: Readonly<Record<ProgramName, readonly string[]>> = {
	broker: ['--max-semi-space-size=16', '--heap-growing-percent=80'],
	daemon: ['--max-semi-space-size=2', '--heap-growing-percent=80'],
	shell: ['--max-semi-space-size=2', '--heap-growing-percent=80'],
};

/**
 * For the environment of these processes: glibc's malloc keeps a heap for each thread, and takes ever larger blocks from them, which
 * then are never returned (mallopt(3)).
 */
export const PROGRAM_ENVIRONMENT: Readonly<Record<string, string>> = {
	MALLOC_ARENA_MAX: '2',
	MALLOC_MMAP_THRESHOLD_: '131072',
};

/** The path of a file by its name from the root of the installation: `libexec/coppice-launcher`. */
export function installedFile(name: string): string {
	return fileURLToPath(new URL(name, ROOT_URL));
}

/** The program and first arguments of one of our processes. */
export function programCommand(name: ProgramName): [program: string, ...args: string[]] {
	const file = isBundled ? `dist/bundle/${name}.cjs` : MAIN_FILES[name];
	return [process.execPath, ...V8_FLAGS[name], installedFile(file)];
}

/** The version that package.json says. */
export function installedVersion(): string {
	const text = readFileSync(new URL('package.json', ROOT_URL), 'utf8');
	return (JSON.parse(text) as {readonly version: string}).version;
}
