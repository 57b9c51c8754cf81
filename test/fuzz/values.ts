/**
 * Payloads that nobody means well by, by seed: valid MessagePack with wrong types and extreme values, fields of the
 * right names among them, and bytes that are none.
 */
import {Encoder} from '@msgpack/msgpack';
import type {Seeded} from '../chaos/seeded.ts';

const encoder = new Encoder({useBigInt64: true, maxDepth: 2000, ignoreUndefined: true});
const LONG_BYTES = 128 * 1024;
const NAMES = [
	'__proto__',
	'constructor',
	'toString',
	'prototype',
	'hasOwnProperty',
	'length',
	'',
	'\0',
	'é',
];
const NUMBERS = [
	0,
	-0,
	1,
	-1,
	7,
	0.5,
	-1e9,
	1e300,
	-1e300,
	2 ** 31,
	2 ** 32,
	2 ** 53,
	NaN,
	Infinity,
	-Infinity,
];
const BIGS = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n, 2n ** 40n];
const TEXTS = [
	'',
	'a',
	'0',
	'0-3',
	'0-4294967295',
	'n[0-99999999]',
	'all',
	'\0',
	'\u{1f600}',
	'../../etc',
	'1e999',
	'{"a":',
	'*',
];

/** The payload of one request; `fields` are names that services look for. */
export function randomPayload(random: Seeded, fields: readonly string[]): Uint8Array {
	const way = random.float();
	if (way < 0.05) return new Uint8Array(0);
	if (way < 0.1) return random.bytes(random.integer(1, 64));
	if (way < 0.14) return deep(random);
	if (way < 0.17) return hugeClaim(random);
	const value = way < 0.25 ? randomValue(random, 0) : randomObject(random, fields, 0);
	const bytes = encoder.encode(value);
	if (random.chance(0.05)) return bytes.subarray(0, random.integer(0, bytes.length));
	return random.chance(0.05) ? withProto(bytes) : bytes;
}

/** `template` with a field or two made into something else. */
export function spoiledPayload(random: Seeded, template: Readonly<Record<string, unknown>>): Uint8Array {
	const object = {...template};
	const names = Object.keys(object);
	for (let count = random.integer(0, 2); count > 0 && names.length > 0; count -= 1)
		object[random.pick(names)] = randomValue(random, 1);
	if (random.chance(0.05)) delete object[random.pick(names)];
	return encoder.encode(object);
}

export function flipBits(random: Seeded, bytes: Uint8Array, count: number): Buffer {
	const flipped = Buffer.from(bytes);
	for (let flip = 0; flip < count && flipped.length > 0; flip += 1)
		flipped[random.integer(0, flipped.length - 1)]! ^= 1 << random.integer(0, 7);
	return flipped;
}

function randomObject(random: Seeded, fields: readonly string[], depth: number): Record<string, unknown> {
	const object: Record<string, unknown> = {};
	for (let count = random.integer(0, 6); count > 0; count -= 1) {
		const name = random.chance(0.1) ? random.pick(NAMES) : random.pick(fields);
		if (name !== '__proto__') object[name] = randomValue(random, depth + 1);
	}
	return object;
}

function randomValue(random: Seeded, depth: number): unknown {
	switch (random.integer(0, depth > 4 ? 6 : 9)) {
		case 0:
			return null;
		case 1:
			return random.chance(0.5);
		case 2:
			return random.pick(NUMBERS);
		case 3:
			return random.pick(BIGS);
		case 4:
			return random.chance(0.01) ? 'x'.repeat(LONG_BYTES) : random.pick(TEXTS);
		case 5:
			return random.integer(-10, 300);
		case 6:
			return random.bytes(random.integer(0, 40));
		case 7:
			return Array.from({length: random.integer(0, 5)}, () => randomValue(random, depth + 1));
		default:
			return randomObject(random, [...NAMES, 'id', 'version', 'execution', 'tasks'], depth + 1);
	}
}

/** Arrays in arrays, deeper than any limit. */
function deep(random: Seeded): Uint8Array {
	const depth = random.pick([60, 64, 65, 66, 100, 1000, 20_000]);
	return Buffer.concat([Buffer.alloc(depth, random.pick([0x91, 0x81])), Buffer.from([0xc0])]);
}

/** Lengths that nothing follows. */
function hugeClaim(random: Seeded): Uint8Array {
	const head = random.pick([0xc6, 0xdb, 0xdd, 0xdf, 0xc9]);
	return Buffer.concat([Buffer.from([head, 0xff, 0xff, 0xff, 0xff]), random.bytes(random.integer(0, 16))]);
}

/** A map with `__proto__` as its first key. */
function withProto(rest: Uint8Array): Uint8Array {
	const key = Buffer.from('__proto__');
	return Buffer.concat([Buffer.from([0x82, 0xa0 + key.length]), key, rest, Buffer.from([0xa1, 0x61]), rest]);
}
