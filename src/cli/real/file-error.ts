/** What the system says of a file. */
import {asSystemError, SystemError} from '../../formats/errno.ts';

/** What Node puts behind the reason: `, open '/the/path'`. */
const NODE_CALL = /, [a-z]+(?: '.*')?$/s;

/** `PATH: why`. */
export function fileError(error: unknown, path: string): SystemError {
	const {code, message} = asSystemError(error, 'EIO');
	return new SystemError(code, `${path}: ${message.replace(NODE_CALL, '')}`, {cause: error});
}
