import {spawnSync} from 'node:child_process';
import {constants} from 'node:os';
import test from 'ava';
import {
	describeWaitStatus,
	exitCodeOf,
	parseSignal,
	signalName,
	signalText,
	SIGNUM_MAX,
} from '../../src/formats/signal.ts';

test('names and numbers are those of this kernel', t => {
	let compared = 0;
	for (const [name, signum] of Object.entries(constants.signals)) {
		t.is(parseSignal(name), signum, name);
		t.is(parseSignal(name.slice('SIG'.length).toLowerCase()), signum);
		compared += 1;
	}
	t.true(compared >= 31);
	for (let signum = 1; signum <= SIGNUM_MAX; signum += 1) {
		t.is(parseSignal(`${signum}`), signum);
		if (signum !== 32 && signum !== 33) t.is(parseSignal(signalName(signum)), signum);
	}
});

test('real-time signals are counted from both ends', t => {
	t.is(parseSignal('SIGRTMIN'), 34);
	t.is(parseSignal('rtmin+1'), 35);
	t.is(parseSignal('RTMAX-1'), 63);
	t.is(signalName(34), 'SIGRTMIN');
	t.is(signalName(64), 'SIGRTMIN+30');
});

test('what is no signal is refused', t => {
	for (const text of ['', 'FOO', '0', '65', '-9', 'SIG', 'RTMIN+31', 'RTMAX+1', '1.5', 'SIGSIGINT']) {
		t.throws(() => parseSignal(text), {code: 'EINVAL'}, text);
	}
});

test('texts are those of strsignal(3)', t => {
	t.is(signalText(9), 'Killed');
	t.is(signalText(15), 'Terminated');
	t.is(signalText(14), 'Alarm clock');
	t.is(signalText(35), 'Real-time signal 1');
	t.is(signalText(0), 'Unknown signal 0');
});

test('texts are what bash, by the C library, prints of a child that a signal ended', t => {
	for (const signum of [1, 4, 6, 9, 11, 14, 15, 31]) {
		const script = `ulimit -c 0; sh -c 'kill -${signum} $$'; exit 0`;
		const {stderr} = spawnSync('bash', ['-c', script], {encoding: 'utf8'});
		t.true(stderr.includes(signalText(signum)), `${signum}: ${stderr}`);
	}
});

test('a wait status says how the process ended', t => {
	t.deepEqual(describeWaitStatus(0), {kind: 'exited', code: 0});
	t.deepEqual(describeWaitStatus(42 << 8), {kind: 'exited', code: 42});
	t.deepEqual(describeWaitStatus(9), {kind: 'signaled', signum: 9, name: 'SIGKILL', core: false});
	t.deepEqual(describeWaitStatus(0x80 | 11), {kind: 'signaled', signum: 11, name: 'SIGSEGV', core: true});
	t.is(exitCodeOf(10752), 42);
	t.is(exitCodeOf(14), 142);
	for (const status of [-1, 0x137f, 0xffff, 0x10000, 1.5, 0x80, 0x0109]) {
		t.throws(() => describeWaitStatus(status), {code: 'EINVAL'}, `${status}`);
	}
});
