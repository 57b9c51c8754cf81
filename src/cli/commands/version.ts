/** `coppice version`: of this command, and of the broker that it would ask. */
import type {CommandModule} from '../command.ts';
import {operands} from '../option-value.ts';

export const version: CommandModule = {
	name: 'version',
	describe: 'Prints the version of this command. The version of a broker is `coppice getattr version`.',
	example: 'coppice version',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		operands(argv, []);
		await context.print(`coppice ${context.world.version}\n`);
	},
};
