/** `coppice queue stop`: jobs of a queue get no resources. */
import {turnCommand} from '../../queues/turn-queue.ts';

export const stop = turnCommand({
	verb: 'stop',
	describe: 'Stops a queue: its jobs wait, and running ones go on.',
	example: 'coppice queue stop -a -m "maintenance"',
});
