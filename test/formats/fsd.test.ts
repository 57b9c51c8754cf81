import test from 'ava';
import fc from 'fast-check';
import {formatFsd, parseFsd} from '../../src/formats/fsd.ts';

test('the vectors of RFC 23 parse', t => {
	const vectors: readonly (readonly [string, number])[] = [
		['2ms', 0.002],
		['0.2ms', 0.0002],
		['500ms', 0.5],
		['0.1s', 0.1],
		['30', 30],
		['30s', 30],
		['0.5m', 30],
		['5m', 300],
		['1.2h', 4320],
		['5d', 432000],
		['1e3', 1000],
		['.5', 0.5],
		['inf', Infinity],
		['INF', Infinity],
		['infinity', Infinity],
		['Infinity', Infinity],
	];
	for (const [text, seconds] of vectors) t.is(parseFsd(text), seconds, text);
	for (const unit of ['ms', 's', 'm', 'h', 'd', '']) t.is(parseFsd(`0${unit}`), 0);
});

test('what is no duration is refused with EINVAL', t => {
	const bad = [
		'',
		'-1.',
		'-1',
		'1.0f',
		'1.0sec',
		'NaNs',
		'nan',
		'infinites',
		'infd',
		'1S',
		'1M',
		'1D',
		'1Ms',
		's',
	];
	for (const text of [...bad, ' 1', '1 ', '0x10', '1.2.3', '.', '1e']) {
		t.throws(() => parseFsd(text), {code: 'EINVAL', message: /^invalid duration/}, text);
	}
	t.throws(() => parseFsd('1e999'), {code: 'ERANGE'});
});

test('durations print in the largest fitting unit', t => {
	const vectors: readonly (readonly [number, string])[] = [
		[0, '0s'],
		[0.001, '1ms'],
		[0.01, '10ms'],
		[0.0001, '0.1ms'],
		[5, '5s'],
		[5.1, '5.1s'],
		[62, '1.03333m'],
		[3600, '1h'],
		[4500, '1.25h'],
		[86400, '1d'],
		[103680, '1.2d'],
		[8.64e11, '1e+07d'],
		[1e-9, '1e-06ms'],
		[100, '1.66667m'],
		[Infinity, 'infinity'],
	];
	for (const [seconds, text] of vectors) t.is(formatFsd(seconds), text);
	t.is(formatFsd(62, 1), '1m');
	t.throws(() => formatFsd(Number.NaN), {code: 'EINVAL'});
	t.throws(() => formatFsd(-1), {code: 'EINVAL'});
});

test('a printed duration reads back within the precision', t => {
	fc.assert(
		fc.property(fc.double({min: 0, max: 1e12, noNaN: true}), seconds => {
			const back = parseFsd(formatFsd(seconds));
			t.true(Math.abs(back - seconds) <= seconds * 1e-5, `${seconds} -> ${back}`);
		}),
	);
});
