/** Durations of which only the size matters, as in `up 2.1d`. */
import {formatFsd} from '../../formats/fsd.ts';

/** `seconds` in FSD with two digits, or whole numbers where two digits would need an exponent. */
export function briefDuration(seconds: number): string {
	const text = formatFsd(Math.max(0, seconds), 2);
	return text.includes('e') ? formatFsd(Math.max(0, seconds), 3) : text;
}
