/** Linux error numbers by name, and the error that carries one. The texts are strerror(3)'s. */

const TABLE = {
	EPERM: [1, 'Operation not permitted'],
	ENOENT: [2, 'No such file or directory'],
	ESRCH: [3, 'No such process'],
	EINTR: [4, 'Interrupted system call'],
	EIO: [5, 'Input/output error'],
	E2BIG: [7, 'Argument list too long'],
	ECHILD: [10, 'No child processes'],
	EAGAIN: [11, 'Resource temporarily unavailable'],
	ENOMEM: [12, 'Cannot allocate memory'],
	EACCES: [13, 'Permission denied'],
	EBUSY: [16, 'Device or resource busy'],
	EEXIST: [17, 'File exists'],
	ENOTDIR: [20, 'Not a directory'],
	EISDIR: [21, 'Is a directory'],
	EINVAL: [22, 'Invalid argument'],
	EMFILE: [24, 'Too many open files'],
	EFBIG: [27, 'File too large'],
	ENOSPC: [28, 'No space left on device'],
	EROFS: [30, 'Read-only file system'],
	EPIPE: [32, 'Broken pipe'],
	ERANGE: [34, 'Numerical result out of range'],
	EDEADLK: [35, 'Resource deadlock avoided'],
	ENOSYS: [38, 'Function not implemented'],
	ENOTEMPTY: [39, 'Directory not empty'],
	ELOOP: [40, 'Too many levels of symbolic links'],
	ENODATA: [61, 'No data available'],
	EPROTO: [71, 'Protocol error'],
	EBADMSG: [74, 'Bad message'],
	EOVERFLOW: [75, 'Value too large for defined data type'],
	EMSGSIZE: [90, 'Message too long'],
	EPROTONOSUPPORT: [93, 'Protocol not supported'],
	ENOTSUP: [95, 'Operation not supported'],
	EADDRINUSE: [98, 'Address already in use'],
	ECONNABORTED: [103, 'Software caused connection abort'],
	ECONNRESET: [104, 'Connection reset by peer'],
	ENOBUFS: [105, 'No buffer space available'],
	ENOTCONN: [107, 'Transport endpoint is not connected'],
	ETIMEDOUT: [110, 'Connection timed out'],
	ECONNREFUSED: [111, 'Connection refused'],
	EHOSTUNREACH: [113, 'No route to host'],
	EALREADY: [114, 'Operation already in progress'],
	ESTALE: [116, 'Stale file handle'],
	ECANCELED: [125, 'Operation canceled'],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrnoName = keyof typeof TABLE;

const NAMES = new Map<number, ErrnoName>(
	(Object.entries(TABLE) as [ErrnoName, readonly [number, string]][]).map(([name, [errnum]]) => [
		errnum,
		name,
	]),
);

/** The number of an errno name on Linux. */
export function errnumOf(name: ErrnoName): number {
	return TABLE[name][0];
}

/** The name of an error number, or `E<number>` for one that is not in the table. */
export function errnoName(errnum: number): string {
	return NAMES.get(errnum) ?? `E${errnum}`;
}

/** strerror(3). */
export function errnoText(errnum: number): string {
	const name = NAMES.get(errnum);
	return name === undefined ? `Unknown error ${errnum}` : TABLE[name][1];
}

export function isErrnoName(name: unknown): name is ErrnoName {
	return typeof name === 'string' && Object.hasOwn(TABLE, name);
}

/**
 * An expected failure with its errno: what was tried, where, and why it failed. Broken invariants are plain
 * `Error`s instead, and end the process.
 */
export class SystemError extends Error {
	override readonly name = 'SystemError';
	readonly code: ErrnoName;

	/** @param message what, where and why, without the errno name: `toString` puts it in front. */
	constructor(code: ErrnoName, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
	}

	get errnum(): number {
		return errnumOf(this.code);
	}

	override toString(): string {
		return `${this.code}: ${this.message}`;
	}
}

/** Any thrown value as a `SystemError`: Node's own keep their code; what has none becomes `fallback`. */
export function asSystemError(error: unknown, fallback: ErrnoName = 'EIO', what = ''): SystemError {
	if (error instanceof SystemError && what === '') return error;
	const code = (error as {code?: unknown} | null)?.code;
	const said = error instanceof Error ? error.message : String(error);
	const text = said.startsWith(`${String(code)}: `) ? said.slice(said.indexOf(' ') + 1) : said; // Node says it twice.
	return new SystemError(isErrnoName(code) ? code : fallback, what === '' ? text : `${what}: ${text}`, {
		cause: error,
	});
}
