/** `coppice overlay errors`: why brokers can't be reached, and what went wrong on links. */
import {Hostlist} from '../../../formats/hostlist.ts';
import {Idset} from '../../../formats/idset.ts';
import type {BrokerSession} from '../../broker-session.ts';
import type {CommandModule} from '../../command.ts';
import type {CliContext} from '../../context.ts';
import {listField, numberField, textField} from '../../fields.ts';
import {strftime} from '../../format/strftime.ts';
import {durationOption, flagOption, operands} from '../../option-value.ts';
import {fetchStatus, treeCall, type StatusOptions} from '../../overlay/tree-status.ts';
import {printJson} from '../../print-json.ts';

const TOPIC = 'overlay.errors';

export const errors: CommandModule = {
	name: 'overlay errors',
	describe:
		'Prints why brokers cannot be reached, equal reasons together; with --history what went wrong on links.',
	example: 'coppice overlay errors\ncoppice overlay errors --history',
	builder: yargs =>
		yargs
			.option('timeout', {alias: 't', type: 'string', describe: 'for an answer of each rank; default 5s'})
			.option('history', {
				type: 'boolean',
				describe: 'the newest errors of all links, refused connections too',
			})
			.option('json', {type: 'boolean', describe: 'one document: {"errors": […]}'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const session = context.session();
		const options = {timeoutS: durationOption(argv, 'timeout')};
		const isJson = flagOption(argv, 'json');
		if (flagOption(argv, 'history')) {
			const found = await fetchHistory(session, options);
			if (isJson) await printJson(context, {errors: found});
			else await context.print(found.map(entry => historyLine(entry, context)).join(''));
			return;
		}
		const groups = await fetchGroups(session, options);
		if (isJson) await printJson(context, {errors: groups});
		else await context.print(groups.map(({hostlist, error}) => `${hostlist}: ${error}\n`).join(''));
	},
};

interface Group {
	readonly ranks: string;
	readonly hostlist: string;
	readonly status: string;
	readonly error: string;
}

async function fetchGroups(session: BrokerSession, options: StatusOptions): Promise<readonly Group[]> {
	const groups = new Map<string, {status: string; error: string; ranks: number[]; hosts: string[]}>();
	for (const {rank, hostname, status, error} of await fetchStatus(session, options)) {
		if (error === '') continue;
		const group = groups.get(`${status} ${error}`) ?? {status, error, ranks: [], hosts: []};
		group.ranks.push(rank);
		group.hosts.push(hostname);
		groups.set(`${status} ${error}`, group);
	}
	return [...groups.values()].map(({status, error, ranks, hosts}) => ({
		ranks: Idset.from(ranks).toString(),
		hostlist: Hostlist.from(hosts).toString(),
		status,
		error,
	}));
}

async function fetchHistory(session: BrokerSession, options: StatusOptions): Promise<readonly unknown[]> {
	const {payload, options: callOptions} = treeCall(options);
	return listField(await session.call(TOPIC, payload, callOptions), 'errors', TOPIC);
}

function historyLine(entry: unknown, {world}: CliContext): string {
	const seconds = numberField(entry, 'time', TOPIC);
	const time = strftime('%FT%T', seconds, world.utcOffsetMinutes(seconds));
	const where = `rank ${numberField(entry, 'rank', TOPIC)} (${textField(entry, 'hostname', TOPIC)})`;
	return `${time} ${where}: ${textField(entry, 'peer', TOPIC)}: ${textField(entry, 'error', TOPIC)}\n`;
}
