/** Goal: what the kernel says about limits is read as Flux names it. */
import {readFileSync} from 'node:fs';
import test from 'ava';
import {parseProcLimits, RLIMITS} from '../../src/formats/rlimit.ts';

test('the soft limits of /proc/PID/limits are read, unlimited ones as -1', t => {
	const text =
		'Limit                     Soft Limit           Hard Limit           Units     \n' +
		'Max cpu time              unlimited            unlimited            seconds   \n' +
		'Max stack size            8388608              unlimited            bytes     \n' +
		'Max open files            1024                 1048576              files     \n' +
		'Max nice priority         0                    0                    \n' +
		'Max something new         5                    5                    \n';
	t.deepEqual(parseProcLimits(text), {cpu: -1, stack: 8388608, nofile: 1024, nice: 0});
});

test('this kernel tells all limits that can be set', t => {
	const names = Object.keys(parseProcLimits(readFileSync('/proc/self/limits', 'utf8')));
	t.deepEqual(names.sort(), Object.keys(RLIMITS).sort());
});
