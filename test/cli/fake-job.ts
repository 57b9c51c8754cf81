/** One job of the fake broker: its eventlog and its output, served as the broker does, with a plan of cuts. */
import type {EventlogEvent} from '../../src/formats/eventlog.ts';
import {encodeEvent} from '../../src/formats/eventlog.ts';
import type {ScriptedBroker, RpcRequest} from './scripted-broker.ts';

export const JOB_ID = 14495537038360583n;
export const JOB_F58 = 'f2xC4BKSq4J';

/** The events of a job that ended with `finish` in its context, begun at the first second of time. */
export function jobEvents(finish: object | null, extra: readonly EventlogEvent[] = []): EventlogEvent[] {
	const event = (timestamp: number, name: string, context?: object): EventlogEvent => ({
		timestamp,
		name,
		...(context === undefined ? {} : {context: context as NonNullable<EventlogEvent['context']>}),
	});
	return [
		event(100, 'submit', {userid: 1000, urgency: 16, flags: 0, version: 1}),
		event(100.1, 'validate'),
		event(100.2, 'depend'),
		event(100.3, 'priority', {priority: 16}),
		...(finish === null ? [] : [event(100.4, 'alloc'), event(100.5, 'start')]),
		...extra,
		...(finish === null
			? []
			: [event(101, 'finish', finish), event(101.2, 'release', {ranks: 'all', final: true})]),
		event(101.3, 'free'),
		event(101.4, 'clean'),
	];
}

/** A piece of one stream of one task. */
export interface Piece {
	readonly task: number;
	readonly stream: 'stdout' | 'stderr';
	readonly bytes: Uint8Array;
}

export interface FakeJobOptions {
	readonly events: readonly EventlogEvent[];
	readonly output?: readonly Piece[];
	readonly tasks?: number;
	/** How many messages each stream subscription sends before the broker cuts all links; then none any more. */
	readonly cuts?: readonly number[];
	/** At a cut: say ENODATA instead, as a broker that goes down in good order may. */
	readonly endsInsteadOfCut?: boolean;
	/** Bytes of one data event at most, differently cut for each subscription. */
	readonly pieceBytes?: readonly number[];
	/** How many bytes before the offsets that were asked for the output begins. Default 0. */
	readonly overlapBytes?: number;
}

/** Lets `broker` accept one job with any submit, and serve its logs. */
export function serveJob(broker: ScriptedBroker, options: FakeJobOptions): void {
	const {events, output = [], tasks = 1, cuts = [], pieceBytes = [7], overlapBytes = 0} = options;
	let subscriptions = 0;
	broker.on('job-ingest.submit', request => request.respond({id: JOB_ID}));
	broker.on('job-info.eventlog-watch', request => {
		const {path, offsets} = request.payload as {path: string; offsets?: Record<string, number>};
		const number = subscriptions++;
		const lines =
			path === 'eventlog'
				? events.map(encodeEvent)
				: outputLines({output, tasks, offsets: offsets ?? {}, sizes: pieceBytes, number, overlapBytes});
		void send(broker, request, {lines, cutAfter: cuts[number], isEnd: options.endsInsteadOfCut === true});
	});
}

async function send(
	broker: ScriptedBroker,
	request: RpcRequest,
	{lines, cutAfter, isEnd}: {lines: readonly string[]; cutAfter: number | undefined; isEnd: boolean},
): Promise<void> {
	for (const [index, event] of lines.entries()) {
		if (index === cutAfter) break;
		request.respondStream({event});
		if (index % 3 === 0) await new Promise(resolve => setImmediate(resolve));
		if (!request.isOpen) return;
	}
	if (cutAfter === undefined || cutAfter >= lines.length || isEnd) request.end();
	else broker.cut();
}

interface OutputLines {
	readonly output: readonly Piece[];
	readonly tasks: number;
	readonly offsets: Readonly<Record<string, number>>;
	readonly sizes: readonly number[];
	readonly number: number;
	readonly overlapBytes: number;
}

function outputLines({output, tasks, offsets, sizes, number, overlapBytes}: OutputLines): string[] {
	const lines = [
		{
			timestamp: 100.5,
			name: 'header',
			context: {
				version: 1,
				encoding: {stdout: 'UTF-8', stderr: 'UTF-8'},
				count: {stdout: tasks, stderr: tasks},
				options: {},
			},
		},
	] as object[];
	const sent = new Map<string, number>();
	const size = sizes[number % sizes.length]!;
	for (const {task, stream, bytes} of output) {
		const key = `${task}.${stream}`;
		for (let start = 0; start < bytes.length; start += size) {
			const piece = Buffer.from(bytes.subarray(start, start + size));
			const offset = sent.get(key) ?? 0;
			sent.set(key, offset + piece.length);
			const from = Math.max(0, (offsets[key] ?? 0) - overlapBytes - offset);
			if (from >= piece.length) continue;
			lines.push(dataEvent({task, stream, piece: piece.subarray(from), offset: offset + from}));
		}
	}
	for (let task = 0; task < tasks; task += 1) {
		for (const stream of ['stdout', 'stderr']) {
			lines.push({timestamp: 101, name: 'data', context: {stream, rank: String(task), eof: true}});
		}
	}
	return lines.map(line => `${JSON.stringify(line)}\n`);
}

interface DataEvent {
	readonly task: number;
	readonly stream: string;
	readonly piece: Buffer;
	readonly offset: number;
}

function dataEvent({task, stream, piece, offset}: DataEvent): object {
	const text = piece.toString('utf8');
	const data = Buffer.from(text).equals(piece)
		? {data: text}
		: {data: piece.toString('base64'), encoding: 'base64'};
	return {timestamp: 100.6, name: 'data', context: {stream, rank: String(task), ...data, offset}};
}
