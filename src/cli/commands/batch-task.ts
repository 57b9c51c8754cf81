/** `coppice batch-task`: what a batch job runs. Its script has an instance of its own, which ends with it. */
import {parseJobid} from '../jobid-text.ts';
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {batchResources} from '../batch-resources.ts';
import {runBatch} from '../real/run-batch.ts';

export const batchTask: CommandModule = {
	name: 'batch-task',
	describe:
		'Runs the script of a batch job in an instance of its own. Batch jobs call it; there is no use in doing it by hand.',
	operands: '[ARG…]',
	example: 'coppice batch-task input.dat',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const {COPPICE_JOB_TMPDIR: directory, COPPICE_JOB_ID: id} = context.env;
		if (directory === undefined || id === undefined)
			throw new UsageError('COPPICE_JOB_TMPDIR and COPPICE_JOB_ID are not set: this is no batch job');
		const resources = await batchResources(context, parseJobid(id));
		return runBatch(context, {directory, resources, args: argv._});
	},
};
