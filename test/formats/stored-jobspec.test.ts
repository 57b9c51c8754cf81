/** Goal: what is read is what was stored, whether it is still remembered or not, and in whichever form a log has it. */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {parseJobspec, type Jobspec} from '../../src/formats/jobspec.ts';
import {jobspecFromCommand} from '../../src/formats/jobspec-from-command.ts';
import {readJobspec, storeJobspec} from '../../src/formats/stored-jobspec.ts';

/** More than are remembered. */
const MANY = 3000;

function jobspecOf(argv: readonly string[]): Jobspec {
	return jobspecFromCommand({argv, cwd: '/work'});
}

test('a jobspec is read as it was stored, also long after', t => {
	const text = fc.string({unit: 'binary'});
	const jobspecs = fc
		.sample(fc.tuple(fc.array(text, {minLength: 1}), fc.dictionary(text, text)), MANY)
		.map(([command, environment]): Jobspec => {
			const {tasks, attributes, ...rest} = jobspecOf(['/bin/true']);
			const system = {...attributes.system, environment};
			return {...rest, tasks: [{...tasks[0], command}], attributes: {system}};
		});
	const texts = jobspecs.map(storeJobspec);
	for (const [index, one] of texts.entries()) t.deepEqual(readJobspec(one), jobspecs[index]);
});

test('integers beyond 53 bits keep all their digits', t => {
	const jobspec = parseJobspec({
		...jobspecOf(['a']),
		attributes: {system: {duration: 0}, user: {id: 2n ** 60n}},
	});
	const stored = storeJobspec(jobspec);
	for (let index = 0; index < MANY; index += 1) storeJobspec(jobspecOf([String(index)]));
	t.deepEqual(readJobspec(stored), jobspec);
});

test('what is remembered has a bound in characters: a large one makes others forgotten', t => {
	const small = jobspecOf(['/bin/true']);
	const stored = storeJobspec(small);
	t.is(readJobspec(stored), small);
	storeJobspec(jobspecOf(['x'.repeat(2 ** 20)]));
	t.not(readJobspec(stored), small);
	t.deepEqual(readJobspec(stored), small);
});

test('the object of an old log is what it was', t => {
	const jobspec = jobspecOf(['/bin/true']);
	t.is(readJobspec(jobspec), jobspec);
});

test('what is no JSON is refused', t => {
	const error = t.throws(() => readJobspec('{"version":1'), {instanceOf: SystemError});
	t.is(error.code, 'EINVAL');
});
