/** `coppice queue start`: jobs of a queue get resources. */
import {turnCommand} from '../../queues/turn-queue.ts';

export const start = turnCommand({
	verb: 'start',
	describe: 'Starts a queue: its jobs get resources.',
	example: 'coppice queue start -q batch',
});
