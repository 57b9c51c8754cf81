/** `coppice repl`: expressions about a live broker, or a dead log, evaluated here on a copy of its state. */
import {SystemError} from '../../formats/errno.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {operands, textOption} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';
import {deadSource, liveSource} from '../repl-source.ts';

const PROMPT = 'coppice> ';

export const repl: CommandModule = {
	name: 'repl',
	describe:
		'Inspects a live broker or a dead log: broker, jobs, job(id), log(n), at(seq), diff(a,b), why(job), …',
	example: `coppice repl -e 'jobs'`,
	builder: yargs =>
		yargs
			.option('eval', {alias: 'e', type: 'string', describe: 'evaluate one expression and print JSON'})
			.option('log', {type: 'string', describe: 'the log of this state directory'})
			.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		operands(argv, []);
		if (argv['log'] !== undefined && argv['rank'] !== undefined)
			throw new UsageError('either --log or --rank');
		const evaluate = await evaluator(argv, context);
		const expression = textOption(argv, 'eval');
		if (expression !== undefined) {
			await printJson(context, (await evaluate(expression)) ?? null);
			return;
		}
		for await (const line of context.world.readLines(PROMPT)) {
			const text = line.trim();
			if (text === '') continue;
			if (text === '.exit' || text === 'exit') return;
			try {
				await printJson(context, (await evaluate(text)) ?? null);
			} catch (error) {
				if (!(error instanceof SystemError)) throw error;
				await context.warn(error.toString()); // A slip of the pen does not end the session.
			}
		}
	},
};

async function evaluator(
	argv: ParsedArguments,
	context: CliContext,
): Promise<(text: string) => Promise<unknown>> {
	const dir = textOption(argv, 'log');
	const source = dir === undefined ? liveSource(context.session(), rankOption(argv)) : await deadSource(dir);
	return expression => context.world.evaluate(expression, source);
}
