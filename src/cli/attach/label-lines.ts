/** Output with the task's rank before each line (`-l`): a line is passed on when it is whole, or at its stream's end. */

export interface LabeledOutput {
	readonly task: string;
	readonly stream: string;
	readonly bytes: Uint8Array;
	readonly isEnd: boolean;
}

/** A line that grows beyond this is passed on in pieces, each with its label. */
export const LABELED_LINE_BYTES_MAX = 1024 * 1024;

const NEWLINE = 0x0a;

/** Output of several tasks as whole lines, so that lines never mix; what comes last is passed on as it is. */
export function lineMerger(): (output: LabeledOutput) => Uint8Array {
	return lineLabeler(() => null);
}

/**
 * A function from output as it comes to labeled lines; a last line without a newline gets one.
 *
 * @param labelOf what stands for a task; null: no label at all. Default: its rank.
 */
export function lineLabeler(
	labelOf: (task: string) => string | null = task => task,
): (output: LabeledOutput) => Uint8Array {
	const rests = new Map<string, Buffer>();
	return ({task, stream, bytes, isEnd}) => {
		const key = `${task}.${stream}`;
		const rest = rests.get(key);
		const all = rest === undefined ? Buffer.from(bytes) : Buffer.concat([rest, bytes]);
		const parts: Uint8Array[] = [];
		const name = labelOf(task);
		const label = Buffer.from(name === null ? '' : `${name}: `);
		let start = 0;
		for (let end = all.indexOf(NEWLINE); end !== -1; end = all.indexOf(NEWLINE, start)) {
			parts.push(label, all.subarray(start, end + 1));
			start = end + 1;
		}
		let tail = all.subarray(start);
		if (tail.length > 0 && (isEnd || tail.length >= LABELED_LINE_BYTES_MAX)) {
			parts.push(label, tail, Buffer.from(name === null ? '' : '\n'));
			tail = tail.subarray(tail.length);
		}
		if (tail.length === 0) rests.delete(key);
		else rests.set(key, Buffer.from(tail));
		return Buffer.concat(parts);
	};
}
