/** Goal: the lease counts by the monotonic clock of one boot, only without contact, and goes on over a restart of the shell. */
import test from 'ava';
import {Lease, parseLeaseRecord, type LeaseRecord} from '../../src/exec/lease.ts';

const at = (nowMs: number, bootId = 'boot-1') => ({bootId, nowMs});
const again = (lease: Lease): LeaseRecord | null => parseLeaseRecord(JSON.stringify(lease.record));

test('without a lease nothing is ever overdue', t => {
	const lease = new Lease(null, at(0));
	t.is(lease.overdueMs(1e12), null);
	lease.inContact(null);
	lease.lose(5);
	t.is(lease.overdueMs(1e12), null);
});

test('contact begins anew whenever it is there, and its loss counts from its first moment', t => {
	const lease = new Lease(null, at(0));
	t.true(lease.inContact(100));
	t.false(lease.inContact(100), 'nothing new');
	t.is(lease.overdueMs(1e9), null);
	t.true(lease.lose(1000));
	t.false(lease.lose(1050), 'it is lost already');
	t.is(lease.overdueMs(1100), null);
	t.is(lease.overdueMs(1101), 101);
	t.true(lease.inContact(100));
	t.is(lease.overdueMs(5000), null);
});

test('a new shell goes on counting; one that had contact counts from its own start; another boot begins anew', t => {
	const lease = new Lease(null, at(0));
	lease.inContact(100);
	t.is(new Lease(again(lease), at(500)).overdueMs(601), 101);
	lease.lose(200);
	t.is(new Lease(again(lease), at(500)).overdueMs(500), 300);
	t.is(new Lease(again(lease), at(500, 'boot-2')).overdueMs(550), null);
});

test('what is no record is none', t => {
	for (const text of ['', 'null', '[]', '{"bootId":1}', '{"bootId":"b","leaseMs":"x","sinceMs":null}']) {
		t.is(parseLeaseRecord(text), null, text);
	}
});
