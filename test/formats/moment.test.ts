/** Goal: a moment is what a person means by it. Method: a table, by a fixed clock in the zone of the process. */
import test from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {parseMoment} from '../../src/formats/moment.ts';

/** Wednesday, 14 January 2026, 15:30:20, local time. */
const NOW = new Date(2026, 0, 14, 15, 30, 20).getTime() / 1000;
const at = (day: number, hours = 0, minutes = 0, seconds = 0) =>
	new Date(2026, 0, day, hours, minutes, seconds).getTime() / 1000;

for (const [text, expected] of [
	['now', NOW],
	['+1h', NOW + 3600],
	['+ 90', NOW + 90],
	['-30m', NOW - 1800],
	['in 10m', NOW + 600],
	['1795350000.5', 1_795_350_000.5],
	['2026-01-31', at(31)],
	['2026-01-31 10:00', at(31, 10)],
	['2026-01-31T10:00:30', at(31, 10, 0, 30)],
	['2026-01-31T10:00:30Z', Date.UTC(2026, 0, 31, 10, 0, 30) / 1000],
	['2026-01-31 10:00+02:00', Date.UTC(2026, 0, 31, 8) / 1000],
	['2026-01-31 10:00 -0130', Date.UTC(2026, 0, 31, 11, 30) / 1000],
	['16:00', at(14, 16)],
	['15:30', at(15, 15, 30)],
	['3pm', at(15, 15)],
	['3:45pm', at(14, 15, 45)],
	['12am', at(15)],
	['noon', at(15, 12)],
	['midnight', at(15)],
	['today', NOW],
	['today 10:00', at(14, 10)],
	['tomorrow', at(15)],
	['Tomorrow 10:00', at(15, 10)],
	['tomorrow at 9am', at(15, 9)],
	['noon tomorrow', at(15, 12)],
	['friday', at(16)],
	['wednesday 8:00', at(21, 8)],
] as const) {
	test(`a moment: ${text}`, t => t.is(parseMoment(text, NOW), expected));
}

for (const text of [
	'',
	'foo',
	'+a',
	'+',
	'in',
	'2026-02-30',
	'2026-13-01',
	'2026-01-31 25:00',
	'2026-01-31 10:61',
	'25:00',
	'13pm',
	'1e5x',
	'tomorrow monday',
	'noon 10:00',
	'+inf',
] as const) {
	test(`no moment: '${text}'`, t => {
		const error = t.throws(() => parseMoment(text, NOW), {instanceOf: SystemError});
		t.is(error?.code, 'EINVAL');
		t.true(error?.message.includes('is no moment'));
	});
}
