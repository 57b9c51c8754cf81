/**
 * Flux's wrapper for a jobspec that nobody signed: `HEADER.PAYLOAD.none`, both parts in base64. The header says whose
 * it is: `version`, `userid` and `mechanism`, each `key NUL type value NUL`. The transport vouches for the user.
 */
import {Buffer, isUtf8} from 'node:buffer';
import {SystemError} from './errno.ts';

export interface Unwrapped {
	/** Who the header says made it; the caller must compare it with the message's user. */
	readonly userid: number;
	readonly payload: string;
}

/** The largest user id of Linux, 2^32-2. */
const USERID_MAX = 2 ** 32 - 2;

/** Wraps `payload`, the text of a jobspec, for `userid`. */
export function wrapSigned(userid: number, payload: string): string {
	if (!Number.isInteger(userid) || userid < 0 || userid > USERID_MAX) {
		throw new Error(`wrapSigned: ${userid} is no user id`);
	}
	const header = `version\0i1\0userid\0i${userid}\0mechanism\0snone\0`;
	return `${Buffer.from(header).toString('base64')}.${Buffer.from(payload).toString('base64')}.none`;
}

/**
 * Takes the wrapper off. The keys of the header may come in any order.
 *
 * @throws {SystemError} EINVAL `could not unwrap jobspec: …` with what is wrong.
 */
export function unwrapSigned(text: string): Unwrapped {
	const parts = text.split('.', 4);
	if (parts.length !== 3) throw invalid('not of the form HEADER.PAYLOAD.SIGNATURE');
	if (parts[2] !== 'none') throw invalid('signed with something other than none');
	const header = parseHeader(decodeBase64(parts[0]!, 'header'));
	if (header.get('version') !== 'i1') throw invalid('version is not 1');
	if (header.get('mechanism') !== 'snone') throw invalid('mechanism is not none');
	const userid = /^i(0|[1-9][0-9]{0,9})$/.exec(header.get('userid') ?? '')?.[1];
	if (userid === undefined || Number(userid) > USERID_MAX) throw invalid('userid is no user id');
	const payload = decodeBase64(parts[1]!, 'payload');
	if (payload.includes('\0')) throw invalid('NUL in the payload');
	return {userid: Number(userid), payload};
}

const HEADER_KEYS = ['version', 'userid', 'mechanism'];

function parseHeader(text: string): ReadonlyMap<string, string> {
	const fields = text.split('\0');
	if (fields.pop() !== '' || fields.length % 2 !== 0) throw invalid('damaged header');
	const header = new Map<string, string>();
	for (let i = 0; i < fields.length; i += 2) {
		const key = fields[i]!;
		if (!HEADER_KEYS.includes(key))
			throw invalid(`unknown key ${JSON.stringify(key.slice(0, 40))} in the header`);
		if (header.has(key)) throw invalid(`${key} is in the header twice`);
		header.set(key, fields[i + 1]!);
	}
	return header;
}

/** Node's decoder skips what is not base64, and replaces what is not UTF-8: both are refused. */
function decodeBase64(text: string, what: string): string {
	if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
		throw invalid(`the ${what} is not padded base64`);
	}
	const bytes = Buffer.from(text, 'base64');
	if (!isUtf8(bytes)) throw invalid(`the ${what} is not UTF-8`);
	return bytes.toString('utf8');
}

function invalid(why: string): SystemError {
	return new SystemError('EINVAL', `could not unwrap jobspec: ${why}`);
}
