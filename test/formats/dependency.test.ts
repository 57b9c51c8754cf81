import test from 'ava';
import {checkDependency, parseDependency} from '../../src/formats/dependency.ts';

test('the form of the command line reads as scheme, value and parameters', t => {
	t.deepEqual(parseDependency('afterok:ƒ2xyz'), {scheme: 'afterok', value: 'ƒ2xyz'});
	t.deepEqual(parseDependency('begin-time:1700000000'), {scheme: 'begin-time', value: '1700000000'});
	t.deepEqual(parseDependency('singleton'), {scheme: 'singleton', value: ''});
	t.deepEqual(parseDependency('singleton:'), {scheme: 'singleton', value: ''});
	t.deepEqual(parseDependency('a:b:c?x=1&y=a%20b%26&x=2&z&x=3&w=a=b'), {
		scheme: 'a',
		value: 'b:c',
		x: ['1', '2', '3'],
		y: 'a b&',
		z: '',
		w: 'a=b',
	});
});

test('what is no dependency is refused with the reason', t => {
	for (const text of [
		'',
		':1',
		'?a=b',
		'After:1',
		'a b:1',
		'1:2',
		'a:1?=2',
		'a:1?scheme=x',
		'a:1?value=x',
		'a:1?x=%',
	]) {
		t.throws(() => parseDependency(text), {code: 'EINVAL', message: /^invalid dependency "/}, text);
	}
	t.throws(() => checkDependency(1, 'd'), {message: 'd: must be an object, is 1'});
	t.throws(() => checkDependency({value: ''}, 'd'), {message: 'd.scheme: must be a string, is missing'});
	t.throws(() => checkDependency({scheme: 'A', value: ''}, 'd'), {message: /^d\.scheme: must be a word/});
	t.throws(() => checkDependency({scheme: 'a'}, 'd'), {message: 'd.value: must be a string, is missing'});
	t.deepEqual(checkDependency({scheme: 'a', value: '', x: [1]}), {scheme: 'a', value: '', x: [1]});
});
