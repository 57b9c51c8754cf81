/**
 * What comes for the stdin of this rank's tasks (`job-exec.input`): it waits for a part that is about to be laid out, and
 * for room, but not for long: whoever sends asks again.
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {InputAnswer, InputWrite, PartKey, ProcessHost} from '../../ports/process-host.ts';
import type {Core} from '../core.ts';

/** So long a write may wait for room, or for its part. */
export const INPUT_PATIENCE_MS = 2000;
const POLL_MS_MIN = 2;
const POLL_MS_MAX = 100;

/** A write as it travels. */
export type InputMessage = PartKey & InputWrite;

/** Resolves when all is taken, or nothing more will be, or at the end of the patience. */
export async function writeInput(core: Core, host: ProcessHost, message: InputMessage): Promise<InputAnswer> {
	const {id, attempt, ...write} = message;
	const untilMs = core.clock.monotonicMs() + INPUT_PATIENCE_MS;
	let taken = -1;
	for (let pollMs = POLL_MS_MIN; ; pollMs = Math.min(pollMs * 2, POLL_MS_MAX)) {
		const answer = await tryWrite(host, {id, attempt}, write);
		if (answer !== null && (answer.isTaken || answer.isClosed || answer.offset < write.offset)) return answer;
		if (core.clock.monotonicMs() >= untilMs) {
			if (answer !== null) return answer;
			throw new SystemError('EAGAIN', `job part ${id}.${attempt} is not laid out on rank ${core.rank} yet`);
		}
		if (answer !== null && answer.offset > taken) pollMs = POLL_MS_MIN;
		taken = answer?.offset ?? taken;
		await new Promise<void>(resolve => core.clock.setTimer(pollMs, resolve));
	}
}

/** Null: the part is not here. */
async function tryWrite(host: ProcessHost, key: PartKey, write: InputWrite): Promise<InputAnswer | null> {
	try {
		return await host.writeInput(key, write);
	} catch (error) {
		const reason = asSystemError(error);
		if (reason.code === 'ENOENT') return null;
		// What takes nothing from anybody is as good as one that takes nothing any more.
		if (reason.code === 'EPIPE') return {offset: write.offset, isTaken: false, isClosed: true};
		throw reason;
	}
}
