/** `queue drain` and `idle`: wait for jobs, over restarts of the broker, until a deadline. */
import {SystemError} from '../../formats/errno.ts';
import {formatFsd} from '../../formats/fsd.ts';
import type {CommandModule} from '../command.ts';
import {numberField} from '../fields.ts';
import {durationOption, flagOption, operands} from '../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../reconnect-option.ts';

export interface AwaitOptions {
	readonly verb: 'drain' | 'idle';
	readonly describe: string;
	readonly example: string;
	/** What it is called that did not come about. */
	readonly state: string;
}

/** Without `--timeout` it is asked again after so long. */
const ASK_MS_MAX = 24 * 3600 * 1000;

export function awaitCommand({verb, describe, example, state}: AwaitOptions): CommandModule {
	const topic = `job-manager.${verb}`;
	return {
		name: `queue ${verb}`,
		describe,
		example,
		builder: yargs =>
			yargs
				.option('timeout', {alias: 't', type: 'string', describe: 'wait no longer, such as 30s; then exit 1'})
				.option('quiet', {type: 'boolean', describe: 'do not say how many jobs are pending'})
				.option('reconnect-timeout', RECONNECT_OPTION),
		handler: async (argv, context) => {
			operands(argv, []);
			const seconds = durationOption(argv, 'timeout') ?? Infinity;
			const {clock} = context;
			const endMs = clock.monotonicMs() + seconds * 1000;
			const session = context.session(patienceOf(argv));
			for (;;) {
				const leftMs = endMs - clock.monotonicMs();
				const timeoutMs = Math.max(1, Math.min(leftMs, ASK_MS_MAX));
				const answer = await Promise.race([
					session.call(topic, {}, {idempotent: true, timeoutMs}).catch((error: unknown) => {
						if (error instanceof SystemError && error.code === 'ETIMEDOUT') return null;
						throw error;
					}),
					// The time without a broker counts as well.
					new Promise<null>(resolve => void clock.setTimer(timeoutMs, () => resolve(null))),
				]);
				if (answer !== null) {
					const pending = numberField(answer, 'pending', topic);
					if (pending > 0 && !flagOption(argv, 'quiet')) await context.print(`${pending} pending jobs\n`);
					return;
				}
				if (clock.monotonicMs() >= endMs) {
					throw new SystemError('ETIMEDOUT', `the queues are not ${state} after ${formatFsd(seconds)}`);
				}
			}
		},
	};
}
