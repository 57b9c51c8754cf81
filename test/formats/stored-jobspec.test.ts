/** Goal: what is read is what was stored, in whichever form a log has it; and who goes through all jobs reads none of them again. */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {parseJobspec, type Jobspec} from '../../src/formats/jobspec.ts';
import {jobspecFromCommand} from '../../src/formats/jobspec-from-command.ts';
import {outlineOf, readJobspec, storeJobspec} from '../../src/formats/stored-jobspec.ts';

const PLAIN = jobspecFromCommand({argv: ['/bin/true'], cwd: '/work'});

function withSystem(more: object): Jobspec {
	return {...PLAIN, attributes: {system: {...PLAIN.attributes.system, ...more}}};
}

test('a jobspec is read as it was stored', t => {
	const text = fc.string({unit: 'binary'});
	fc.assert(
		fc.property(fc.array(text, {minLength: 1}), fc.dictionary(text, text), (command, environment) => {
			const jobspec = {...withSystem({environment}), tasks: [{...PLAIN.tasks[0], command}]} as const;
			const read = readJobspec(storeJobspec(jobspec));
			t.not(read, jobspec);
			t.deepEqual(read, jobspec);
		}),
	);
});

test('integers beyond 53 bits keep all their digits', t => {
	const jobspec = parseJobspec({...PLAIN, attributes: {system: {duration: 0}, user: {id: 2n ** 60n + 1n}}});
	t.deepEqual(readJobspec(storeJobspec(jobspec)), jobspec);
});

test('an outline is all but environment and files, and is made once, also of what was decoded', t => {
	const jobspec = withSystem({environment: {A: 'b'}, files: {script: {data: 'x'}}, requeue: true});
	const outline = withSystem({requeue: true});
	delete (outline.attributes.system as {environment?: unknown}).environment;
	const stored = storeJobspec(jobspec);
	const decoded = {json: stored.json};
	for (const one of [stored, decoded]) {
		t.deepEqual(outlineOf(one), outline);
		t.is(outlineOf(one), outlineOf(one));
	}
});

test('what was read from a text is stored as that text, and what was made of it is not', t => {
	const text = JSON.stringify(withSystem({environment: {A: 'b'}}), null, 1);
	const read = readJobspec({json: text});
	t.is(storeJobspec(read).json, text);
	const changed = {
		...read,
		attributes: {...read.attributes, system: {...read.attributes.system, duration: 5}},
	};
	t.is(readJobspec(storeJobspec(changed)).attributes.system.duration, 5);
});

test('the object of an old log is what it was', t => {
	t.is(readJobspec(PLAIN), PLAIN);
	t.is(outlineOf(PLAIN), PLAIN);
});

test('what is no JSON is refused', t => {
	for (const read of [readJobspec, outlineOf]) {
		const error = t.throws(() => read({json: '{"version":1'}), {instanceOf: SystemError});
		t.regex(error.toString(), /^EINVAL: jobspec: invalid JSON: (?!invalid)/);
	}
});
