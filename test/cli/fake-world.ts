/** The world of a command line in a test: output is kept, signals are sent by hand, time runs fast. */
import {Readable} from 'node:stream';
import type {Clock, Timer} from '../../src/ports/clock.ts';
import type {TerminalSize} from '../../src/ports/process-host.ts';
import type {Random} from '../../src/ports/random.ts';
import type {Sink, SignalName, Source, World} from '../../src/cli/context.ts';
import {runCli} from '../../src/cli/run-cli.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {ScriptedBroker} from './scripted-broker.ts';

/** Times how much faster it runs than real time. */
const SPEED = 10;

class FastClock implements Clock {
	readonly bootId = 'boot';
	readonly #startMs = performance.now();
	/** 2026-11-22T12:00:00Z. */
	readonly #epochMs = 1_795_348_800_000;
	readonly #speed: number;

	constructor(speed: number) {
		this.#speed = speed;
	}

	epochMs(): number {
		return this.#epochMs; // Wall time stands still, so that texts can be compared.
	}

	monotonicMs(): number {
		return (performance.now() - this.#startMs) * this.#speed;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const timeout = setTimeout(fire, Math.min(delayMs / this.#speed, 60_000));
		return {cancel: () => clearTimeout(timeout)};
	}

	defer(run: () => void): void {
		setImmediate(run);
	}
}

class FakeRandom implements Random {
	#count = 0;

	float(): number {
		return 0.5;
	}

	bytes(length: number): Uint8Array {
		return new Uint8Array(length);
	}

	uuid(): string {
		this.#count += 1;
		return `uuid-${this.#count}`;
	}
}

class FakeSink implements Sink {
	readonly isTerminal: boolean;
	readonly columns = 80;
	readonly chunks: Buffer[] = [];
	readonly #bytesMax: number;

	constructor(isTerminal: boolean, bytesMax = Infinity) {
		this.isTerminal = isTerminal;
		this.#bytesMax = bytesMax;
	}

	async write(chunk: string | Uint8Array): Promise<void> {
		if (this.bytes.length + chunk.length > this.#bytesMax)
			throw new SystemError('ENOSPC', 'standard output: no space left on device');
		this.chunks.push(Buffer.from(chunk as string));
	}

	get bytes(): Buffer {
		return Buffer.concat(this.chunks);
	}
}

export interface Result {
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
	readonly stdoutBytes: Buffer;
	readonly stderrBytes: Buffer;
}

export interface FakeWorldOptions {
	readonly env?: Record<string, string>;
	readonly isTerminal?: boolean;
	readonly files?: Readonly<Record<string, string>>;
	readonly input?: string;
	readonly lines?: readonly string[];
	/** Room for standard output; absent: enough. */
	readonly stdoutBytesMax?: number;
	/** What comes on standard input; absent: it is /dev/null. */
	readonly stdin?: AsyncIterable<Uint8Array>;
	readonly terminalSize?: TerminalSize;
}

export class FakeWorld {
	readonly clock: FastClock;
	readonly broker: ScriptedBroker;
	readonly handlers = new Map<SignalName, Set<() => void>>();
	socketExists = true;
	readonly processes = new Map<number, string>();
	/** What commands wrote. */
	readonly written = new Map<string, string>();

	/** @param speed how much faster than real time its clock runs */
	constructor(speed = SPEED) {
		this.clock = new FastClock(speed);
		this.broker = new ScriptedBroker(this.clock);
	}

	signal(name: SignalName): void {
		for (const handle of [...(this.handlers.get(name) ?? [])]) handle();
	}

	/** Runs one command line against the fake broker. */
	async run(argv: readonly string[], options: FakeWorldOptions = {}): Promise<Result> {
		const {isTerminal = false, stdoutBytesMax} = options;
		const [stdout, stderr] = [new FakeSink(isTerminal, stdoutBytesMax), new FakeSink(isTerminal)];
		const exitCode = await runCli(argv, this.#world({stdout, stderr, options}));
		return {
			exitCode,
			stdout: stdout.bytes.toString(),
			stderr: stderr.bytes.toString(),
			stdoutBytes: stdout.bytes,
			stderrBytes: stderr.bytes,
		};
	}

	#world({stdout, stderr, options}: {stdout: Sink; stderr: Sink; options: FakeWorldOptions}): World {
		const {env = {}, files = {}, input = '', lines = []} = options;
		return {
			env: {HOME: '/home/u', ...env},
			cwd: '/work',
			umask: 0o022,
			resourceLimits: async () => ({}),
			userid: 1000,
			version: '1.2.3',
			commandPath: '/opt/coppice/bin/coppice',
			clock: this.clock,
			random: new FakeRandom(),
			transport: this.broker.transport,
			stdout,
			stderr,
			stdin: stdinOf(options),
			readFile: async path => {
				const text = files[path];
				if (text === undefined) throw new SystemError('ENOENT', `${path}: no such file`);
				return text;
			},
			writeFile: async (path, chunk, {append = false} = {}) => {
				const before = append ? (this.written.get(path) ?? '') : '';
				this.written.set(path, before + Buffer.from(chunk as string).toString());
			},
			readInput: async () => input,
			openRepl: async () => ({
				evaluate: async expression => {
					if (expression === 'bad(') throw new SystemError('EINVAL', "')' is missing at 4");
					if (expression === 'watch()') return Readable.from([{seq: 1}, {seq: 2}]);
					return {expression};
				},
				complete: async () => [[], ''],
				render: value => `<${JSON.stringify(value)}>\n`,
			}),
			readLines: async function* () {
				yield* lines;
			},
			exists: async () => this.socketExists,
			processStart: async pid => this.processes.get(pid) ?? null,
			onSignal: (name, handle) => {
				const handlers = this.handlers.get(name) ?? new Set();
				this.handlers.set(name, handlers.add(handle));
				return () => handlers.delete(handle);
			},
			usernameOf: userid => (userid === 1000 ? 'ada' : String(userid)),
			useridOf: name => (name === 'ada' ? 1000 : undefined),
			utcOffsetMinutes: () => 0,
		};
	}
}

function stdinOf({stdin, terminalSize}: FakeWorldOptions): Source {
	const kind = stdin === undefined ? 'none' : terminalSize === undefined ? 'data' : 'terminal';
	return {
		kind,
		chunks: async function* () {
			if (stdin !== undefined) yield* stdin;
		},
		stop: () => undefined,
		size: () => terminalSize ?? null,
		makeRaw: () => () => undefined,
	};
}

/** Polls until `isTrue`; rejects after 5 s with `what`. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
	const endMs = performance.now() + 5000;
	while (!isTrue()) {
		if (performance.now() > endMs) throw new Error(`not within 5 s: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 1));
	}
}
