/** strftime(3) for the conversions that formats of tables use, in the C locale. */

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July'].concat([
	'August',
	'September',
	'October',
	'November',
	'December',
]);
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** @param offsetMinutes how far local time is ahead of UTC; an unknown conversion stays as it is. */
export function strftime(format: string, epochS: number, offsetMinutes: number): string {
	const date = new Date(Math.floor(epochS * 1000) + offsetMinutes * 60_000); // Read with the UTC getters.
	const two = (part: number) => String(part).padStart(2, '0');
	const year = date.getUTCFullYear();
	const [month, day] = [date.getUTCMonth(), date.getUTCDate()];
	const [hour, minute, second] = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
	const values: Readonly<Record<string, () => string>> = {
		Y: () => String(year),
		y: () => two(year % 100),
		m: () => two(month + 1),
		d: () => two(day),
		e: () => String(day).padStart(2),
		H: () => two(hour),
		I: () => two(hour % 12 || 12),
		M: () => two(minute),
		S: () => two(second),
		p: () => (hour < 12 ? 'AM' : 'PM'),
		b: () => MONTHS[month]!.slice(0, 3),
		B: () => MONTHS[month]!,
		a: () => DAYS[date.getUTCDay()]!.slice(0, 3),
		A: () => DAYS[date.getUTCDay()]!,
		F: () => `${year}-${two(month + 1)}-${two(day)}`,
		T: () => `${two(hour)}:${two(minute)}:${two(second)}`,
		R: () => `${two(hour)}:${two(minute)}`,
		s: () => String(Math.floor(epochS)),
		z: () => zone(offsetMinutes),
		'%': () => '%',
	};
	return format.replace(/%([A-Za-z%])/g, (whole, letter: string) => values[letter]?.() ?? whole);
}

function zone(offsetMinutes: number): string {
	const minutes = Math.abs(offsetMinutes);
	const two = (part: number) => String(part).padStart(2, '0');
	return `${offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
}
