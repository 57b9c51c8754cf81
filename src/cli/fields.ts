/** Fields of responses. What a broker must send and did not is EPROTO, naming topic and field. */
import {SystemError} from '../formats/errno.ts';
import {isObject, type Members} from '../formats/shape.ts';

export function objectOf(value: unknown, topic: string): Members {
	if (isObject(value)) return value;
	throw new SystemError('EPROTO', `${topic}: the response is not an object`);
}

export function textField(value: unknown, name: string, topic: string): string {
	const field = objectOf(value, topic)[name];
	if (typeof field === 'string') return field;
	throw malformed(name, 'a string', topic);
}

export function numberField(value: unknown, name: string, topic: string): number {
	const field = objectOf(value, topic)[name];
	if (typeof field === 'number') return field;
	if (typeof field === 'bigint') return Number(field);
	throw malformed(name, 'a number', topic);
}

/** A 64-bit id, which travels as a number when it is small. */
export function idField(value: unknown, name: string, topic: string): bigint {
	const field = objectOf(value, topic)[name];
	if (typeof field === 'bigint') return field;
	if (typeof field === 'number' && Number.isSafeInteger(field)) return BigInt(field);
	throw malformed(name, 'an integer', topic);
}

export function listField(value: unknown, name: string, topic: string): readonly unknown[] {
	const field = objectOf(value, topic)[name];
	if (Array.isArray(field)) return field;
	throw malformed(name, 'an array', topic);
}

function malformed(name: string, must: string, topic: string): SystemError {
	return new SystemError('EPROTO', `${topic}: ${name} of the response is not ${must}`);
}

/** A scalar as text; anything else, or nothing, is an empty one. For fields that may be absent. */
export function scalarText(value: unknown): string {
	switch (typeof value) {
		case 'string':
			return value;
		case 'number':
		case 'bigint':
		case 'boolean':
			return String(value);
		default:
			return '';
	}
}
