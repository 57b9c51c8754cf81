/** `coppice resource drain`: no new work for nodes; without targets, a list of those that are drained. */
import type {CommandModule} from '../../command.ts';
import {UsageError} from '../../command-error.ts';
import {printTable, withTableOptions} from '../../format/table-options.ts';
import {flagOption, textOption} from '../../option-value.ts';
import {drainLines, fetchNodeStatus, nodeLineJson} from '../../resources/node-status.ts';
import {targetFilter} from '../../resources/targets.ts';
import {nodeFields} from './status.ts';

const FORMATS: Readonly<Record<string, string>> = {
	default: '{timestamp!d:%b%d %R::<12} {state:<8.8} {reason:<30.30+} {nodelist}',
	long: '{timestamp!d:%FT%T::<20} {state:<8.8} {ranks:<8.8+} {reason:<30.30+} {nodelist}',
};

export const drain: CommandModule = {
	name: 'resource drain',
	describe:
		'Drains nodes: what runs there goes on, and nothing new is started. Without TARGETS: lists drained nodes.',
	operands: '[TARGETS [REASON…]]',
	example: 'coppice resource drain n[3-4] "bad memory"',
	builder: yargs =>
		withTableOptions(yargs)
			.option('force', {
				alias: 'f',
				type: 'count',
				describe: 'give drained targets the new reason; twice: the new time as well',
			})
			.option('update', {alias: 'u', type: 'boolean', describe: 'leave drained targets as they are'})
			.option('include', {alias: 'i', type: 'string', describe: 'list only these: an idset or a hostlist'}),
	handler: async (argv, context) => {
		const [targets, ...words] = argv._;
		if (targets === undefined) {
			const isWanted = targetFilter(textOption(argv, 'include'));
			const rows = drainLines(await fetchNodeStatus(context.session(), isWanted));
			await printTable(argv, context, {
				rows,
				fields: nodeFields(context.env),
				namedFormats: FORMATS,
				json: () => ({drain: rows.map(nodeLineJson)}),
			});
			return;
		}
		const force = Number(argv['force'] ?? 0);
		if (force > 0 && flagOption(argv, 'update')) throw new UsageError('either --force or --update');
		const mode = flagOption(argv, 'update') ? 'update' : MODES[Math.min(force, 2)];
		const reason = words.join(' ');
		await context.session().call('resource.drain', {
			targets,
			...(reason === '' ? {} : {reason}),
			...(mode === undefined ? {} : {mode}),
		});
	},
};

const MODES: readonly (string | undefined)[] = [undefined, 'overwrite', 'force-overwrite'];
