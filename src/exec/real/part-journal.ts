/** Writes a part's journal to its file. Invariant: what could not be written is kept, in order, and comes before what follows. */
import {asSystemError} from '../../formats/errno.ts';
import {appendJournal} from './part-dir.ts';

export class PartJournal {
	readonly #dir: string;
	readonly #onFailure: (text: string) => void;
	#unwritten: string;

	/** @param isTorn the last line was cut off: what follows begins on a line of its own. */
	constructor(dir: string, isTorn: boolean, onFailure: (text: string) => void) {
		this.#dir = dir;
		this.#unwritten = isTorn ? '\n' : '';
		this.#onFailure = onFailure;
	}

	get isBehind(): boolean {
		return this.#unwritten !== '';
	}

	/** A journal that can't be written is kept in memory and tried again: exit records are the truth. */
	write(lines: string): void {
		if (lines === '' && this.#unwritten === '') return;
		this.#unwritten += lines;
		try {
			appendJournal(this.#dir, this.#unwritten);
			this.#unwritten = '';
		} catch (error) {
			// Part of it may be there: a line of its own keeps what follows readable, and readers skip the rest.
			if (!this.#unwritten.startsWith('\n')) this.#unwritten = `\n${this.#unwritten}`;
			if (lines !== '') this.#onFailure(asSystemError(error).toString());
		}
	}
}
