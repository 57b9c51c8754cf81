/** `coppice repl`: expressions about a live broker, or a dead log, evaluated here on a copy of its state. */
import {SystemError} from '../../formats/errno.ts';
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {operands, textOption} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';
import {deadSource, liveSource, type ReplSession} from '../repl-source.ts';

const PROMPT = 'coppice> ';
/** What is no terminal has no width: lines are cut late. */
const COLUMNS_OF_FILE = 200;

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
		const dir = textOption(argv, 'log');
		const source =
			dir === undefined ? liveSource(context.session(), rankOption(argv)) : await deadSource(dir);
		const session = await context.world.openRepl(source);
		const expression = textOption(argv, 'eval');
		if (expression === undefined) await converse(session, context);
		else await printResult(session, expression, context);
	},
};

/** One JSON document; for values that keep coming a line each. */
async function printResult(session: ReplSession, expression: string, context: CliContext): Promise<void> {
	const value = await session.evaluate(expression);
	if (!isEndless(value)) {
		await printJson(context, value ?? null);
		return;
	}
	const interrupt = new Interrupt();
	const forget = context.world.onSignal('SIGINT', () => interrupt.raise());
	for await (const one of interrupt.cutting(value)) await printJson(context, one);
	forget();
}

/** A slip of the pen does not end the session. */
async function converse(session: ReplSession, context: CliContext): Promise<void> {
	const {world} = context;
	let interrupt: Interrupt | null = null;
	const show = async (value: unknown): Promise<void> => {
		const {columns, isTerminal} = world.stdout;
		const isColored = isTerminal && (world.env['NO_COLOR'] ?? '') === '';
		const options = {
			columns: isTerminal ? columns : COLUMNS_OF_FILE,
			isColored,
			utcOffsetMinutes: (epochS: number) => world.utcOffsetMinutes(epochS),
		};
		await context.print(session.render(value, options));
	};
	const lines = world.readLines({
		prompt: PROMPT,
		historyPath: historyPathOf(context),
		complete: line => session.complete(line),
		onInterrupt: () => interrupt?.raise() ?? false,
	});
	for await (const line of lines) {
		const text = line.trim();
		if (text === '') continue;
		if (['.exit', 'exit', 'quit'].includes(text)) return;
		try {
			const value = await session.evaluate(text);
			if (!isEndless(value)) {
				await show(value);
				continue;
			}
			interrupt = new Interrupt();
			for await (const one of interrupt.cutting(value)) await show(one);
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			await context.warn(error.toString());
		} finally {
			interrupt = null;
		}
	}
}

/** Ends values that keep coming, at the word of a person. */
class Interrupt {
	#raise: () => void = () => {};
	readonly #raised = new Promise<void>(resolve => {
		this.#raise = resolve;
	});

	raise(): true {
		this.#raise();
		return true;
	}

	async *cutting(values: AsyncIterable<unknown>): AsyncGenerator<unknown> {
		const iterator = values[Symbol.asyncIterator]();
		const end = this.#raised.then(() => ({done: true, value: undefined}) as const);
		for (;;) {
			const next = await Promise.race([iterator.next(), end]);
			if (next.done === true) break;
			yield next.value;
		}
		// What waits for the next value can't be told to stop; it ends with the connection.
		void iterator.return?.()?.catch(() => undefined);
	}
}

function isEndless(value: unknown): value is AsyncIterable<unknown> {
	return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function historyPathOf({env}: CliContext): string | null {
	const {XDG_STATE_HOME: base, HOME: home} = env;
	if (base !== undefined && base !== '') return `${base}/coppice/repl-history`;
	return home === undefined || home === '' ? null : `${home}/.local/state/coppice/repl-history`;
}
