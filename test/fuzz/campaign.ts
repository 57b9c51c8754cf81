/**
 * `npm run fuzz [-- --seed S] [--frames N]`: a hail of N frames (default 1,000,000) on the sockets of a small tree. Exits 1 when
 * something broke, leaked, or was disturbed. The same seed draws the same frames.
 */
import {parseArgs} from 'node:util';
import {destroyAll} from '../chaos/instance.ts';
import {hail} from './hail.ts';

const {values} = parseArgs({options: {seed: {type: 'string'}, frames: {type: 'string'}}});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const frames = Number(values.frames ?? 1_000_000);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(frames))
	throw new Error('--seed and --frames take numbers');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
	process.once(signal, () => void destroyAll().finally(() => process.exit(130)));
}
const startMs = performance.now();
const problems = await hail({seed, frames, say: line => console.log(`fuzz: ${line}`)});
const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
console.log(
	problems.length === 0 ? `fuzz: ${frames} frames in ${seconds} s, nothing broke` : problems.join('\n'),
);
if (problems.length > 0) console.log(`again: npm run fuzz -- --seed ${seed} --frames ${frames}`);
process.exitCode = problems.length === 0 ? 0 : 1;
