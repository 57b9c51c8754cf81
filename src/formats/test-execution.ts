/**
 * `attributes.system.exec.test` of a jobspec: a job without processes, as Flux's test executor has it. It takes its resources for
 * `run_duration` and ends with `wait_status`.
 */
import {parseFsd} from './fsd.ts';
import {asInteger, asNumber, asObject, fault, onlyMembers, type Members} from './shape.ts';

export interface TestExecution {
	/** Milliseconds. */
	readonly runMs: number;
	/** Raw POSIX wait status. */
	readonly waitStatus: number;
}

const WAIT_STATUS_MAX = 0xff_ff;

/** What `attributes.system` asks for; null: real processes. @throws {SystemError} EINVAL, with the path of the fault. */
export function testExecutionOf(system: Members): TestExecution | null {
	if (system['exec'] === undefined) return null;
	const path = 'jobspec.attributes.system.exec';
	const exec = asObject(system['exec'], path);
	if (exec['test'] === undefined) return null;
	const test = asObject(exec['test'], `${path}.test`);
	onlyMembers(test, `${path}.test`, ['run_duration', 'wait_status']);
	const duration = test['run_duration'] ?? 0;
	const seconds =
		typeof duration === 'string' ? parseFsd(duration) : asNumber(duration, `${path}.test.run_duration`, 0);
	if (!Number.isFinite(seconds)) throw fault(`${path}.test.run_duration`, 'finite', duration);
	const status = test['wait_status'] ?? 0;
	const waitStatus = asInteger(status, `${path}.test.wait_status`, 0);
	if (waitStatus > WAIT_STATUS_MAX) throw fault(`${path}.test.wait_status`, 'a wait status', status);
	return {runMs: seconds * 1000, waitStatus};
}
