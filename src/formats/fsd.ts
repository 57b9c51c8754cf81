/** Flux standard durations (RFC 23): `90s`, `1.5m`, `inf`. In memory a duration is a number of seconds or Infinity. */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';

/**
 * The seconds that `text` stands for: a number with `ms`, `s`, `m`, `h`, `d` or nothing behind it, or `inf` or
 * `infinity` in any case.
 *
 * @throws {SystemError} EINVAL for bad text, ERANGE when the number overflows.
 */
export function parseFsd(text: string): number {
	if (/^(inf|infinity)$/i.test(text)) return Infinity;
	const match = /^([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?(ms|s|m|h|d)?$/i.exec(text);
	const unit = match?.[3] ?? 's';
	if (match === null || !Object.hasOwn(UNIT_SECONDS, unit)) {
		throw new SystemError(
			'EINVAL',
			`invalid duration ${quote(text)}: must be a number >= 0 with ms, s, m, h, d or no unit, or inf`,
		);
	}
	const number = Number(`${match[1]}${match[2] ?? ''}`);
	// Dividing by 1000 rounds once, multiplying by 0.001 twice: 500ms must be exactly 0.5.
	const seconds = unit === 'ms' ? number / 1000 : number * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS];
	if (!Number.isFinite(seconds)) {
		throw new SystemError('ERANGE', `invalid duration ${quote(text)}: too large (use inf)`);
	}
	return seconds;
}

/**
 * `seconds` in the largest unit that gives a value of at least 1, as printf's `%.*g`; 0 is `0s`.
 *
 * @param precision significant digits, at least 1. Default 6.
 * @throws {SystemError} EINVAL when `seconds` is negative or not a number.
 */
export function formatFsd(seconds: number, precision = 6): string {
	if (Number.isNaN(seconds) || seconds < 0) {
		throw new SystemError('EINVAL', `invalid duration ${seconds}: must be a number of seconds >= 0`);
	}
	if (seconds === Infinity) return 'infinity';
	if (seconds === 0) return '0s';
	if (seconds < 1) return `${formatG(seconds * 1000, precision)}ms`;
	if (seconds < UNIT_SECONDS.m) return `${formatG(seconds, precision)}s`;
	if (seconds < UNIT_SECONDS.h) return `${formatG(seconds / UNIT_SECONDS.m, precision)}m`;
	if (seconds < UNIT_SECONDS.d) return `${formatG(seconds / UNIT_SECONDS.h, precision)}h`;
	return `${formatG(seconds / UNIT_SECONDS.d, precision)}d`;
}

const UNIT_SECONDS = {ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400} as const;

/** C's `%.*g`: an exponent below 1e-4 and from 10^precision, no trailing zeros. */
function formatG(value: number, precision: number): string {
	const [mantissa, exponentText] = value.toExponential(precision - 1).split('e') as [string, string];
	const exponent = Number(exponentText);
	if (exponent < -4 || exponent >= precision) {
		const digits = String(Math.abs(exponent)).padStart(2, '0');
		return `${stripZeros(mantissa)}e${exponent < 0 ? '-' : '+'}${digits}`;
	}
	return stripZeros(value.toFixed(precision - 1 - exponent));
}

function stripZeros(text: string): string {
	return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
