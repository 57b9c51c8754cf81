/** `coppice config check`: whether a broker would take a configuration. Asks no broker. */
import {resolve} from 'node:path';
import {readConfig} from '../../../broker/real/read-config.ts';
import type {CommandModule} from '../../command.ts';
import {configView} from '../../config-view.ts';
import {flagOption, operands} from '../../option-value.ts';
import {printJson} from '../../print-json.ts';

export const check: CommandModule = {
	name: 'config check',
	describe:
		'Reads configuration as a broker would, later values over earlier ones, and says what is wrong with it and where. ' +
		'Prints nothing when all is well.',
	operands: 'FILE|KEY=VALUE…',
	example: 'coppice config check /etc/coppice/coppice.toml',
	builder: yargs =>
		yargs.option('json', {type: 'boolean', describe: 'print what it makes, with the defaults, as JSON'}),
	handler: async (argv, context) => {
		const confs = operands(argv, ['FILE|KEY=VALUE…']).map(conf =>
			/^[^/=]+=/.test(conf) ? conf : resolve(context.world.cwd, conf),
		);
		const config = await readConfig(confs);
		if (flagOption(argv, 'json')) await printJson(context, configView(config));
	},
};
