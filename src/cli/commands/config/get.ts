/** `coppice config get`: the configuration of a broker, or one value of it. */
import {CommandError} from '../../command-error.ts';
import type {CommandModule} from '../../command.ts';
import {configView} from '../../config-view.ts';
import {objectOf} from '../../fields.ts';
import {isObject} from '../../../formats/shape.ts';
import {textOption} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';
import {RANK_OPTION, rankOption} from '../../rank-option.ts';
import {UsageError} from '../../command-error.ts';

export const get: CommandModule = {
	name: 'config get',
	describe:
		'Prints the configuration of a broker with its defaults, as JSON, or the value of KEY, such as exec.kill-timeout: a ' +
		'text as it is, anything else as JSON.',
	operands: '[KEY]',
	example: 'coppice config get tbon.torpid\ncoppice config get -r 3 resource',
	builder: yargs =>
		yargs
			.option('default', {alias: 'd', type: 'string', describe: 'print this where KEY has no value'})
			.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		const [key, ...others] = argv._;
		if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
		const answer = await context.session().call('config.get', {}, {...rankOption(argv), idempotent: true});
		let value: unknown = configView(objectOf(answer, 'config.get'));
		for (const name of key === undefined || key === '' ? [] : key.split('.')) {
			value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
		}
		if (value === undefined) {
			const fallback = textOption(argv, 'default');
			if (fallback === undefined)
				throw new CommandError(`${key}: ENOENT: it has no value, or there is no such key`);
			value = fallback;
		}
		if (typeof value === 'string') await context.print(`${value}\n`);
		else await printJson(context, value);
	},
};
