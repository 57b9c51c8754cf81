/**
 * Files that come with a job (`attributes.system.files`, RFC 37 as Flux writes it): an object by name of
 * `{mode, data, encoding}`, encoding `utf-8` or `base64`.
 */
import {SystemError} from './errno.ts';
import {isObject} from './shape.ts';

export interface CarriedFileSpec {
	/** Without a slash. */
	readonly name: string;
	/** Permission bits. */
	readonly mode: number;
	readonly data: string;
	readonly encoding: 'utf-8' | 'base64';
}

/** Of all files of a job together, in characters: a jobspec must fit into a message, and into memory. */
export const CARRIED_CHARS_MAX = 4 * 1024 * 1024;

const MODE_DEFAULT = 0o600;

/** Reads and checks them. @throws {SystemError} EINVAL naming the path of the fault. */
export function carriedFiles(value: unknown, path = 'attributes.system.files'): readonly CarriedFileSpec[] {
	if (!isObject(value)) throw new SystemError('EINVAL', `${path}: must be an object`);
	let chars = 0;
	return Object.entries(value).map(([name, file]) => {
		const at = `${path}.${name}`;
		if (!/^[^/\0]+$/.test(name) || name === '.' || name === '..')
			throw new SystemError('EINVAL', `${path}: ${JSON.stringify(name)} can't be the name of a file`);
		if (!isObject(file)) throw new SystemError('EINVAL', `${at}: must be an object`);
		const {mode = MODE_DEFAULT, data, encoding = 'utf-8'} = file;
		if (typeof data !== 'string') throw new SystemError('EINVAL', `${at}.data: must be a string`);
		if (encoding !== 'utf-8' && encoding !== 'base64')
			throw new SystemError('EINVAL', `${at}.encoding: must be utf-8 or base64`);
		if (!Number.isSafeInteger(mode) || Number(mode) < 0)
			throw new SystemError('EINVAL', `${at}.mode: must be the mode of a file`);
		chars += data.length;
		if (chars > CARRIED_CHARS_MAX)
			throw new SystemError('EFBIG', `${at}: the files have more than ${CARRIED_CHARS_MAX} characters`);
		return {name, mode: Number(mode) & 0o777, data, encoding};
	});
}
