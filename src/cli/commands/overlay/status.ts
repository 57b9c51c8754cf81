/** `coppice overlay status`: the tree, and how each rank is. */
import {SystemError} from '../../../formats/errno.ts';
import type {BrokerSession} from '../../broker-session.ts';
import type {CommandModule, ParsedArguments} from '../../command.ts';
import {UsageError} from '../../command-error.ts';
import type {CliContext} from '../../context.ts';
import {deferred} from '../../deferred.ts';
import {durationOption, flagOption, integerOption, operands, textOption} from '../../option-value.ts';
import {drawTree, fetchStatus, STATUS_WORDS, subtree, type RankStatus} from '../../overlay/tree-status.ts';
import {printJson} from '../../print-json.ts';
import {RANK_MAX} from '../../rank-option.ts';

const WAIT_POLL_S = 0.1;
const WAIT_TIMEOUT_S = 60;

export const status: CommandModule = {
	name: 'overlay status',
	describe: 'Prints the tree of brokers, and how each of them is.',
	example: 'coppice overlay status -v\ncoppice overlay status --wait full --wait-timeout 30s --summary',
	builder: yargs =>
		yargs
			.option('rank', {alias: 'r', type: 'string', describe: 'only this rank and those below it'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'with the time since the last change'})
			.option('down', {type: 'boolean', describe: 'only what is not full'})
			.option('summary', {type: 'boolean', describe: 'one word: the status of the top'})
			.option('timeout', {alias: 't', type: 'string', describe: 'for an answer of each rank; default 5s'})
			.option('wait', {alias: 'w', type: 'string', describe: `until the top is ${STATUS_WORDS.join(', ')}`})
			.option('wait-timeout', {type: 'string', describe: 'default 60s'})
			.option('json', {type: 'boolean', describe: 'one document: {"overlay": […]}'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const top = integerOption(argv, 'rank', {min: 0, max: RANK_MAX}) ?? 0;
		const entries = await statusOf(argv, context, top);
		if (flagOption(argv, 'json')) {
			await printJson(context, {overlay: entries.map(({fields}) => fields)});
		} else if (flagOption(argv, 'summary')) {
			await context.print(`${topOf(entries, top).status}\n`);
		} else {
			const nowS = flagOption(argv, 'verbose') ? context.clock.epochMs() / 1000 : null;
			await context.print(drawTree(entries, {top, nowS, onlyDown: flagOption(argv, 'down')}));
		}
	},
};

/** The entries at and below `top`, once it is as it is waited for. */
async function statusOf(
	argv: ParsedArguments,
	context: CliContext,
	top: number,
): Promise<readonly RankStatus[]> {
	const wanted = textOption(argv, 'wait');
	if (wanted !== undefined && !(STATUS_WORDS as readonly string[]).includes(wanted)) {
		throw new UsageError(`option --wait: '${wanted}' is none of ${STATUS_WORDS.join(', ')}`);
	}
	const timeoutS = durationOption(argv, 'timeout');
	const waitS = durationOption(argv, 'wait-timeout') ?? WAIT_TIMEOUT_S;
	const endMs = context.clock.monotonicMs() + waitS * 1000;
	const session: BrokerSession = context.session();
	for (;;) {
		const entries = subtree(await fetchStatus(session, {timeoutS}), top);
		const {status: found} = topOf(entries, top);
		if (wanted === undefined || found === wanted) return entries;
		if (context.clock.monotonicMs() >= endMs) {
			throw new SystemError('ETIMEDOUT', `rank ${top} is ${found}, and not ${wanted} within ${waitS}s`);
		}
		const {promise, resolve} = deferred<void>();
		context.clock.setTimer(WAIT_POLL_S * 1000, () => resolve());
		await promise;
	}
}

function topOf(entries: readonly RankStatus[], top: number): RankStatus {
	const entry = entries.find(({rank}) => rank === top);
	if (entry === undefined) throw new SystemError('ENOENT', `there is no rank ${top} in this instance`);
	return entry;
}
