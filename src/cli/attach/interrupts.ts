/**
 * What Ctrl-C does to a command that waits for a job. On a terminal the first one asks, and a second within two
 * seconds cancels (Ctrl-Z detaches); elsewhere the first one cancels. After that the command waits for the job's end,
 * and a later one, not an echo of the first, leaves the job alone.
 */
import type {Clock, Timer} from '../../ports/clock.ts';
import type {SignalName} from '../context.ts';

export const ASK_MS = 2000;

export interface InterruptActions {
	readonly cancel: () => void;
	/** Ends the command, not the job. */
	readonly detach: (exitCode: number) => void;
	readonly say: (text: string) => void;
}

export interface InterruptOptions extends InterruptActions {
	readonly clock: Clock;
	readonly isTerminal: boolean;
	readonly onSignal: (name: SignalName, handle: () => void) => () => void;
}

const EXIT_INTERRUPTED = 130;

/** Begins to handle the signals; the function returned ends that. */
export function handleInterrupts(options: InterruptOptions): () => void {
	const {clock, isTerminal, onSignal, cancel, detach, say} = options;
	let canceledAtMs: number | null = null;
	let asking: Timer | null = null;
	let ignoreStop: (() => void) | null = null;
	const stopAsking = () => {
		asking?.cancel();
		asking = null;
		ignoreStop?.();
		ignoreStop = null;
	};
	const ask = () => {
		say(`one more ctrl-C within ${ASK_MS / 1000}s to cancel or ctrl-Z to detach`);
		asking = clock.setTimer(ASK_MS, stopAsking);
		ignoreStop = onSignal('SIGTSTP', () => {
			stopAsking();
			detach(0);
		});
	};
	const ignoreInterrupt = onSignal('SIGINT', () => {
		if (canceledAtMs !== null) {
			// Whoever signals a whole process group may hit this process twice.
			if (clock.monotonicMs() - canceledAtMs > ASK_MS) detach(EXIT_INTERRUPTED);
		} else if (!isTerminal || asking !== null) {
			stopAsking();
			canceledAtMs = clock.monotonicMs();
			cancel();
		} else {
			ask();
		}
	});
	return () => {
		stopAsking();
		ignoreInterrupt();
	};
}
