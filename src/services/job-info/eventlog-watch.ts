/** Follows the eventlog of one job (RFC 18, RFC 21): every event once, in order, then the end when none can follow. */
import {stringifyJson} from '../../formats/json.ts';
import type {JobEvent} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import type {Sink} from './sink.ts';

export function eventLine({name, atMs, context}: JobEvent): string {
	const event = {timestamp: atMs / 1000, name};
	return `${stringifyJson(context === null ? event : {...event, context})}\n`;
}

/** @param finished the events of a job that is no longer active, or null. Returns how to stop. */
export function watchEventlog(
	core: Core,
	id: bigint,
	{sink, finished}: {readonly sink: Sink; readonly finished: readonly JobEvent[] | null},
): () => void {
	let sent = 0;
	let events = finished ?? core.state.jobs.get(id)?.context.events ?? [];
	let isFinal = finished !== null;
	let isBlocked = false;
	let isOver = false;
	const stop = () => {
		isOver = true;
		unsubscribe();
	};
	const pump = () => {
		while (!isOver && !isBlocked && sent < events.length) {
			isBlocked = !sink.write({event: eventLine(events[sent] as JobEvent)});
			sent += 1;
		}
		if (isOver || isBlocked || !isFinal) return;
		stop();
		sink.end();
	};
	const unsubscribe = core.onJob(id, change => {
		({events} = change.snapshot.context);
		isFinal = change.isFinal;
		pump();
	});
	sink.onDrain = () => {
		isBlocked = false;
		pump();
	};
	pump();
	return stop;
}
