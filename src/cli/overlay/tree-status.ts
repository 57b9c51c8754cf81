/** The answer of `overlay.status`, and its text as Flux users know it. */
import type {BrokerSession} from '../broker-session.ts';
import {listField, numberField, objectOf, scalarText, textField} from '../fields.ts';
import {briefDuration} from '../format/brief-duration.ts';

export const STATUS_TOPIC = 'overlay.status';
export const STATUS_WORDS = ['full', 'partial', 'degraded', 'torpid', 'lost', 'offline'] as const;

export interface RankStatus {
	readonly rank: number;
	readonly hostname: string;
	readonly parent: number | null;
	readonly status: string;
	/** Epoch seconds. */
	readonly since: number;
	/** '' for none. */
	readonly error: string;
	/** As it came, for JSON. */
	readonly fields: object;
}

export interface StatusOptions {
	/** Of the gathering, seconds; undefined: the broker's own. */
	readonly timeoutS?: number | undefined;
}

/** From the deadline of the gathering to that of the answer. */
const ANSWER_MARGIN_MS = 5000;
const TIMEOUT_S = 5;

/** What a question to the whole tree adds to a call. */
export function treeCall({timeoutS}: StatusOptions): {
	readonly payload: {readonly timeout?: number};
	readonly options: {readonly idempotent: true; readonly timeoutMs: number};
} {
	return {
		payload: timeoutS === undefined ? {} : {timeout: timeoutS},
		options: {idempotent: true, timeoutMs: (timeoutS ?? TIMEOUT_S) * 1000 + ANSWER_MARGIN_MS},
	};
}

export async function fetchStatus(
	session: BrokerSession,
	options: StatusOptions,
): Promise<readonly RankStatus[]> {
	const {payload, options: callOptions} = treeCall(options);
	const answer = await session.call(STATUS_TOPIC, payload, callOptions);
	return listField(answer, 'overlay', STATUS_TOPIC).map(entry => {
		const fields = objectOf(entry, STATUS_TOPIC);
		const parent = fields['parent'];
		return {
			rank: numberField(fields, 'rank', STATUS_TOPIC),
			hostname: textField(fields, 'hostname', STATUS_TOPIC),
			parent: typeof parent === 'number' ? parent : null,
			status: textField(fields, 'status', STATUS_TOPIC),
			since: numberField(fields, 'since', STATUS_TOPIC),
			error: scalarText(fields['error']),
			fields,
		};
	});
}

/** `top` and those below it. */
export function subtree(entries: readonly RankStatus[], top: number): readonly RankStatus[] {
	const wanted = new Set([top]);
	// A parent may have a higher rank than its child, so one pass is not enough.
	for (let before = 0; before < wanted.size;) {
		before = wanted.size;
		for (const {rank, parent} of entries) if (parent !== null && wanted.has(parent)) wanted.add(rank);
	}
	return entries.filter(({rank}) => wanted.has(rank));
}

export interface DrawOptions {
	readonly top: number;
	/** With the time in the state. */
	readonly nowS: number | null;
	/** Only what is not full. */
	readonly onlyDown: boolean;
}

/** The tree as lines, each with its newline. */
export function drawTree(entries: readonly RankStatus[], {top, nowS, onlyDown}: DrawOptions): string {
	const lines: string[] = [];
	const draw = (entry: RankStatus, first: string, rest: string) => {
		lines.push(`${first}${describe(entry, nowS)}\n`);
		const children = entries
			.filter(({parent, status}) => parent === entry.rank && !(onlyDown && status === 'full'))
			.sort((a, b) => a.rank - b.rank);
		for (const [index, child] of children.entries()) {
			const isLast = index === children.length - 1;
			draw(child, `${rest}${isLast ? '└─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`);
		}
	};
	const root = entries.find(({rank}) => rank === top);
	if (root !== undefined && !(onlyDown && root.status === 'full')) draw(root, '', '');
	return lines.join('');
}

function describe({rank, hostname, status, since, error}: RankStatus, nowS: number | null): string {
	const time = nowS === null ? '' : ` for ${briefDuration(nowS - since)}`;
	return `${rank} ${hostname}: ${status}${time}${error === '' ? '' : ` ${error}`}`;
}
