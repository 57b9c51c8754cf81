/** Goal: a wait is answered once its job was noted as waited for, and no two waiters are told the same job. */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import type {RpcRequest} from '../../../src/net/rpc-request.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import {Archive} from '../../../src/services/archive.ts';
import type {JobManager} from '../../../src/services/job-manager/job-manager.ts';
import {registerJobManager} from '../../../src/services/job-manager/topics.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf, resourcesOf} from '../job-fixture.ts';

interface Answer {
	readonly id?: bigint;
	readonly code?: string;
	/** Whether the job could still be waited for when the answer was given. */
	readonly isStillWaitable?: boolean;
}

function fixture() {
	const core = new FakeCore();
	core.post({type: 'broker.instance', instance: 'i', epochMs: 0, rank: 0, hostname: 'h'});
	core.post({type: 'broker.boot', epoch: 1, bootId: 'b', uuid: 'u', pid: 1, version: '1'});
	const registry = new ServiceRegistry();
	const rows = new Map<string, Uint8Array>();
	core.onChange(change => {
		if (change.kind !== 'job') return;
		for (const {key, value} of change.rows) rows.set(Buffer.from(key).toString('hex'), value);
	});
	const archive = new Archive({
		get: key => rows.get(Buffer.from(key).toString('hex')),
		async *rows() {},
	});
	registerJobManager({core, registry, archive, manager: null as unknown as JobManager});
	const submit = () => {
		const id = core.state.lastJobId + 1n;
		const jobspec = jobspecOf();
		core.post({type: 'job.submit', id, userid: 1000, urgency: 16, flags: 4, jobspec, requestId: null});
		core.post({type: 'job.alloc', id, R: resourcesOf(1, 1).encode() as never, ranks: [0]});
		return id;
	};
	const wait = (id: bigint) => {
		const answers: Answer[] = [];
		let isOpen = true;
		const request = {
			topic: 'job-manager.wait',
			payload: {id},
			get isOpen() {
				return isOpen;
			},
			respond(value: {readonly id: bigint}) {
				isOpen = false;
				answers.push({id: value.id, isStillWaitable: core.state.waitable.has(value.id)});
			},
			error(error: SystemError) {
				isOpen = false;
				answers.push({code: error.code});
			},
			onCancel: () => undefined,
		};
		const cancel = () => {
			isOpen = false;
			request.onCancel();
		};
		void registry.find('job-manager.wait')!.handler(request as unknown as RpcRequest);
		return {answers, cancel};
	};
	return {core, submit, wait};
}

test('a wait that was pending is answered after the job was noted as waited for', t => {
	const {core, submit, wait} = fixture();
	for (const isAny of [false, true]) {
		const id = submit();
		const {answers} = wait(isAny ? -1n : id);
		core.end(id);
		core.settle();
		t.deepEqual(answers, [{id, isStillWaitable: false}]);
	}
});

test('two that wait for any job are told two jobs', t => {
	const {core, submit, wait} = fixture();
	const ids = [submit(), submit()];
	const waits = [wait(-1n), wait(-1n)];
	for (const id of ids) {
		core.end(id);
		core.settle();
	}
	t.deepEqual(
		waits.map(({answers}) => answers.map(({id}) => id)),
		ids.map(id => [id]),
	);
});

test('who waits for any job when the last one was told to another is told that there is none', t => {
	const {core, submit, wait} = fixture();
	const id = submit();
	const waits = [wait(-1n), wait(-1n)];
	core.end(id);
	core.settle();
	t.deepEqual(
		waits.map(({answers}) => answers),
		[[{id, isStillWaitable: false}], [{code: 'ECHILD'}]],
	);
});

test('a wait that was canceled takes no job from those who wait', t => {
	const {core, submit, wait} = fixture();
	const id = submit();
	const first = wait(-1n);
	const second = wait(-1n);
	core.end(id);
	first.cancel();
	core.settle();
	t.deepEqual([first.answers, second.answers], [[], [{id, isStillWaitable: false}]]);
});
