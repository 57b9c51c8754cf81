/**
 * How each of many jobs ended, told as it ends: one stream for whoever waits for a thousand of them, where a watch of
 * each eventlog would cost ten messages a job. Invariant: each job is told once; the stream ends after the last.
 */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import type {JobEvent} from '../../machines/job.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {eventLine} from './eventlog-watch.ts';

/** The most jobs of one request. */
export const ENDINGS_IDS_MAX = 65_536;
/** The most jobs in one response. */
export const ENDINGS_PER_RESPONSE_MAX = 64;

export interface Ending {
	readonly id: bigint;
	/** Lines of the job's eventlog. */
	readonly eventlog: string;
}

export interface EndingsSink {
	/** Sends some endings; false: wait for `onDrain` before the next ones. */
	write(value: {readonly endings: readonly Ending[]}): boolean;
	onDrain: () => void;
	end(): void;
	fail(error: SystemError): void;
}

export interface EndingsWatch {
	readonly ids: readonly bigint[];
	/** Only events of these names are told; empty: all. */
	readonly names: readonly string[];
	readonly sink: EndingsSink;
}

/**
 * Tells the sink how the jobs ended, those that are over first; ENOENT fails it when one is not known.
 * @throws {SystemError} EINVAL for too many. Returns how to stop.
 */
export function watchEndings(
	{core, archive}: {readonly core: Core; readonly archive: Archive},
	{ids, names, sink}: EndingsWatch,
): () => void {
	if (ids.length > ENDINGS_IDS_MAX) {
		throw new SystemError(
			'EINVAL',
			`${ids.length} jobs were asked for at once, the limit is ${ENDINGS_IDS_MAX}`,
		);
	}
	const active = new Set(ids.filter(id => core.state.jobs.has(id)));
	/** To be told, in order; without events: those are in the archive. */
	let ended: {readonly id: bigint; readonly events: readonly JobEvent[] | null}[] = [...new Set(ids)]
		.filter(id => !active.has(id))
		.map(id => ({id, events: null}));
	let isScheduled = false;
	let isBlocked = false;
	let isOver = false;
	const stop = () => {
		isOver = true;
		unsubscribe();
	};
	// Jobs that end in one turn of the event loop are told together; and many of the archive never take one turn whole.
	const schedule = () => {
		if (isScheduled || isBlocked || isOver) return;
		isScheduled = true;
		core.clock.defer(() => {
			isScheduled = false;
			if (!isOver) pump();
		});
	};
	const pump = () => {
		const endings: Ending[] = [];
		for (const {id, events} of ended.slice(0, ENDINGS_PER_RESPONSE_MAX)) {
			const all = events ?? archive.job(id)?.events;
			if (all === undefined) {
				stop();
				sink.fail(
					new SystemError(
						'ENOENT',
						core.state.lost.has(id) ? `job ${f58(id)} is in lost+found` : `no job ${f58(id)}`,
					),
				);
				return;
			}
			const told = names.length === 0 ? all : all.filter(({name}) => names.includes(name));
			endings.push({id, eventlog: told.map(eventLine).join('')});
		}
		ended = ended.slice(ENDINGS_PER_RESPONSE_MAX);
		if (endings.length > 0) isBlocked = !sink.write({endings});
		if (ended.length > 0) {
			schedule();
		} else if (active.size === 0) {
			stop();
			sink.end();
		}
	};
	const unsubscribe = core.onChange(change => {
		if (change.kind !== 'job' || !change.isFinal || !active.delete(change.id)) return;
		ended.push({id: change.id, events: change.snapshot.context.events});
		schedule();
	});
	sink.onDrain = () => {
		isBlocked = false;
		schedule();
	};
	schedule();
	return stop;
}
