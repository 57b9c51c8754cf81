/**
 * Everything that a command may touch. `World` is the process around it (src/cli/real makes the real one); `CliContext`
 * adds what the global options say, and the connection to the broker.
 */
import type {Clock} from '../ports/clock.ts';
import type {TerminalSize} from '../ports/process-host.ts';
import type {Random} from '../ports/random.ts';
import type {Transport} from '../ports/transport.ts';
import type {OpenRepl} from './repl-source.ts';
import {socketPathOf} from '../net/address.ts';
import {explain} from './command-error.ts';
import {BrokerSession, type PatienceOptions} from './broker-session.ts';

export interface Sink {
	/** Resolves when more may be written. */
	write(chunk: string | Uint8Array): Promise<void>;
	readonly isTerminal: boolean;
	/** Of the terminal; 80 when it is none. */
	readonly columns: number;
}

/** Standard input. */
export interface Source {
	/** `none`: it is closed, or /dev/null. @throws {SystemError} EISDIR */
	readonly kind: 'none' | 'data' | 'terminal';
	/** What comes, read as it is taken; ends with it, and after `stop`. Once. */
	chunks(): AsyncIterable<Uint8Array>;
	/** Reads no more. */
	stop(): void;
	/** Of a terminal that knows it. */
	size(): TerminalSize | null;
	/** Every key as it is typed, also those that would make signals; the function returned undoes it. */
	makeRaw(): () => void;
}

export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGTSTP' | 'SIGWINCH' | 'SIGHUP';

export interface ReadLinesOptions {
	readonly prompt: string;
	/** Keeps what was typed for the next time; null: it is forgotten. Only of a terminal. */
	readonly historyPath: string | null;
	readonly complete: (line: string) => Promise<readonly [matches: string[], fragment: string]>;
	/** ^C; without it, and when it answers false, the line is dropped. */
	readonly onInterrupt: () => boolean;
}

export interface World {
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly cwd: string;
	readonly userid: number;
	/** The file mode creation mask. */
	readonly umask: number;
	readonly version: string;
	/** The path of this command. */
	readonly commandPath: string;
	readonly clock: Clock;
	readonly random: Random;
	readonly transport: Transport;
	readonly stdout: Sink;
	readonly stderr: Sink;
	readonly stdin: Source;
	/** The text of a file; rejects with a `SystemError` that names it. */
	readFile(path: string): Promise<string>;
	/** Writes a file, emptied first unless `append`; rejects with a `SystemError` that names it. */
	writeFile(path: string, chunk: string | Uint8Array, options?: {readonly append?: boolean}): Promise<void>;
	/** The soft resource limits of the user's shell, by name (`src/formats/rlimit.ts`); none where they can't be read. */
	resourceLimits(): Promise<Readonly<Record<string, number>>>;
	/** All of standard input. */
	readInput(): Promise<string>;
	/** Lines that a person types; ends at end of file. */
	readLines(options: ReadLinesOptions): AsyncIterable<string>;
	/** Makes a REPL of a source. */
	readonly openRepl: OpenRepl;
	/** Whether anything is at `path`. */
	exists(path: string): Promise<boolean>;
	/** What tells a process from a later one with its pid; null: it is gone, or dead. */
	processStart(pid: number): Promise<string | null>;
	/** Handles a signal instead of its default; the function returned ends that. */
	onSignal(name: SignalName, handle: () => void): () => void;
	/** The name of a user, or the id as text. */
	usernameOf(userid: number): string;
	/** The id of a user given by name or number, or undefined. */
	useridOf(name: string): number | undefined;
	/** Minutes that local time is ahead of UTC at a moment (epoch seconds). */
	utcOffsetMinutes(epochS: number): number;
}

export interface CliContextOptions {
	readonly commandName: string;
	readonly uri: string;
	/** Who said so: `option --uri`, `COPPICE_URI`; for messages. */
	readonly uriSource: string;
	readonly isVerbose: boolean;
	/** Shared with another context, which closes them. */
	readonly sessions?: BrokerSession[];
}

export class CliContext {
	readonly world: World;
	/** For messages: `job attach`. */
	readonly commandName: string;
	readonly uri: string;
	readonly uriSource: string;
	readonly isVerbose: boolean;
	readonly #sessions: BrokerSession[];

	constructor(world: World, {commandName, uri, uriSource, isVerbose, sessions = []}: CliContextOptions) {
		this.uriSource = uriSource;
		this.#sessions = sessions;
		this.world = world;
		this.commandName = commandName;
		this.uri = uri;
		this.isVerbose = isVerbose;
	}

	/** The same context, more talkative. */
	verbose(): CliContext {
		return new CliContext(this.world, {...this, isVerbose: true, sessions: this.#sessions});
	}

	/** The same context with another environment. */
	withEnv(env: World['env']): CliContext {
		// `World` has getters: a copy of it would ask for everything.
		const world = Object.create(this.world, {env: {value: env, enumerable: true}}) as World;
		return new CliContext(world, {...this, sessions: this.#sessions});
	}

	get env(): World['env'] {
		return this.world.env;
	}

	get clock(): Clock {
		return this.world.clock;
	}

	/**
	 * A session with the broker; it connects when it is first used. `close` ends it.
	 *
	 * @throws {CommandError} the URI can't be one.
	 */
	session(patience: PatienceOptions = {}): BrokerSession {
		try {
			socketPathOf(this.uri);
		} catch (error) {
			throw explain(this.uriSource, error);
		}
		const session = new BrokerSession({
			...this.world,
			uri: this.uri,
			...patience,
			onNotice: text => (this.isVerbose ? this.warn(text) : Promise.resolve()),
		});
		this.#sessions.push(session);
		return session;
	}

	/** What was asked for. */
	print(text: string | Uint8Array): Promise<void> {
		return this.world.stdout.write(text);
	}

	/** One line on stderr: `coppice SUBCOMMAND: text`. Never rejects: of a stderr that takes nothing nobody can be told. */
	async warn(text: string): Promise<void> {
		await this.world.stderr.write(`coppice ${this.commandName}: ${text}\n`).catch(() => undefined);
	}

	close(): void {
		for (const session of this.#sessions) session.close();
	}
}
