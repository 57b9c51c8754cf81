/**
 * Job ids: RFC 19 FLUIDs, their text forms, and the pure generator. An id is a 64-bit unsigned integer:
 * milliseconds since the instance's epoch (40 bits), generator (14 bits, the rank), sequence (10 bits).
 */
import {SystemError} from './errno.ts';
import {JOBID_EMOJI} from './jobid-emoji.ts';
import {JOBID_WORDS} from './jobid-words.ts';
import {quote} from './quote.ts';

export type JobId = bigint;

export type JobIdForm = 'dec' | 'hex' | 'dothex' | 'kvs' | 'words' | 'f58' | 'f58plain' | 'emoji';

export const JOBID_FORMS: readonly JobIdForm[] = [
	'dec',
	'hex',
	'dothex',
	'kvs',
	'words',
	'f58',
	'f58plain',
	'emoji',
];

/** The largest value of 64 bits. */
export const JOBID_MAX: JobId = (1n << 64n) - 1n;
/** The highest rank that can generate ids: RFC 19 reserves the top 16 of the 14-bit generators. */
export const JOBID_RANK_MAX = (1 << 14) - 16 - 1;
/** The last millisecond of an instance's time: 2^40 - 1, almost 35 years. */
export const JOBID_TIME_MS_MAX = 2 ** 40 - 1;

/** The name of a job in messages: F58 in ASCII. */
export function f58(id: JobId): string {
	return encodeJobid(id, 'f58plain');
}

/**
 * The text of `id` in `form`; `kvs` is `job.` and the dothex form.
 *
 * @throws {SystemError} ERANGE when `id` is no unsigned 64-bit integer.
 */
export function encodeJobid(id: JobId, form: JobIdForm): string {
	if (id < 0n || id > JOBID_MAX) throw new SystemError('ERANGE', `job id ${id}: not within 0..2^64-1`);
	switch (form) {
		case 'dec':
			return id.toString();
		case 'hex':
			return `0x${id.toString(16)}`;
		case 'dothex':
			return dothex(id);
		case 'kvs':
			return `job.${dothex(id)}`;
		case 'f58':
			return F58_PREFIX + f58Digits(id);
		case 'f58plain':
			return F58_PREFIX_ASCII + f58Digits(id);
		case 'words':
			return encodeWords(id);
		case 'emoji':
			return encodeEmoji(id);
		default:
			return form satisfies never;
	}
}

/**
 * The id that `text` names in any form, told apart by the rules of RFC 19; white space around it is dropped.
 *
 * @throws {SystemError} EINVAL when `text` is no job id, ERANGE beyond 64 bits.
 */
export function decodeJobid(text: string): JobId {
	const trimmed = text.trim();
	if (trimmed.startsWith('job.')) return decodeDothex(trimmed.slice('job.'.length), text);
	if (trimmed.includes('.')) return decodeDothex(trimmed, text);
	if (trimmed.includes('-')) return decodeWords(trimmed, text);
	if (trimmed.startsWith(F58_PREFIX) || trimmed.startsWith(F58_PREFIX_ASCII)) {
		return decodeF58(trimmed.slice(1), text);
	}
	if (EMOJI_START.test(trimmed)) return decodeEmoji(trimmed, text);
	const {base, digits, pattern} = /^0x/i.test(trimmed)
		? {base: 'hexadecimal', digits: trimmed, pattern: /^0x[0-9a-f]+$/i}
		: {base: 'decimal', digits: trimmed, pattern: /^[0-9]+$/};
	if (trimmed === '') throw invalid(text, 'it is empty');
	if (!pattern.test(digits)) throw invalid(text, `not a ${base} number, f58 or dotted hexadecimal id`);
	// 2^64-1 has 20 decimal digits: a longer text need not become a huge integer first.
	if (digits.replace(/^(0x)?0*/i, '').length > 20) throw outOfRange(text);
	return checkRange(BigInt(digits), text);
}

export interface JobIdParts {
	/** Milliseconds since the instance's epoch. */
	readonly timeMs: number;
	readonly generator: number;
	readonly sequence: number;
}

export function jobidParts(id: JobId): JobIdParts {
	return {
		timeMs: Number(id >> TIME_SHIFT),
		generator: Number((id >> GENERATOR_SHIFT) & 0x3fffn),
		sequence: Number(id & SEQUENCE_MASK),
	};
}

/**
 * The next id of generator `rank` after `last`, the highest id that this instance is known to have used (0n: none).
 * It is always greater than `last`: a clock that stands still or went back continues above `last`, and a full
 * sequence takes the next millisecond.
 *
 * @param nowMs milliseconds since the instance's epoch
 * @throws {SystemError} EOVERFLOW when the 40 bits of time are used up.
 */
export function nextJobid(last: JobId, nowMs: number, rank: number): JobId {
	if (!Number.isInteger(rank) || rank < 0 || rank > JOBID_RANK_MAX) {
		throw new Error(`nextJobid: rank ${rank} is not within 0..${JOBID_RANK_MAX}`);
	}
	if (!Number.isFinite(nowMs)) throw new Error(`nextJobid: time ${nowMs} is not a number`);
	const {timeMs, generator, sequence} = jobidParts(last);
	const wallMs = Math.floor(nowMs);
	if (wallMs > timeMs) return assemble(wallMs, rank, 0);
	if (generator === rank && sequence < SEQUENCE_MAX) return last + 1n;
	return generator < rank ? assemble(timeMs, rank, 0) : assemble(timeMs + 1, rank, 0);
}

const TIME_SHIFT = 24n;
const GENERATOR_SHIFT = 10n;
const SEQUENCE_MAX = 1023;
const SEQUENCE_MASK = BigInt(SEQUENCE_MAX);
const F58_PREFIX = 'ƒ';
const F58_PREFIX_ASCII = 'f';
const F58_ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const F58_BASE = BigInt(F58_ALPHABET.length);
/** A character of four bytes in UTF-8 that begin with F0 9F. */
const EMOJI_START = /^[\u{1f000}-\u{1ffff}]/u;
/** 2^64-1 has so many digits of base 576. */
const EMOJI_DIGITS_MAX = 7;
const WORDS_OF_HALF = 3;
const HALF_BITS = 32n;
const HALF_MASK = (1n << HALF_BITS) - 1n;

function dothex(id: JobId): string {
	return id
		.toString(16)
		.padStart(16, '0')
		.replace(/(.{4})(?!$)/g, '$1.');
}

function f58Digits(id: JobId): string {
	let digits = '';
	let rest = id;
	do {
		digits = F58_ALPHABET[Number(rest % F58_BASE)]! + digits;
		rest /= F58_BASE;
	} while (rest > 0n);
	return digits;
}

function decodeDothex(dotted: string, text: string): JobId {
	if (!/^[0-9a-f]{1,4}(\.[0-9a-f]{1,4}){3}$/i.test(dotted)) {
		throw invalid(text, 'dotted hexadecimal needs exactly 4 groups of 1 to 4 digits');
	}
	return BigInt(
		`0x${dotted
			.split('.')
			.map(group => group.padStart(4, '0'))
			.join('')}`,
	);
}

function decodeF58(encoded: string, text: string): JobId {
	if (encoded === '') throw invalid(text, 'there is nothing after the f58 prefix');
	const digits = encoded.replace(/^1+/, '');
	// 2^64-1 has 11 digits: more are out of range, but only when all of them are digits.
	for (const digit of digits) {
		if (!F58_ALPHABET.includes(digit)) throw invalid(text, `'${digit}' is no f58 digit`);
	}
	if (digits.length > 11) throw outOfRange(text);
	let id = 0n;
	for (const digit of digits) id = id * F58_BASE + BigInt(F58_ALPHABET.indexOf(digit));
	return checkRange(id, text);
}

/** Each half of 32 bits, the lower one first, as three digits of base 1626, the lowest first. */
function encodeWords(id: JobId): string {
	const words = JOBID_WORDS.split(' ');
	const textOf = (half: JobId): string => {
		const digits: string[] = [];
		for (let rest = Number(half); digits.length < WORDS_OF_HALF; rest = Math.floor(rest / words.length))
			digits.push(words[rest % words.length]!);
		return digits.join('-');
	};
	return `${textOf(id & HALF_MASK)}--${textOf(id >> HALF_BITS)}`;
}

function decodeWords(encoded: string, text: string): JobId {
	const words = JOBID_WORDS.split(' ');
	const values = encoded
		.toLowerCase()
		.split(/-+/)
		.map(word => {
			const value = words.indexOf(word);
			if (value === -1) throw invalid(text, `'${word}' is none of the words of a job id`);
			return value;
		});
	if (values.length !== 2 * WORDS_OF_HALF) throw invalid(text, 'six words are needed, as in a-b-c--d-e-f');
	const halfOf = (from: number): JobId => {
		const half = values
			.slice(from, from + WORDS_OF_HALF)
			.reduceRight((sum, digit) => sum * words.length + digit, 0);
		if (BigInt(half) > HALF_MASK) throw invalid(text, 'three words together exceed 32 bits');
		return BigInt(half);
	};
	return halfOf(0) | (halfOf(WORDS_OF_HALF) << HALF_BITS);
}

function encodeEmoji(id: JobId): string {
	const digits = [...JOBID_EMOJI];
	const base = BigInt(digits.length);
	let text = '';
	let rest = id;
	do {
		text = digits[Number(rest % base)]! + text;
		rest /= base;
	} while (rest > 0n);
	return text;
}

function decodeEmoji(encoded: string, text: string): JobId {
	const digits = [...JOBID_EMOJI];
	const values = Array.from(encoded, emoji => {
		const value = digits.indexOf(emoji);
		if (value === -1) throw invalid(text, `${quote(emoji)} is none of the emoji of a job id`);
		return value;
	});
	while (values[0] === 0) values.shift();
	if (values.length > EMOJI_DIGITS_MAX) throw outOfRange(text);
	return checkRange(
		values.reduce((sum, digit) => sum * BigInt(digits.length) + BigInt(digit), 0n),
		text,
	);
}

function checkRange(id: JobId, text: string): JobId {
	if (id > JOBID_MAX) throw outOfRange(text);
	return id;
}

function assemble(timeMs: number, rank: number, sequence: number): JobId {
	if (timeMs > JOBID_TIME_MS_MAX) {
		throw new SystemError(
			'EOVERFLOW',
			`no job ids left: ${timeMs} ms since the instance's epoch exceed 40 bits`,
		);
	}
	return (BigInt(timeMs) << TIME_SHIFT) | (BigInt(rank) << GENERATOR_SHIFT) | BigInt(sequence);
}

function invalid(text: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid job id ${quote(text)}: ${why}`);
}

function outOfRange(text: string): SystemError {
	return new SystemError('ERANGE', `invalid job id ${quote(text)}: greater than 2^64-1`);
}
