/** `coppice job timeleft`: seconds until a running job's time limit. */
import {formatFsd} from '../../../formats/fsd.ts';
import type {CommandModule} from '../../command.ts';
import {CommandError, explain, UsageError} from '../../command-error.ts';
import {fetchJob} from '../../jobs/fetch-jobs.ts';
import {remainingOf} from '../../jobs/job-record.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {flagOption} from '../../option-value.ts';

export const timeleft: CommandModule = {
	name: 'job timeleft',
	describe: 'Prints the seconds that a running job has left; within a job, its own.',
	operands: '[ID]',
	example: 'coppice job timeleft -H',
	builder: yargs => yargs.option('human', {alias: 'H', type: 'boolean', describe: 'as a duration'}),
	handler: async (argv, context) => {
		const text = argv._[0] ?? context.env['COPPICE_JOB_ID'];
		if (argv._.length > 1) throw new UsageError(`unexpected argument '${argv._[1]}'`);
		if (text === undefined) throw new UsageError('ID is missing, and COPPICE_JOB_ID is not set');
		const id = parseJobid(text);
		const name = jobidText(id, context.env);
		const job = await fetchJob(context.session(), id).catch((error: unknown) => {
			throw explain(name, error);
		});
		if (job.state !== 'RUN') {
			const isOver = job.state === 'INACTIVE' || job.state === 'CLEANUP';
			throw new CommandError(`${name}: EINVAL: the job ${isOver ? 'is over' : 'has not started'}`);
		}
		const seconds = remainingOf(job, context.clock.epochMs() / 1000) ?? Infinity;
		if (flagOption(argv, 'human')) await context.print(`${formatFsd(seconds)}\n`);
		else await context.print(`${seconds === Infinity ? 'infinity' : Math.floor(seconds)}\n`);
	},
};
