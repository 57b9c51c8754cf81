/**
 * How far many jobs are, in one line that is drawn again and again at the bottom of a terminal. Invariant: whatever else is
 * written goes through `around`, so that no line is torn; without a terminal nothing is drawn.
 */
import type {Clock, Timer} from '../../ports/clock.ts';
import type {Sink} from '../context.ts';

export interface ProgressOptions {
	readonly sink: Sink;
	readonly clock: Clock;
	/** Of jobs. */
	readonly total: number;
	/** Jobs that ended are what counts, not those that were submitted. */
	readonly countsEndings: boolean;
	readonly showsRate: boolean;
	/** Block characters may be used. */
	readonly isUnicode: boolean;
}

export interface Progress {
	submitted(): void;
	ended(isSuccess: boolean): void;
	/** Writes something else than the bar. */
	around(write: () => Promise<void>): Promise<void>;
	/** Draws it for the last time, and leaves it there. */
	finish(): Promise<void>;
}

const REDRAW_MS = 100;
const CLEAR = '\r\x1b[K';

export const NO_PROGRESS: Progress = {
	submitted: () => {},
	ended: () => {},
	around: write => write(),
	finish: async () => {},
};

export class ProgressBar implements Progress {
	readonly #options: ProgressOptions;
	readonly #startMs: number;
	#submitted = 0;
	#succeeded = 0;
	#failed = 0;
	#timer: Timer | null = null;
	#drawn = false;

	constructor(options: ProgressOptions) {
		this.#options = options;
		this.#startMs = options.clock.monotonicMs();
	}

	submitted(): void {
		this.#submitted += 1;
		this.#drawSoon();
	}

	ended(isSuccess: boolean): void {
		if (isSuccess) this.#succeeded += 1;
		else this.#failed += 1;
		this.#drawSoon();
	}

	async around(write: () => Promise<void>): Promise<void> {
		if (this.#drawn) await this.#options.sink.write(CLEAR);
		this.#drawn = false;
		await write();
		this.#drawSoon();
	}

	async finish(): Promise<void> {
		this.#timer?.cancel();
		this.#timer = null;
		await this.#options.sink.write(`${CLEAR}${this.#line()}\n`);
		this.#drawn = false;
	}

	#drawSoon(): void {
		this.#timer ??= this.#options.clock.setTimer(REDRAW_MS, () => {
			this.#timer = null;
			this.#drawn = true;
			void this.#options.sink.write(CLEAR + this.#line());
		});
	}

	#line(): string {
		const {total, countsEndings, showsRate, clock, sink, isUnicode} = this.#options;
		const ended = this.#succeeded + this.#failed;
		const done = countsEndings ? ended : this.#submitted;
		const seconds = Math.max(0.001, (clock.monotonicMs() - this.#startMs) / 1000);
		const counts = countsEndings
			? `PD:${this.#submitted - ended} CD:${this.#succeeded} F:${this.#failed}`
			: `${this.#submitted} of ${total}`;
		const percent = `${(total === 0 ? 100 : (100 * done) / total).toFixed(1)}%`;
		const end = showsRate ? `${(done / seconds).toFixed(1)} job/s` : clockTime(seconds);
		const room = sink.columns - counts.length - percent.length - end.length - 6;
		const bar = barOf(total === 0 ? 1 : done / total, {width: Math.max(0, room), isUnicode});
		return `${counts} |${bar}| ${percent} ${end}`.slice(0, Math.max(1, sink.columns - 1));
	}
}

function barOf(part: number, {width, isUnicode}: {width: number; isUnicode: boolean}): string {
	const full = Math.floor(part * width);
	return (isUnicode ? '█' : '#').repeat(full) + ' '.repeat(width - full);
}

function clockTime(seconds: number): string {
	const whole = Math.floor(seconds);
	const two = (value: number) => String(value).padStart(2, '0');
	return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
