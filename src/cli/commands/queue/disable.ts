/** `coppice queue disable`: a queue takes no more jobs in. */
import {turnCommand} from '../../queues/turn-queue.ts';

export const disable = turnCommand({
	verb: 'disable',
	describe: 'Disables a queue: it takes no more jobs in.',
	example: 'coppice queue disable -q batch -m "moved to debug"',
});
