/** `coppice job purge`: deletes what is kept of finished jobs. */
import type {CommandModule, ParsedArguments} from '../../command.ts';
import {explain, UsageError} from '../../command-error.ts';
import {numberField} from '../../fields.ts';
import {parseJobids} from '../../jobid-text.ts';
import {durationOption, flagOption, integerOption} from '../../option-value.ts';

export const purge: CommandModule = {
	name: 'job purge',
	describe: 'Deletes what is kept of finished jobs: the ones that are named, or those beyond the limits.',
	operands: '[ID…]',
	example: 'coppice job purge --age-limit=30d --num-limit=100000 --force',
	builder: yargs =>
		yargs
			.option('age-limit', {
				type: 'string',
				describe: 'those that have been inactive for longer, such as 30d',
			})
			.option('num-limit', {type: 'string', describe: 'the oldest of more than so many'})
			.option('force', {
				alias: 'f',
				type: 'boolean',
				describe: 'do it; without it only their number is told',
			}),
	handler: async (argv, context) => {
		const isForced = flagOption(argv, 'force');
		const {topic, request} = requestOf(argv);
		const session = context.session();
		try {
			const answer = await session.call(topic, {...request, force: isForced}, {idempotent: true});
			const [count, total] = [numberField(answer, 'count', topic), numberField(answer, 'total', topic)];
			const kept = numberField(answer, 'kept', topic);
			await context.print(
				isForced
					? `purged ${count} of ${total} inactive jobs\n`
					: `use --force to purge ${count} of ${total} inactive jobs\n`,
			);
			if (kept > 0) {
				await context.warn(
					`${kept} of them stay: a rank has not said that it is clean, or a job waits for them`,
				);
			}
			return 0;
		} catch (error) {
			throw explain('inactive jobs', error);
		}
	},
};

function requestOf(argv: ParsedArguments): {readonly topic: string; readonly request: object} {
	const age = durationOption(argv, 'age-limit');
	const num = integerOption(argv, 'num-limit', {min: 0});
	if (argv._.length > 0) {
		if (age !== undefined || num !== undefined) throw new UsageError('either job ids or limits');
		return {topic: 'job-manager.purge-id', request: {ids: parseJobids(argv._)}};
	}
	if (age === undefined && num === undefined)
		throw new UsageError('--age-limit, --num-limit or job ids are needed');
	return {topic: 'job-manager.purge', request: {age_limit: age ?? -1, num_limit: num ?? -1}};
}
