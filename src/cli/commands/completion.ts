/** `coppice completion`: prints what a shell loads, and answers what it asks then. */
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {completeWords} from '../complete-words.ts';
import {completionScript, SHELLS, type Shell} from '../completion-scripts.ts';

export const completion: CommandModule = {
	name: 'completion',
	describe:
		'Prints completion for a shell: commands, options, and values such as job ids and queues, which are asked of the ' +
		'instance. Default: bash.',
	operands: '[SHELL]',
	example: 'source <(coppice completion bash)',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const [shell = 'bash', ...words] = argv._;
		if (shell === 'complete') {
			const found = await completeWords(words, context);
			const lines = found.map(({word, describe}) => (describe === undefined ? word : `${word}\t${describe}`));
			await context.print(lines.map(line => `${line}\n`).join(''));
			return;
		}
		if (words.length > 0) throw new UsageError(`unexpected argument '${words[0]}'`);
		if (!(SHELLS as readonly string[]).includes(shell))
			throw new UsageError(`'${shell}' is none of ${SHELLS.join(', ')}`);
		await context.print(completionScript(shell as Shell));
	},
};
