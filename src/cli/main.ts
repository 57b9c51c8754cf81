/** The process of one command line. */
import type {ReplSession, ReplSource} from './repl-source.ts';
import {realWorld} from './real/world.ts';
import {runCli} from './run-cli.ts';

export interface MainOptions {
	/** Loads the REPL, when it is needed. */
	readonly loadRepl: () => Promise<{readonly Repl: new (source: ReplSource) => ReplSession}>;
}

/** Runs `argv` (without `node` and the script) and ends the process with its exit status. */
export async function main(argv: readonly string[], {loadRepl}: MainOptions): Promise<void> {
	const world = realWorld(async source => new (await loadRepl()).Repl(source));
	const status = await runCli(argv, world);
	// Standard output is synchronous for files, pipes and terminals (Linux): nothing is cut off here. What a command
	// left behind, such as a connection that is being closed, must not keep the process.
	process.exit(status);
}
