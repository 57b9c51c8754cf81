/**
 * Jobs of a round of chaos that read: noise from a pipe, whose digest they tell, or lines from a terminal, which they repeat.
 * What `run` is given must reach every task once and in order, and so must its end.
 */
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import type {CoppiceCommand} from './coppice-command.ts';
import type {Instance} from './instance.ts';
import type {JobRow} from './ledger.ts';
import type {Seeded} from './seeded.ts';
import {pause} from './until.ts';

const PIECES = 20;
const PIECE_BYTES_MAX = 100_000;
const LINES = 25;
const RUN_TIMEOUT_MS = 240_000;

export interface FedRunOptions {
	readonly instance: Instance;
	readonly name: string;
	readonly kind: 'input' | 'terminal';
	/** The exit status of its tasks. */
	readonly code: number;
	readonly random: Seeded;
}

export class FedRun {
	readonly name: string;
	readonly #command: CoppiceCommand;
	readonly #faultOf: (stdout: string) => string | null;

	constructor({instance, name, kind, code, random}: FedRunOptions) {
		this.name = name;
		const pieces: Buffer[] =
			kind === 'input'
				? Array.from({length: PIECES}, () => randomBytes(random.integer(1, PIECE_BYTES_MAX)))
				: Array.from({length: LINES}, (_, line) => Buffer.from(`${line}\n`));
		const task =
			kind === 'input'
				? instance.task('digest', String(code))
				: instance.task('repeat', String(LINES), String(code));
		const ntasks = kind === 'input' ? random.pick([1, 1, 2]) : 1;
		const options = kind === 'input' ? ['-n', String(ntasks)] : ['-o', 'pty'];
		this.#command = instance.spawn(['run', '--job-name', name, ...options, ...task], {
			stdin: 'pipe',
			timeoutMs: RUN_TIMEOUT_MS,
		});
		void this.#feed(pieces, random.integer(20, 200));
		const digest = createHash('sha256').update(Buffer.concat(pieces)).digest('hex');
		const repeated = Array.from({length: LINES}, (_, line) => `got ${line}`);
		this.#faultOf = stdout => {
			// A terminal shows what is typed too.
			const lines = stdout.split(/\r?\n/).filter(line => kind === 'input' || line.startsWith('got '));
			const expected =
				kind === 'input' ? [...Array.from({length: ntasks}, () => `${digest}  -`), ''] : repeated;
			return lines.join('\n') === expected.join('\n') ? null : `read ${JSON.stringify(lines)}`;
		};
	}

	/** What is wrong with it, or null. */
	async fault(job: JobRow | undefined): Promise<string | null> {
		try {
			const {status, stdout} = await this.#command.finished;
			const fault = this.#faultOf(stdout);
			if (fault !== null) return `${this.name}: ${fault}`;
			return status === job?.returncode
				? null
				: `${this.name}: run has status ${status}, not ${job?.returncode}`;
		} catch (error) {
			return String(error);
		}
	}

	async #feed(pieces: readonly Buffer[], pauseMs: number): Promise<void> {
		const stdin = this.#command.child.stdin!;
		stdin.on('error', () => undefined); // The command has ended: what it said is judged.
		let hasEnded = false;
		const ended = this.#command.finished.catch(() => undefined).then(() => (hasEnded = true));
		for (const piece of pieces) {
			if (hasEnded) return;
			if (!stdin.write(piece)) await Promise.race([once(stdin, 'drain'), ended]).catch(() => undefined);
			await pause(pauseMs);
		}
		stdin.end();
	}
}
