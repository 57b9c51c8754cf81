/**
 * The process of a broker as a daemon starts it: `broker-main --instance ID --statedir D --jobdir D --rundir D --rank R
 * [--conf C]… [-S NAME=VALUE]… [--daemon]`. It does what `coppice broker` does, without the weight of a command line for
 * people: its arguments come from a program.
 */
import {writeSync} from 'node:fs';
import {parseArgs} from 'node:util';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {EXIT_REFUSED} from '../daemon-protocol.ts';
import type {InstanceInfo} from '../instance.ts';
import {runBrokerProcess} from './broker-process.ts';
import {findKnownInstance} from './known-instance.ts';
import {startBroker} from './start-broker.ts';

const OPTIONS = {
	instance: {type: 'string'},
	statedir: {type: 'string'},
	jobdir: {type: 'string'},
	rundir: {type: 'string'},
	rank: {type: 'string'},
	conf: {type: 'string', multiple: true},
	setattr: {type: 'string', short: 'S', multiple: true},
	daemon: {type: 'boolean'},
} as const;

run().then(
	status => process.exit(status),
	(error: unknown) => {
		writeSync(2, `${asSystemError(error).toString()}\n`);
		process.exit(error instanceof SystemError ? EXIT_REFUSED : 1);
	},
);

async function run(): Promise<number> {
	const {values} = parseArgs({options: OPTIONS});
	const {instance, statedir, jobdir, rundir, conf = [], setattr = [], daemon = false} = values;
	const rank = Number(values.rank ?? NaN);
	const isComplete = instance !== undefined && statedir !== undefined && jobdir !== undefined;
	if (!isComplete || rundir === undefined || !Number.isSafeInteger(rank) || rank < 0) {
		throw new SystemError(
			'EINVAL',
			'broker-main: --instance, --statedir, --jobdir, --rundir and --rank are needed',
		);
	}
	const info: InstanceInfo = await findKnownInstance({instance, rank, statedir, jobdir, rundir});
	return runBrokerProcess({
		info,
		rank,
		confs: conf,
		attributes: Object.fromEntries(setattr.map(splitAttribute)),
		hasDaemon: daemon,
		startBroker,
	});
}

function splitAttribute(text: string): [name: string, value: string] {
	const at = text.indexOf('=');
	if (at < 1) throw new SystemError('EINVAL', `-S ${text}: must be NAME=VALUE`);
	return [text.slice(0, at), text.slice(at + 1)];
}
