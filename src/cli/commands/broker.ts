/** `coppice broker`: one broker in the foreground, for systemd and for the daemon of `coppice start`. */
import {hostname} from 'node:os';
import {EXIT_REFUSED} from '../../broker/daemon-protocol.ts';
import type {InstanceInfo} from '../../broker/instance.ts';
import {runBrokerProcess} from '../../broker/real/broker-process.ts';
import {readInstance, readRankRecord, withPreparedInstance} from '../../broker/real/instance-dirs.ts';
import {readStartRecord} from '../../broker/real/instance-scan.ts';
import {readConfig} from '../../broker/real/read-config.ts';
import {startBroker} from '../../broker/real/start-broker.ts';
import {SystemError} from '../../formats/errno.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {flagOption, integerOption, textOption, textOptions} from '../option-value.ts';
import {defaultLinkFor, placeDefaultLink} from '../real/daemon-rundir.ts';
import {attributesOf, directoriesOf} from './start.ts';

const RANK_MAX = 16_383;

export const broker: CommandModule = {
	name: 'broker',
	describe:
		'Runs one broker in the foreground. SIGTERM leaves jobs running. Exit status 42: it refuses to run, and a restart ' +
		"can't cure that.",
	example: 'coppice broker --statedir /var/lib/coppice/state',
	builder: yargs =>
		yargs
			.option('rank', {type: 'string', describe: 'default 0'})
			.option('instance', {
				type: 'string',
				describe: 'the id; default: that of the directories, or a new one',
			})
			.option('statedir', {type: 'string', describe: 'what must never be lost'})
			.option('jobdir', {type: 'string', describe: "jobs' files; never in the state directory"})
			.option('rundir', {type: 'string', describe: 'sockets and logs'})
			.option('setattr', {
				alias: 'S',
				type: 'string',
				array: true,
				describe: 'NAME=VALUE, an attribute of the broker',
			})
			.option('conf', {type: 'string', array: true, describe: 'a TOML file, or key=value'})
			.option('adopt', {
				type: 'boolean',
				describe: 'take over the jobs of an instance whose state directory is lost',
			})
			.option('daemon', {
				type: 'boolean',
				describe: 'a daemon restarts this broker, and this broker the daemon',
			}),
	handler: async (argv, context) => {
		if (argv._.length > 0) throw new UsageError(`unexpected argument '${argv._[0]}'`);
		const rank = integerOption(argv, 'rank', {min: 0, max: RANK_MAX}) ?? 0;
		const attributes = Object.fromEntries(attributesOf(argv));
		let info: InstanceInfo;
		try {
			info = await findInstance(argv, context, rank);
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			await context.warn(error.toString());
			return EXIT_REFUSED;
		}
		const confs = textOptions(argv, 'conf');
		return runBrokerProcess({
			info,
			rank,
			confs,
			attributes,
			hasDaemon: flagOption(argv, 'daemon'),
			startBroker,
		});
	},
};

/** The instance that is named, or the one of the directories, which are made when they are new. */
async function findInstance(argv: ParsedArguments, context: CliContext, rank: number): Promise<InstanceInfo> {
	const instance = textOption(argv, 'instance');
	const directories = directoriesOf(argv, context.world.cwd);
	const {statedir, jobdir, rundir} = directories;
	if (instance === undefined) return prepareInstance(argv, context, rank);
	if (statedir === null || jobdir === null || rundir === null) {
		throw new UsageError('--instance goes with --statedir, --jobdir and --rundir');
	}
	const started = await readStartRecord(rundir);
	const candidates = [
		started?.info,
		await readRankRecord({instance, jobdir, rundir, cgroupBase: ''}, rank),
		await readInstance(statedir),
	];
	const found = candidates.find(info => info?.instance === instance);
	if (found === undefined || found === null) {
		throw new SystemError(
			'ENOENT',
			`neither ${rundir}, ${jobdir} nor ${statedir} knows the instance ${instance}`,
		);
	}
	return found;
}

async function prepareInstance(
	argv: ParsedArguments,
	context: CliContext,
	rank: number,
): Promise<InstanceInfo> {
	if (rank > 0)
		throw new SystemError('ENOTSUP', `--rank ${rank}: the instance is not known; see coppice start -s`);
	const {world, env} = context;
	const config = await readConfig(textOptions(argv, 'conf'));
	return withPreparedInstance(
		{
			...directoriesOf(argv, world.cwd),
			adopt: flagOption(argv, 'adopt'),
			size: null,
			topo: config.tbon.topo,
			hostname: hostname(),
			env,
			userid: world.userid,
			nowMs: world.clock.epochMs(),
			uuid: () => context.world.random.uuid(),
			warn: text => void context.warn(text),
		},
		async ({info, isDefault}) => {
			const link = defaultLinkFor(isDefault, world.userid);
			if (link !== null) await placeDefaultLink(link, info);
			return info;
		},
	);
}
