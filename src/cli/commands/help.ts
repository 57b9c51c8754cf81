/** `coppice help`: what `--help` of a command prints. The command line is read as that before a module is loaded. */
import type {CommandModule} from '../command.ts';

export const help: CommandModule = {
	name: 'help',
	describe: 'Prints what --help of a command prints; without one, the list of commands.',
	operands: '[COMMAND]',
	example: 'coppice help job attach',
	builder: yargs => yargs,
	handler: async () => {
		throw new Error('help is read as --help, and never called');
	},
};
