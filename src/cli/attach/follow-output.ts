/** A job's output as it comes, to where it belongs: byte for byte, over any number of connections. */
import {parseEvent, type EventlogEvent} from '../../formats/eventlog.ts';
import type {JobId} from '../../formats/jobid.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {Sink} from '../context.ts';
import {textField} from '../fields.ts';
import {lineLabeler, lineMerger} from './label-lines.ts';
import {outputChunk, OutputPosition, taskCount} from './output-position.ts';

export interface FollowOutputOptions {
	readonly session: BrokerSession;
	readonly id: JobId;
	readonly stdout: Pick<Sink, 'write'>;
	readonly stderr: Pick<Sink, 'write'>;
	readonly isLabeled: boolean;
	/** Output of several tasks is passed on as it comes, not line by line. */
	readonly isUnbuffered?: boolean;
	/** What stands for a task in its label. Default: its rank. */
	readonly labelOf?: (task: string) => string;
	/** Resolves when the job has ended: output that stops before that, and before its end, is asked for again. */
	readonly ended: Promise<unknown>;
	/** Bytes that the broker does not have any more: to be told always. */
	readonly onMissing: (text: string) => Promise<void>;
	/** A stream that goes to a file, and messages of the shell. */
	readonly onNotice: (text: string) => Promise<void>;
}

const TOPIC = 'job-info.eventlog-watch';

/** Resolves when all output was written. */
export async function followOutput(options: FollowOutputOptions): Promise<void> {
	const {session, id, ended} = options;
	const position = new OutputPosition();
	const take = outputWriter(options, position);
	const payloadOf = () => ({id, path: 'guest.output', flags: 0, offsets: position.offsets});
	const follow = async () => {
		for await (const value of session.follow(TOPIC, payloadOf)) {
			await take(parseEvent(textField(value, 'event', TOPIC)));
		}
	};
	await follow();
	if (position.isComplete) return;
	// A broker that goes down in good order ends its streams: what came after that is there when the job is over.
	await ended;
	await follow();
}

function outputWriter(
	options: FollowOutputOptions,
	position: OutputPosition,
): (event: EventlogEvent) => Promise<void> {
	const {stdout, stderr, isLabeled, onMissing, onNotice} = options;
	let format = isLabeled ? lineLabeler(options.labelOf) : null;
	const redirected = new Set<string>();
	return async event => {
		switch (event.name) {
			case 'header':
				position.expect(event);
				if (taskCount(event) > 1 && options.isUnbuffered !== true) format ??= lineMerger();
				break;
			case 'data': {
				const chunk = outputChunk(event);
				const {task, stream} = chunk;
				const {bytes, missing, isEnd} = position.advance(chunk);
				if (missing > 0) await onMissing(`${missing} bytes of ${stream} of task ${task} are missing`);
				const shown = format === null ? bytes : format({task, stream, bytes, isEnd});
				if (shown.length > 0) await (stream === 'stdout' ? stdout : stderr).write(shown);
				break;
			}
			case 'redirect': {
				const {rank, stream, path} = event.context ?? {};
				const text = `${String(rank)}: ${String(stream)} redirected to ${String(path)}`;
				if (!redirected.has(text)) await onNotice(text);
				redirected.add(text);
				break;
			}
			case 'log':
				await onNotice(`shell: ${String(event.context?.['message'])}`);
				break;
			default: // Later versions may say more.
		}
	};
}
