/** `coppice resource undrain`: nodes may have new work again. */
import type {CommandModule} from '../../command.ts';
import {UsageError} from '../../command-error.ts';
import {flagOption} from '../../option-value.ts';

export const undrain: CommandModule = {
	name: 'resource undrain',
	describe: 'Ends the drain of nodes.',
	operands: 'TARGETS [REASON…]',
	example: 'coppice resource undrain 3-4',
	builder: yargs =>
		yargs.option('force', {alias: 'f', type: 'boolean', describe: 'pass over targets that are not drained'}),
	handler: async (argv, context) => {
		const [targets, ...words] = argv._;
		if (targets === undefined) throw new UsageError('TARGETS is missing');
		const reason = words.join(' ');
		await context.session().call('resource.undrain', {
			targets,
			...(reason === '' ? {} : {reason}),
			...(flagOption(argv, 'force') ? {mode: 'force'} : {}),
		});
	},
};
