/** Goal: a state directory is started only as what it is. */
import test from 'ava';
import {checkSite} from '../../src/broker/cluster-site.ts';
import type {InstanceInfo} from '../../src/broker/instance.ts';

const info: InstanceInfo = {
	instance: 'a',
	hostname: 'n2',
	statedir: '/s',
	jobdir: '/j',
	rundir: '/r',
	size: 4,
	soleRank: 2,
	topo: 'kary:2',
	cgroupBase: '',
	createdMs: 1,
};
const {soleRank: _soleRank, ...local} = info;

test('the same rank of the same instance goes on, whatever the number of hosts', t => {
	t.notThrows(() => checkSite(info, {rank: 2, instance: 'a'}));
	t.notThrows(() => checkSite(local, null));
});

test('an instance of one broker can become the root of a cluster', t => {
	t.notThrows(() => checkSite({...local, size: 1}, {rank: 0, instance: 'a'}));
	t.throws(() => checkSite({...local, size: 1}, {rank: 1, instance: 'a'}), {code: 'EINVAL'});
	t.throws(() => checkSite(local, {rank: 0, instance: 'a'}), {code: 'EINVAL', message: /with its 4 brokers/});
});

test('what the directory is not is refused by name', t => {
	t.throws(() => checkSite(info, {rank: 3, instance: 'a'}), {
		code: 'EINVAL',
		message:
			/^\/s belongs to instance a, as rank 2, and by bootstrap.hosts this host is rank 3: add hosts at the end/,
	});
	t.throws(() => checkSite(info, {rank: 2, instance: 'b'}), {
		code: 'EINVAL',
		message:
			/^\/s belongs to instance a, and bootstrap.key is that of instance b.*coppice keygen --instance a FILE$/,
	});
	t.throws(() => checkSite(info, null), {
		code: 'EINVAL',
		message: /^\/s belongs to instance a, as rank 2 of 4 hosts: start it with 'coppice broker'/,
	});
});
