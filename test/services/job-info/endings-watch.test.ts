/** Goal: each job that was asked for is told once, with its events, and the stream ends after the last. */
import test from 'ava';
import fc from 'fast-check';
import type {SystemError} from '../../../src/formats/errno.ts';
import {Archive} from '../../../src/services/archive.ts';
import {
	ENDINGS_IDS_MAX,
	ENDINGS_PER_RESPONSE_MAX,
	watchEndings,
	type Ending,
} from '../../../src/services/job-info/endings-watch.ts';
import {FakeCore} from '../fake-core.ts';
import {resourcesOf} from '../job-fixture.ts';

function fixture() {
	const core = new FakeCore();
	const rows = new Map<string, Uint8Array>();
	core.onChange(change => {
		if (change.kind !== 'job') return;
		for (const {key, value} of change.rows) rows.set(Buffer.from(key).toString('hex'), value);
	});
	const archive = new Archive({
		get: key => rows.get(Buffer.from(key).toString('hex')),
		async *rows() {},
	});
	const submit = () => {
		const id = core.submit({});
		core.post({type: 'job.alloc', id, R: resourcesOf(1, 1).encode() as never, ranks: [0]});
		return id;
	};
	const watch = (ids: readonly bigint[], {names = [] as string[], takes = Infinity} = {}) => {
		const told: (readonly Ending[])[] = [];
		const ends: string[] = [];
		const sink = {
			write: ({endings}: {readonly endings: readonly Ending[]}) => told.push(endings) % takes !== 0,
			onDrain: () => undefined as void,
			end: () => void ends.push('end'),
			fail: ({code}: SystemError) => void ends.push(code),
		};
		const stop = watchEndings({core, archive}, {ids, names, sink});
		return {told, ends, sink, stop};
	};
	return {core, submit, watch};
}

test('each job is told once, whenever it ends, and then the stream ends', t => {
	const job = fc.record({
		endsBefore: fc.boolean(),
		isAsked: fc.boolean(),
		isTwice: fc.boolean(),
		settles: fc.boolean(),
	});
	fc.assert(
		fc.property(fc.array(job, {minLength: 1, maxLength: 12}), fc.integer({min: 1, max: 3}), (jobs, takes) => {
			const {core, submit, watch} = fixture();
			const all = jobs.map(one => ({...one, id: submit()}));
			for (const {id, endsBefore} of all) if (endsBefore) core.end(id);
			const asked = all.filter(({isAsked}) => isAsked);
			const {told, ends, sink} = watch(
				asked.flatMap(({id, isTwice}) => (isTwice ? [id, id] : [id])),
				{takes},
			);
			for (const {id, endsBefore, settles} of all) {
				if (!endsBefore) core.end(id);
				if (settles) core.settle();
			}
			for (let round = 0; round <= asked.length; round += 1) {
				core.settle();
				sink.onDrain();
			}
			t.deepEqual(
				told
					.flat()
					.map(({id}) => id)
					.sort((a, b) => Number(a - b)),
				asked.map(({id}) => id),
			);
			t.deepEqual(ends, ['end']);
		}),
		{numRuns: 50},
	);
});

test('the events are the job’s, or those of the names that were given', t => {
	const {core, submit, watch} = fixture();
	const id = submit();
	const whole = watch([id]);
	const some = watch([id], {names: ['submit', 'finish']});
	core.end(id);
	core.settle();
	const late = watch([id], {names: ['submit', 'finish']});
	core.settle();
	const namesIn = ({told}: {told: (readonly Ending[])[]}) =>
		told
			.flat()
			.flatMap(({eventlog}) => eventlog.trimEnd().split('\n'))
			.map(line => (JSON.parse(line) as {name: string}).name);
	t.deepEqual(
		namesIn(whole),
		core.lastOf(id).events.map(({name}) => name),
	);
	t.deepEqual(namesIn(some), ['submit', 'finish']);
	t.deepEqual(namesIn(late), namesIn(some));
});

test('who does not read is told nothing more until he does, and who left nothing at all', t => {
	const {core, submit, watch} = fixture();
	const ids = Array.from({length: ENDINGS_PER_RESPONSE_MAX + 1}, submit);
	const slow = watch(ids, {takes: 1});
	const gone = watch(ids);
	for (const id of ids) core.end(id);
	gone.stop();
	core.settle();
	t.deepEqual([slow.told.map(({length}) => length), slow.ends], [[ENDINGS_PER_RESPONSE_MAX], []]);
	slow.sink.onDrain();
	core.settle();
	t.deepEqual([slow.told.map(({length}) => length), slow.ends], [[ENDINGS_PER_RESPONSE_MAX, 1], ['end']]);
	t.deepEqual([gone.told, gone.ends], [[], []]);
});

test('a job that is not known, and too many, are refused', t => {
	const {core, submit, watch} = fixture();
	const {told, ends} = watch([submit(), 99n]);
	core.settle();
	t.deepEqual([told, ends], [[], ['ENOENT']]);
	t.throws(() => watch(Array.from({length: ENDINGS_IDS_MAX + 1}, () => 1n)), {code: 'EINVAL'});
});
