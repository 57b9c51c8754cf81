/** A response as the link of a neighbour can take it. Pure. */
import {SystemError} from '../../formats/errno.ts';
import type {Response} from '../message.ts';
import {encodeErrorText} from '../payload.ts';

/** A neighbour that has so much to read gets no more payloads, only the error: more would end its link (LINK_QUEUE_BYTES_MAX). */
export const RESPONSE_QUEUE_BYTES_FULL = 48 * 1024 * 1024;

/** The response, or ENOBUFS in its place. Streams are stopped long before. */
export function fittingResponse(response: Response, queuedBytes: number): Response {
	const {payload, streaming, errnum} = response;
	if (streaming || errnum !== 0 || queuedBytes + payload.length <= RESPONSE_QUEUE_BYTES_FULL) return response;
	const error = new SystemError(
		'ENOBUFS',
		`${response.topic}: no room for a response of ${payload.length} bytes, ${queuedBytes} are queued on its way (RESPONSE_QUEUE_BYTES_FULL)`,
	);
	return {...response, errnum: error.errnum, payload: encodeErrorText(error.message)};
}
