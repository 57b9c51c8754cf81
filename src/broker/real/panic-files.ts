/**
 * Panics as files in a rank's state directory: `panics/panic-N.json`. Invariant: a file is whole or damaged, never the
 * reason for another panic; those that the world caused are the first to go, those with a culprit the last.
 */
import {existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {asSystemError} from '../../formats/errno.ts';
import type {KeptPanic, Panic, PanicEvidence} from '../panic-evidence.ts';

/** More are not kept. */
export const PANICS_KEPT_MAX = 100;

const NAME = /^panic-([0-9]{1,12})\.json$/;

/** The panics that are kept in `statedir`; `write` takes a line for people. */
export function panicFiles(statedir: string, write: (line: string) => void): PanicEvidence {
	const dir = join(statedir, 'panics');
	const kept = readAll(dir, write);
	return {
		kept: kept.map(({path, panic}) => ({path, panic})),
		keep(panic) {
			const path = join(dir, `panic-${(kept.at(-1)?.number ?? 0) + 1}.json`);
			try {
				// Not with what is above it: a state directory that vanished must stay so.
				if (!existsSync(dir)) mkdirSync(dir, {mode: 0o700});
				makeRoom(kept);
				writeFileSync(path, `${JSON.stringify(panic, null, 2)}\n`, {mode: 0o600});
				if (panic.stack !== '') write(`the evidence is in ${path}`);
			} catch (error) {
				write(`evidence of a panic: ${asSystemError(error).toString()}`);
			}
		},
	};
}

interface Numbered extends KeptPanic {
	readonly number: number;
}

function readAll(dir: string, write: (line: string) => void): readonly Numbered[] {
	let names: readonly string[] = [];
	try {
		names = readdirSync(dir);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') write(asSystemError(error).toString());
	}
	const numbers = names.flatMap(name => NAME.exec(name)?.[1] ?? []).map(Number);
	return numbers
		.sort((a, b) => a - b)
		.flatMap(number => {
			const path = join(dir, `panic-${number}.json`);
			const panic = readOne(path);
			return panic === null ? [] : [{number, path, panic}];
		});
}

/** Null: it is none, or was cut off. */
function readOne(path: string): Panic | null {
	try {
		const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Panic> | null;
		const {version, culprit, reason} = value ?? {};
		const isWhole = typeof version === 'string' && typeof reason === 'string' && isCulprit(culprit);
		return isWhole ? (value as Panic) : null;
	} catch (error) {
		if (error instanceof SyntaxError || (error instanceof Error && 'code' in error)) return null;
		throw error;
	}
}

function isCulprit(value: unknown): boolean {
	if (value === null) return true;
	const {kind, id, digest, topic} = (value ?? {}) as Record<string, unknown>;
	if (kind === 'job') return typeof id === 'string' && /^[0-9]{1,20}$/.test(id);
	return kind === 'request' && typeof digest === 'string' && typeof topic === 'string';
}

function makeRoom(kept: readonly Numbered[]): void {
	if (kept.length < PANICS_KEPT_MAX) return;
	const victim =
		kept.find(({panic}) => panic.stack === '') ?? kept.find(({panic}) => panic.culprit === null) ?? kept[0]!;
	unlinkSync(victim.path);
}
