import test from 'ava';
import {CopyRequests} from '../../../src/cli/submit/copy-requests.ts';
import {submitRequest, type Submission} from '../../../src/cli/submit/submission.ts';

function submission(command: readonly string[], cwd = '/work'): Submission {
	const options = {
		urgency: 16,
		flags: 0,
		dependencies: [],
		attributes: ['exec.test.run_duration=0.5s'],
		shellOptions: [],
		exclusive: false,
		durationS: 60,
		requeue: false,
		isUnbuffered: false,
	} as unknown as Submission['options'];
	const environment = {HOME: '/root', COPPICE_JOB_CC: 'outer', Z: '9007199254740992'};
	return {options, command, environment, rlimits: {}, umask: 0o022, cwd};
}

for (const [what, of] of [
	['that differ in their id', submission(['true', '"quoted"'])],
	['whose command has the id', submission(['echo', '{cc}'])],
	['whose command has the digits that stand for the id', submission(['echo', '9007199254740991'])],
	['whose directory has the id', submission(['true'], '/work/{cc}')],
] as const) {
	test(`requests of copies ${what} are those made one by one`, t => {
		const requests = new CopyRequests();
		for (const isVisible of [true, false]) {
			for (const cc of [1, 2, 30]) {
				const options = {userid: 7, requestId: `r${cc}`, copy: {cc, isVisible}};
				t.deepEqual(requests.make(of, options), submitRequest(of, options));
			}
		}
		const single = {userid: 7, requestId: 'r', copy: null};
		t.deepEqual(requests.make(of, single), submitRequest(of, single));
	});
}
