/** `coppice queue idle`: waits until no job runs. */
import {awaitCommand} from '../../queues/await-jobs.ts';

export const idle = awaitCommand({
	verb: 'idle',
	state: 'idle',
	describe: 'Waits until no job runs and none is about to. See queue stop.',
	example: 'coppice queue stop -a && coppice queue idle -t 10m',
});
