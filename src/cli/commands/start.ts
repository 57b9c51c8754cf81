/** `coppice start`: an instance on this host. */
import {resolve} from 'node:path';
import {RANKS_MAX} from '../../net/overlay/topology.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {flagOption, integerOption, textOption, textOptions} from '../option-value.ts';
import {startMain} from '../real/start-main.ts';

export const start: CommandModule = {
	name: 'start',
	describe:
		'Brings up an instance on this host and keeps it up. With a command: runs it, then stops the instance and exits ' +
		'with its status. On a state directory that was used before: recovers it.',
	operands: '[-- COMMAND [ARG…]]',
	example:
		'coppice start --detach\ncoppice start -s 15 --topo kary:2 --detach\ncoppice start --statedir /data/c --conf resource.cores=8 -- ./campaign.sh',
	builder: yargs =>
		yargs
			.option('size', {
				alias: 's',
				type: 'string',
				describe: 'the number of brokers; default: as before, or 1',
			})
			.option('topo', {type: 'string', describe: 'the tree: kary:N or custom'})
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
			.option('detach', {type: 'boolean', describe: 'leave the instance running, and print its URI'}),
	handler: async (argv, context) => {
		const size = integerOption(argv, 'size', {min: 1, max: RANKS_MAX}) ?? null;
		const detach = flagOption(argv, 'detach');
		if (detach && argv._.length > 0) throw new UsageError('--detach goes without a command');
		const topo = textOption(argv, 'topo') ?? null;
		return startMain(
			{
				...directoriesOf(argv, context.world.cwd),
				adopt: flagOption(argv, 'adopt'),
				size,
				topo,
				// Also through the configuration, so that it is checked and shown like the rest of it.
				confs: [...textOptions(argv, 'conf'), ...(topo === null ? [] : [`tbon.topo=${topo}`])],
				attributes: attributesOf(argv).map(([name, value]) => `${name}=${value}`),
				detach,
				command: argv._,
			},
			context,
		);
	},
};

/** The directories as given, absolute; null where the default is wanted. */
export function directoriesOf(
	argv: ParsedArguments,
	cwd: string,
): Record<'statedir' | 'jobdir' | 'rundir', string | null> {
	const pathOf = (name: string) => {
		const path = textOption(argv, name);
		if (path === '') throw new UsageError(`option --${name}: the path is empty`);
		return path === undefined ? null : resolve(cwd, path);
	};
	return {statedir: pathOf('statedir'), jobdir: pathOf('jobdir'), rundir: pathOf('rundir')};
}

/** The `-S NAME=VALUE` options. */
export function attributesOf(argv: ParsedArguments): readonly (readonly [name: string, value: string])[] {
	return textOptions(argv, 'setattr').map(text => {
		const match = /^([A-Za-z][A-Za-z0-9._-]*)=(.*)$/s.exec(text);
		if (match === null) throw new UsageError(`option -S: '${text}' is not NAME=VALUE`);
		return [match[1]!, match[2]!];
	});
}
