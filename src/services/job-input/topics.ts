/** The topic of `job-input` (docs/services.md). Its fields are those of a `data` event of RFC 24, and what makes a write idempotent. */
import {SystemError} from '../../formats/errno.ts';
import {isObject} from '../../formats/shape.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {TerminalSize} from '../../ports/process-host.ts';
import {Fields} from '../fields.ts';
import type {JobInput} from './job-input.ts';

/** The bytes of one write. */
export const INPUT_WRITE_BYTES_MAX = 512 * 1024;

export function registerJobInput(registry: ServiceRegistry, input: JobInput): void {
	registry.register('job-input.write', async request => {
		const fields = new Fields(request);
		const data = bytesOf(fields);
		const size = sizeOf(fields);
		const {offset, isTaken, isClosed} = await input.write(fields.id(), {
			writer: fields.text('writer'),
			offset: fields.integer('offset', 0),
			data,
			tasks: fields.text('rank', 'all'),
			isEnd: fields.flag('eof'),
			...(size === undefined ? {} : {size}),
		});
		request.respond({offset, taken: isTaken, closed: isClosed});
	});
}

function bytesOf(fields: Fields): Uint8Array {
	const stream = fields.text('stream', 'stdin');
	if (stream !== 'stdin') throw new SystemError('EPROTO', `job-input.write: there is no stream '${stream}'`);
	const encoding = fields.text('encoding', 'UTF-8');
	if (encoding !== 'base64' && encoding !== 'UTF-8')
		throw new SystemError('EPROTO', `job-input.write: there is no encoding '${encoding}'`);
	const data = Buffer.from(fields.text('data', ''), encoding === 'base64' ? 'base64' : 'utf8');
	if (data.length > INPUT_WRITE_BYTES_MAX)
		throw new SystemError('EMSGSIZE', `job-input.write: more than ${INPUT_WRITE_BYTES_MAX} bytes`);
	return data;
}

function sizeOf(fields: Fields): TerminalSize | undefined {
	const size = fields.any('winsize');
	if (size === undefined || size === null) return undefined;
	if (!isObject(size)) throw new SystemError('EPROTO', 'job-input.write: winsize must be an object');
	return {rows: Number(size['rows']), columns: Number(size['cols'])};
}
