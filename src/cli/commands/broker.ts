/** `coppice broker`: one broker in the foreground, for systemd and for the daemon of `coppice start`. */
import {hostname} from 'node:os';
import {bootstrapOf, isCluster} from '../../broker/bootstrap.ts';
import type {BrokerConfig} from '../../broker/config.ts';
import {EXIT_REFUSED} from '../../broker/daemon-protocol.ts';
import {defaultLink, type InstanceInfo} from '../../broker/instance.ts';
import {runBrokerProcess} from '../../broker/real/broker-process.ts';
import {withPreparedInstance, type PrepareOptions} from '../../broker/real/instance-dirs.ts';
import {findKnownInstance} from '../../broker/real/known-instance.ts';
import {readConfig} from '../../broker/real/read-config.ts';
import {startBroker} from '../../broker/real/start-broker.ts';
import {SystemError} from '../../formats/errno.ts';
import {RANKS_MAX} from '../../net/overlay/topology.ts';
import {readInstanceKey} from '../../net/real/instance-key.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {flagOption, integerOption, textOption, textOptions} from '../option-value.ts';
import {placeDefaultLink} from '../real/daemon-rundir.ts';
import {attributesOf, directoriesOf} from './start.ts';

export const broker: CommandModule = {
	name: 'broker',
	describe:
		'Runs one broker in the foreground. SIGTERM leaves jobs running. Exit status 42: it refuses to run, and a restart ' +
		"can't cure that.",
	example:
		'coppice broker --statedir /var/lib/coppice/state\ncoppice broker --conf /etc/coppice/coppice.toml',
	builder: yargs =>
		yargs
			.option('rank', {
				type: 'string',
				describe: 'default: that of this host in bootstrap.hosts, or 0',
			})
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
		const attributes = Object.fromEntries(attributesOf(argv));
		let info: InstanceInfo;
		try {
			info = await findInstance(argv, context);
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			await context.warn(error.toString());
			return EXIT_REFUSED;
		}
		const confs = textOptions(argv, 'conf');
		return runBrokerProcess({
			info,
			rank: rankOption(argv) ?? info.soleRank ?? 0,
			confs,
			attributes,
			hasDaemon: flagOption(argv, 'daemon'),
			startBroker,
		});
	},
};

/** The instance that is named, or the one of the directories, which are made when they are new. */
async function findInstance(argv: ParsedArguments, context: CliContext): Promise<InstanceInfo> {
	const instance = textOption(argv, 'instance');
	const directories = directoriesOf(argv, context.world.cwd);
	const {statedir, jobdir, rundir} = directories;
	if (instance === undefined) return prepareInstance(argv, context);
	const rank = rankOption(argv) ?? 0;
	if (statedir === null || jobdir === null || rundir === null) {
		throw new UsageError('--instance goes with --statedir, --jobdir and --rundir');
	}
	return findKnownInstance({instance, rank, statedir, jobdir, rundir});
}

function rankOption(argv: ParsedArguments): number | undefined {
	return integerOption(argv, 'rank', {min: 0, max: RANKS_MAX - 1});
}

async function prepareInstance(argv: ParsedArguments, context: CliContext): Promise<InstanceInfo> {
	const {world, env} = context;
	const config = await readConfig(textOptions(argv, 'conf'));
	return withPreparedInstance(
		{
			...directoriesOf(argv, world.cwd),
			adopt: flagOption(argv, 'adopt'),
			topo: config.tbon.topo,
			...(await placeOfThisHost(argv, config)),
			env,
			userid: world.userid,
			nowMs: world.clock.epochMs(),
			uuid: () => context.world.random.uuid(),
			warn: text => void context.warn(text),
		},
		async ({info, isDefault}) => {
			const link = isDefault ? defaultLink(world.env, world.userid) : null;
			if (link !== null) await placeDefaultLink(link, info);
			return info;
		},
	);
}

/** Whose broker this is: the one of an instance of its own, or that of this host in a cluster. */
async function placeOfThisHost(
	argv: ParsedArguments,
	config: BrokerConfig,
): Promise<Pick<PrepareOptions, 'hostname' | 'size' | 'site'>> {
	// As in Flux: for hosts that are known by another name, and for tests.
	const named = attributesOf(argv).findLast(([name]) => name === 'hostname')?.[1];
	const rank = rankOption(argv);
	if (isCluster(config)) {
		const place = bootstrapOf(config, {hostname: named ?? hostname(), rank});
		const {instance} = await readInstanceKey(config.bootstrap.key!);
		return {
			hostname: place.hosts[place.rank]!,
			size: place.size,
			site: {rank: place.rank, instance},
		};
	}
	if (rank !== undefined && rank > 0) {
		throw new SystemError(
			'ENOTSUP',
			`--rank ${rank}: without --instance, and with a configuration that does not name several hosts ` +
				'(bootstrap.hosts), there is rank 0 only; see coppice start -s',
		);
	}
	return {hostname: named ?? hostname(), size: null};
}
