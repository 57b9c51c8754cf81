/**
 * `coppice exec`: a command on the nodes of brokers, one task each. It is a job that names its ranks itself, waits for nobody
 * and holds nothing; so it is supervised, found again and logged like any other.
 */
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {jobspecFromCommand} from '../../formats/jobspec-from-command.ts';
import {stringifyJson} from '../../formats/json.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {wrapSigned} from '../../formats/sign-none.ts';
import {attachJob} from '../attach/attach-job.ts';
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {BrokerSession} from '../broker-session.ts';
import {textField} from '../fields.ts';
import {jobidText} from '../jobid-text.ts';
import {flagOption, textOption} from '../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../reconnect-option.ts';
import {jobEnvironment} from '../submit/job-environment.ts';
import {requestIds} from '../submit/request-id.ts';
import {submitAll} from '../submit/submit-all.ts';
import {URGENCY_DEFAULT} from '../submit/submission-options.ts';

export const exec: CommandModule = {
	name: 'exec',
	describe: 'Runs a command on the nodes of brokers, supervised like a job, beside whatever runs there.',
	operands: 'COMMAND [ARG…]',
	example: 'coppice exec -r 0-3 -l uptime',
	builder: yargs =>
		yargs
			.option('rank', {alias: 'r', type: 'string', describe: 'ranks (1,3-5), or all; default all'})
			.option('exclude', {alias: 'x', type: 'string', describe: 'ranks to leave out'})
			.option('dir', {alias: 'd', type: 'string', describe: 'working directory; default: the current one'})
			.option('label-io', {alias: 'l', type: 'boolean', describe: 'put the rank before each line'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'say what happens, on stderr'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		if (argv._.length === 0) throw new UsageError('a command is missing');
		const session = context.session(patienceOf(argv));
		const hosts = await hostsOf(session);
		const ranks = ranksOf(hosts, {wanted: textOption(argv, 'rank'), without: textOption(argv, 'exclude')});
		const R = ResourceSet.from(
			ranks.map(rank => [rank, {host: hosts[rank] ?? '', cores: Idset.from([0]), gpus: Idset.empty}]),
		);
		const environment = await jobEnvironment({
			rules: [],
			source: context.env,
			readFile: path => context.world.readFile(path),
		});
		const jobspec = jobspecFromCommand({
			argv: argv._,
			ntasks: ranks.length,
			nnodes: ranks.length,
			cwd: textOption(argv, 'dir') ?? context.world.cwd,
			environment,
			// Commands on nodes have nothing to do with each other.
			shellOptions: {'exit-timeout': 'none', pmi: 'off'},
			systemAttributes: {'alloc-bypass': {R: R.encode()}},
		});
		const {random, userid} = context.world;
		const request = {
			J: wrapSigned(userid, stringifyJson(jobspec)),
			urgency: URGENCY_DEFAULT,
			flags: 0,
			request_id: requestIds(undefined, random)(''),
		};
		for await (const id of submitAll({session, clock: context.clock, count: 1, requestOf: () => request})) {
			if (context.isVerbose) await context.warn(`jobid: ${jobidText(id, context.env)}`);
			return attachJob(context, {
				session,
				id,
				isLabeled: flagOption(argv, 'label-io'),
				labelOf: task => String(ranks[Number(task)] ?? task),
				showsEvents: false,
				isReadOnly: false,
			});
		}
		throw new Error('one request was sent, and no id came');
	},
};

async function hostsOf(session: BrokerSession): Promise<readonly string[]> {
	const answer = await session.call('attr.get', {name: 'hostlist'}, {idempotent: true});
	return [...Hostlist.parse(textField(answer, 'value', 'attr.get'))];
}

function ranksOf(
	hosts: readonly string[],
	{wanted, without}: {readonly wanted: string | undefined; readonly without: string | undefined},
): readonly number[] {
	const all = Idset.range(0, hosts.length - 1);
	const asked = wanted === undefined || wanted === 'all' ? all : Idset.parse(wanted);
	const strangers = asked.difference(all);
	if (!strangers.isEmpty) {
		throw new SystemError('EHOSTUNREACH', `rank ${strangers.toString()} is not in this instance`);
	}
	const left = without === undefined ? asked : asked.difference(Idset.parse(without));
	if (left.isEmpty) throw new UsageError('no rank is left to run on');
	return [...left];
}
