/** `coppice job last`: the ids of the newest jobs. */
import type {CommandModule} from '../../command.ts';
import {CommandError, UsageError} from '../../command-error.ts';
import {fetchJobs} from '../../jobs/fetch-jobs.ts';
import {jobidText} from '../../jobid-text.ts';

export const last: CommandModule = {
	name: 'job last',
	describe: 'Prints the id of the newest own job, of the N newest, or of a slice [FIRST:END] of them.',
	operands: '[N|SLICE]',
	example: 'coppice job last 3',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const [text = '1', ...others] = argv._;
		if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
		const [first, end] = sliceOf(text);
		const found = await fetchJobs(context.session(), {
			entriesMax: 0,
			constraint: {userid: [context.world.userid]},
		});
		// Ids never go back, so that the highest is the newest.
		const ids = found.map(({id}) => id).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0));
		if (ids.length === 0) throw new CommandError('ENOENT: no jobs so far');
		await context.print(
			ids
				.slice(first, end)
				.map(id => `${jobidText(id, context.env)}\n`)
				.join(''),
		);
	},
};

/** As Python's: `[:3]`, `[1:]`, `[-2:]`. */
function sliceOf(text: string): [first: number | undefined, end: number | undefined] {
	if (/^[1-9][0-9]*$/.test(text)) return [0, Number(text)];
	const match = /^\[(-?[0-9]*):(-?[0-9]*)\]$/.exec(text);
	if (match === null) throw new UsageError(`'${text}' is neither a number nor a slice such as [:3]`);
	const bound = (part: string) => (part === '' || part === '-' ? undefined : Number(part));
	return [bound(match[1]!), bound(match[2]!)];
}
