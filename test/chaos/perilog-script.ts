/**
 * A prolog and epilog that keep a ledger: a file for each script, job, attempt and rank, with a line when it starts and one
 * when it ends. While `hold-NAME` is there it waits; where `fail-NAME-RANK` is there it fails.
 */
import {chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Instance} from './instance.ts';

export type ScriptName = 'prolog' | 'epilog';

/** What one run wrote; exactly one start and one end are as it should be. */
export interface ScriptLedger {
	readonly script: ScriptName;
	/** In F58. */
	readonly id: string;
	readonly attempt: number;
	readonly rank: number;
	/** Pids. */
	readonly starts: readonly number[];
	/** Exit codes. */
	readonly ends: readonly number[];
}

const SCRIPT = `#!/bin/sh
dir=$1
ledger=$dir/$COPPICE_SCRIPT.$COPPICE_JOB_ID.$COPPICE_JOB_ATTEMPT.$COPPICE_RANK
echo "start $$" >> "$ledger"
echo "it is the $COPPICE_SCRIPT of $COPPICE_JOB_ID"
while [ -e "$dir/hold-$COPPICE_SCRIPT" ]; do sleep 0.05; done
code=0
if [ -e "$dir/fail-$COPPICE_SCRIPT-$COPPICE_RANK" ]; then
	echo "the disk is full of eels" >&2
	code=7
fi
echo "end $code" >> "$ledger"
exit $code
`;

export class PerilogScript {
	readonly #dir: string;
	readonly #path: string;

	constructor(instance: Instance) {
		this.#dir = join(instance.root, 'perilog');
		this.#path = join(instance.root, 'perilog.sh');
		mkdirSync(this.#dir, {recursive: true});
		// Also for an ordinary user.
		chmodSync(this.#dir, 0o777);
		writeFileSync(this.#path, SCRIPT, {mode: 0o755});
		const command = JSON.stringify([this.#path, this.#dir]);
		instance.ownConfs.push(`exec.prolog=${command}`, `exec.epilog=${command}`);
	}

	hold(script: ScriptName): void {
		writeFileSync(join(this.#dir, `hold-${script}`), '');
	}

	release(script: ScriptName): void {
		rmSync(join(this.#dir, `hold-${script}`), {force: true});
	}

	fail(script: ScriptName, rank: number, fails = true): void {
		const path = join(this.#dir, `fail-${script}-${rank}`);
		if (fails) writeFileSync(path, '');
		else rmSync(path, {force: true});
	}

	ledgers(): ScriptLedger[] {
		if (!existsSync(this.#dir)) return [];
		return readdirSync(this.#dir).flatMap(name => {
			const match = /^(prolog|epilog)\.(\w+)\.(\d+)\.(\d+)$/.exec(name);
			if (match === null) return [];
			const lines = readFileSync(join(this.#dir, name), 'utf8').split('\n');
			const numbers = (word: string) =>
				lines.filter(line => line.startsWith(`${word} `)).map(line => Number(line.split(' ')[1]));
			return {
				script: match[1] as ScriptName,
				id: match[2]!,
				attempt: Number(match[3]),
				rank: Number(match[4]),
				starts: numbers('start'),
				ends: numbers('end'),
			};
		});
	}

	/** The runs of a script for one job, by rank. */
	runsOf(script: ScriptName, id: string): ScriptLedger[] {
		return this.ledgers()
			.filter(each => each.script === script && each.id === id.replace(/^ƒ/, 'f'))
			.sort((a, b) => a.rank - b.rank);
	}

	/** What did not run exactly once to its end. Empty: all is well. */
	faults(): string[] {
		return this.ledgers()
			.filter(({starts, ends}) => starts.length !== 1 || ends.length !== 1)
			.map(each => JSON.stringify(each));
	}

	/**
	 * What is wrong when all jobs are over, some of which were canceled: each prolog ran once, perhaps not to its end, and each
	 * was followed by one epilog, which did.
	 */
	chaosFaults(): string[] {
		const all = this.ledgers();
		const nameOf = ({id, attempt, rank}: ScriptLedger) => `${id}.${attempt} on rank ${rank}`;
		const epilogs = new Set(all.filter(({script}) => script === 'epilog').map(nameOf));
		return all.flatMap(each => {
			const {script, starts, ends} = each;
			const isWhole =
				starts.length === 1 && (ends.length === 1 || (script === 'prolog' && ends.length === 0));
			if (!isWhole) return [JSON.stringify(each)];
			return script === 'epilog' || epilogs.has(nameOf(each)) ? [] : [`no epilog of ${nameOf(each)}`];
		});
	}
}
