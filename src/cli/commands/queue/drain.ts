/** `coppice queue drain`: waits until no job is left. */
import {awaitCommand} from '../../queues/await-jobs.ts';

export const drain = awaitCommand({
	verb: 'drain',
	state: 'empty',
	describe: 'Waits until no job is active, pending ones included. See queue disable.',
	example: 'coppice queue disable -a && coppice queue drain -t 1h',
});
