/** `coppice log compact`: drops the past of a live log. */
import type {CommandModule} from '../../command.ts';
import {objectOf} from '../../fields.ts';
import {describeFields, LOG_TIMEOUT_MS} from '../../log-source.ts';
import {flagOption, operands} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {RANK_OPTION, rankOption} from '../../rank-option.ts';

const TOPIC = 'event-log.compact';

export const compact: CommandModule = {
	name: 'log compact',
	describe:
		'Writes the state of a broker into its event log as a base to replay from, and drops what is before it. Nothing that ' +
		'is still true is lost, but no moment before can be opened any more. Brokers do it by themselves by log.retention.',
	example: 'coppice log compact',
	builder: yargs =>
		yargs
			.option('rank', RANK_OPTION)
			.option('json', {type: 'boolean', describe: 'one document: {"base": SEQ}'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const options = {...rankOption(argv), timeoutMs: LOG_TIMEOUT_MS};
		const answer = objectOf(await context.session().call(TOPIC, {}, options), TOPIC);
		if (flagOption(argv, 'json')) await printJson(context, answer);
		else await context.print(describeFields(answer));
	},
};
