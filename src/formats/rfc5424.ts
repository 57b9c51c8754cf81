/**
 * Log lines in the layout of RFC 5424, as Flux's `log.dmesg` sends them. One deviation, kept because Flux's clients
 * expect it: the number in `<…>` is severity * 8 + facility, not facility * 8 + severity.
 */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';

/** 0 emerg … 7 debug. */
export type Severity = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;

export const SEVERITY_NAMES = [
	'emerg',
	'alert',
	'crit',
	'err',
	'warning',
	'notice',
	'info',
	'debug',
] as const;

export interface LogRecord {
	readonly severity: Severity;
	/** Epoch milliseconds, may have a fraction; written to the microsecond. */
	readonly atMs: number;
	/** The broker's rank; it stands where RFC 5424 has the host name. */
	readonly rank: number;
	/** The component, as in `job-manager`: at most 48 printable characters without a space. */
	readonly appname: string;
	readonly message: string;
	/** The process id, or absent. */
	readonly pid?: number;
}

/** `<48>1 2026-11-22T12:17:44.791118Z 0 broker 20057 - - text`. Control characters of the message become spaces. */
export function encodeLogLine({severity, atMs, rank, appname, message, pid}: LogRecord): string {
	const micros = Math.round(atMs * 1000);
	const time = new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1);
	const timestamp = `${time}${String(micros % 1000).padStart(3, '0')}Z`;
	const name = appname.replace(/[^\x21-\x7e]/g, '_').slice(0, APPNAME_LENGTH_MAX) || '-';
	const text = message.replace(/[\r\n]+$/, '').replace(/\p{Cc}/gu, ' ');
	return `<${severity * 8}>1 ${timestamp} ${rank} ${name} ${pid ?? '-'} - - ${text}`;
}

/** Reads such a line. @throws {SystemError} EINVAL that says what is wrong. */
export function parseLogLine(line: string): LogRecord {
	const match = LINE.exec(line);
	if (match === null) throw invalid(line, 'not of the form <PRI>1 TIME RANK APP PID - - MESSAGE');
	const [, priority, date, fraction = '', rank, appname, pid, message = ''] = match;
	const severity = Number(priority) >> 3;
	if (severity > 7) throw invalid(line, `severity ${severity} is above 7`);
	const wholeMs = Date.parse(`${date}Z`);
	if (Number.isNaN(wholeMs)) throw invalid(line, `${date} is no time`);
	const micros = Number(fraction.padEnd(6, '0').slice(0, 6));
	return {
		severity: severity as Severity,
		atMs: wholeMs + micros / 1000,
		rank: Number(rank),
		appname: appname!,
		message: message.replace(/\n$/, ''),
		...(pid === '-' ? {} : {pid: Number(pid)}),
	};
}

const APPNAME_LENGTH_MAX = 48;
const LINE =
	/^<([0-9]{1,3})>1 ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z ([0-9]{1,10}) ([\x21-\x7e]{1,48}) ([0-9]{1,10}|-) [\x21-\x7e]+ -(?: (.*))?$/s;

function invalid(line: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid log line ${quote(line, 120)}: ${why}`);
}
