/** `coppice job kill`: a signal to all tasks of running jobs. */
import {parseSignal} from '../../../formats/signal.ts';
import {SystemError} from '../../../formats/errno.ts';
import type {CommandModule} from '../../command.ts';
import {UsageError} from '../../command-error.ts';
import {forEachJob} from '../../for-each-job.ts';
import {operands, textOption} from '../../option-value.ts';

export const kill: CommandModule = {
	name: 'job kill',
	describe: 'Sends a signal to all tasks of running jobs.',
	operands: 'ID…',
	example: 'coppice job kill -s USR1 $(coppice job last)',
	builder: yargs =>
		yargs.option('signal', {alias: 's', type: 'string', default: 'SIGTERM', describe: 'name or number'}),
	handler: async (argv, context) => {
		const signum = signalOption(textOption(argv, 'signal')!);
		const session = context.session();
		return forEachJob(context, operands(argv, ['ID…']), id => session.call('job-manager.kill', {id, signum}));
	},
};

/** @throws {UsageError} */
export function signalOption(text: string): number {
	try {
		return parseSignal(text);
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new UsageError(`option --signal: ${error.message}`);
	}
}
