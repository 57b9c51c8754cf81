/** `coppice log lost+found`: the jobs that were set aside because a fact did not fit, and what is held for jobs that are no more. */
import type {CommandModule} from '../../command.ts';
import {askLog, describeFields, withLogSource} from '../../log-source.ts';
import {UsageError} from '../../command-error.ts';
import {parseJobid} from '../../jobid-text.ts';
import {flagOption, textOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';

export const lostFound: CommandModule = {
	name: 'log lost+found',
	describe: 'Lists the jobs that were set aside because a fact did not fit.',
	operands: '[DIR]',
	example: 'coppice log lost+found',
	builder: yargs =>
		withLogSource(yargs)
			.option('json', {type: 'boolean', describe: 'one document'})
			.option('held', {type: 'boolean', describe: 'list what is held for jobs that are not active'})
			.option('release', {
				type: 'string',
				describe: 'nothing of this job is left anywhere: give what is held for it to others',
			}),
	handler: async (argv, context) => {
		const released = textOption(argv, 'release');
		if (released !== undefined) {
			if (argv._.length > 0) throw new UsageError('option --release is for a live instance, not for a DIR');
			// The second of two equal orders finds nothing, so it is not sent again by itself.
			await context.session().call('resource.release', {id: parseJobid(released)});
			return;
		}
		if (flagOption(argv, 'held')) {
			const held = await context.session().call('resource.held', {}, {idempotent: true});
			if (flagOption(argv, 'json')) await printJson(context, held);
			else await context.print(describeFields(held));
			return;
		}
		const answer = await askLog(argv, context, {
			topic: 'event-log.lost-found',
			inspect: (log, dir) => log.inspectLostFound(dir),
		});
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
	},
};
