/** `coppice queue enable`: a queue takes jobs in. */
import {turnCommand} from '../../queues/turn-queue.ts';

export const enable = turnCommand({
	verb: 'enable',
	describe: 'Enables a queue: it takes jobs in.',
	example: 'coppice queue enable -q batch',
});
