/**
 * Goal: of several versions of a record, what a salvage puts into a hole is the one that belongs there.
 * Method: chains of records built by hand, and candidates of another course beside them.
 */
import test from 'ava';
import {fillRegion, type Region} from '../../src/store/damaged-regions.ts';
import {recordKey} from '../../src/store/keyspaces.ts';
import {
	decodeRecord,
	encodeFacts,
	encodeFactsRecord,
	NO_HASH,
	type LogRecord,
} from '../../src/store/record-codec.ts';
import {RawCollection, type Candidate} from '../../src/store/raw-collection.ts';

/** Records 1 to `count` of one fact each; another `course` gives other facts and hashes. */
function chain(count: number, course = 'main'): {record: LogRecord; value: Uint8Array}[] {
	let prevHash = NO_HASH;
	return Array.from({length: count}, (_, index) => {
		const seq = index + 1;
		const value = encodeFactsRecord([encodeFacts([{course, seq}])], {seq, prevHash, durableSeq: seq});
		const record = decodeRecord(seq, value);
		prevHash = record.chainHash;
		return {record, value};
	});
}

function candidate(
	{record, value}: {record: LogRecord; value: Uint8Array},
	extra: Partial<Candidate> = {},
): Candidate {
	return {record, value, isDoubtful: false, isMended: false, order: 1n, source: 'test', ...extra};
}

const main = chain(9);
const other = chain(9, 'other');
const at = (records: typeof main, seq: number) => records[seq - 1]!;

/** Facts 4 to 6 are missing. */
const hole: Region = {
	fromSeq: 4,
	toSeq: 6,
	before: at(main, 3).record.chainHash,
	after: at(main, 7).record.prevHash,
	isTail: false,
};

const shape = (region: Region, candidates: readonly Candidate[]) =>
	fillRegion(region, {candidates, logId: 'id'}).map(({seq, endSeq, candidate: from}) => {
		return from === null
			? `bridge ${seq}-${endSeq}`
			: `${String((from.record.facts[0] as {course: string}).course)} ${seq}`;
	});

test('the chain chooses among versions, even one that was deleted later', t => {
	const candidates = [4, 5, 6].flatMap(seq => [
		candidate(at(other, seq), {order: 9n}),
		candidate(at(main, seq), {isDoubtful: true}),
	]);
	t.deepEqual(shape(hole, candidates), ['main 4', 'main 5', 'main 6']);
});

test('what the chain does not reach from behind is bridged, and whole records before the bridge are kept', t => {
	t.deepEqual(shape(hole, [candidate(at(main, 4)), candidate(at(main, 6))]), [
		'main 4',
		'bridge 5-5',
		'main 6',
	]);
	t.deepEqual(shape(hole, [candidate(at(main, 5))]), ['bridge 4-4', 'main 5', 'bridge 6-6']);
	t.deepEqual(shape(hole, []), ['bridge 4-6']);
});

test('a record of another course is not put where it contradicts its neighbours', t => {
	t.deepEqual(shape(hole, [candidate(at(other, 6))]), ['bridge 4-6']);
	t.deepEqual(shape(hole, [candidate(at(other, 4))]), ['bridge 4-6']);
	t.deepEqual(shape(hole, [candidate(at(other, 5), {isDoubtful: true})]), ['bridge 4-6']);
});

test('bridges chain: each names the hash before it and the one behind it', t => {
	const filled = fillRegion(hole, {candidates: [candidate(at(main, 5))], logId: 'id'});
	let {before: hash} = hole;
	for (const {seq, value, chainHash} of filled) {
		const record = decodeRecord(seq, value);
		t.deepEqual(Buffer.from(record.prevHash), Buffer.from(hash!));
		t.deepEqual(Buffer.from(record.chainHash), Buffer.from(chainHash));
		hash = chainHash;
	}
	t.deepEqual(Buffer.from(hash!), Buffer.from(hole.after!));
});

test('records behind HEAD are kept as long as the chain goes on', t => {
	const tail: Region = {...hole, after: at(main, 6).record.chainHash, isTail: true};
	const candidates = [6, 7, 8].map(seq => candidate(at(main, seq)));
	t.deepEqual(shape(tail, [...candidates, candidate(at(other, 9))]), [
		'bridge 4-5',
		'main 6',
		'main 7',
		'main 8',
	]);
});

test('without HEAD a tail ends with its last whole record', t => {
	const tail: Region = {...hole, toSeq: null, after: null, isTail: true};
	const candidates = [4, 6].map(seq => candidate(at(main, seq)));
	t.deepEqual(shape(tail, candidates), ['main 4', 'bridge 5-5', 'main 6']);
	t.deepEqual(shape(tail, []), []);
});

test('a candidate that was deleted after it was written is doubtful; one that was written again is not', t => {
	const found = new RawCollection();
	const add = (seq: number, order: bigint, value: Uint8Array | null) => {
		const entry = {key: recordKey(seq), value, order, isMended: false};
		found.add(entry, {source: 'test', isFromLog: true}, () => true);
	};
	add(4, 10n, at(other, 4).value);
	add(4, 11n, null);
	add(4, 12n, at(main, 4).value);
	add(5, 13n, at(main, 5).value);
	t.deepEqual(
		found.current().map(({isDoubtful}) => isDoubtful),
		[true, false, false],
	);
});
