/** The process of a daemon: `node daemon-main.js RUNDIR [--adopt-brokers]`. Its stdout and stderr are `daemon.log`. */
import {asSystemError} from '../../formats/errno.ts';
import {runDaemon} from './daemon.ts';

const [rundir, ...options] = process.argv.slice(2);

function log(text: string): void {
	process.stderr.write(`${new Date().toISOString()} daemon[${process.pid}]: ${text}\n`);
}

/** Exits 1 on anything unexpected: the brokers start another daemon. */
function panic(error: unknown): never {
	log(`panic: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
	process.exit(1);
}

process.on('uncaughtException', panic);
process.on('unhandledRejection', panic);
// A session leader without a terminal; whoever sends these means somebody else.
process.on('SIGHUP', () => log('SIGHUP ignored'));
process.on('SIGINT', () => log('SIGINT ignored'));

if (rundir === undefined) {
	log('usage: daemon-main RUNDIR [--adopt-brokers]');
	process.exit(2);
}
runDaemon({rundir, adoptsBrokers: options.includes('--adopt-brokers'), log}).then(
	status => process.exit(status),
	(error: unknown) => {
		log(asSystemError(error).toString());
		process.exit(1);
	},
);
