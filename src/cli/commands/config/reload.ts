/** `coppice config reload`: brokers read their configuration again. */
import type {CommandModule} from '../../command.ts';
import {configKey} from '../../config-view.ts';
import {listField} from '../../fields.ts';
import {flagOption, operands} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {RANK_OPTION, rankOption} from '../../rank-option.ts';

const TOPIC = 'config.reload';

export const reload: CommandModule = {
	name: 'config reload',
	describe:
		'Makes brokers read their configuration again, and prints the keys that changed. What is wrong is told, and changes ' +
		'nothing. A broker begins anew with a changed one, and with it all that is below it in the tree: the root, and so ' +
		'the whole instance, if no rank is given. Jobs are left alone.',
	example: 'coppice config reload',
	builder: yargs =>
		yargs
			.option('rank', {
				...RANK_OPTION,
				describe: 'the broker of this rank, and those below it; default: the root',
			})
			.option('json', {type: 'boolean', describe: 'one document: {"changed": […]}'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const answer = await context.session().call(TOPIC, {}, {nodeid: 0, ...rankOption(argv)});
		const changed = listField(answer, 'changed', TOPIC).map(key => configKey(String(key)));
		if (flagOption(argv, 'json')) await printJson(context, {changed});
		else await context.print(changed.map(key => `${key}\n`).join(''));
	},
};
