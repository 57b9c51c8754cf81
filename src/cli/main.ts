/** The process of one command line. */
import {realWorld} from './real/world.ts';
import {runCli} from './run-cli.ts';

/** Runs `argv` (without `node` and the script) and ends the process with its exit status. */
export async function main(argv: readonly string[]): Promise<void> {
	const status = await runCli(argv, realWorld());
	// Standard output is synchronous for files, pipes and terminals (Linux): nothing is cut off here. What a command
	// left behind, such as a connection that is being closed, must not keep the process.
	process.exit(status);
}
