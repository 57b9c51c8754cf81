/**
 * How soon V8 optimizes what runs often. With two tiers alone (Node.js 20) the optimizing compiler costs a young broker a sixth of its
 * CPU, on cores that the jobs want: it is to begin four times as late. Newer releases have a cheap tier between, and know no such flag.
 * Measured: `npm run bench -- jobs`, and `testjobs` for a process that has run for long, which is as fast either way.
 */
import {setFlagsFromString} from 'node:v8';

/** Four times the default of V8 11, in bytes of bytecode executed. */
const INTERRUPT_BUDGET = 4 * 66 * 1024;

/** For processes that live long; to be called before they do anything. */
export function optimizeLate(): void {
	if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}
