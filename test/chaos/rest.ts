/** What must hold of a tree on which nothing happens any more. */
import {children} from './cgroup-tree.ts';
import type {Tree} from './tree.ts';
import {until} from './until.ts';

const REST_MS = 30_000;

/**
 * What is not at rest although all jobs are inactive, in words: allocations without a job, parts of jobs on nodes, requests
 * that nobody answers.
 */
export async function restingFaults(tree: Tree): Promise<string[]> {
	let faults: string[] = [];
	try {
		await until(
			'the tree is at rest',
			async () => {
				faults = [...(await allocations(tree)), ...cgroups(tree), ...(await pendingRequests(tree))];
				return faults.length === 0;
			},
			{timeoutMs: REST_MS, pollMs: 250},
		);
		return [];
	} catch (error) {
		return [...faults, String(error)].filter((text, index, all) => all.indexOf(text) === index);
	}
}

/** Of what is allocated: jobs that are active. */
async function allocations(tree: Tree): Promise<string[]> {
	const {allocated} = (await tree.call('resource.sched-status', {})) as {
		allocated: {execution?: {R_lite?: unknown[]}};
	};
	const {held} = (await tree.call('resource.held', {})) as {held: unknown[]};
	const R = allocated.execution?.R_lite ?? [];
	return [
		...(R.length === 0 ? [] : [`allocated, and no job is active: ${JSON.stringify(R)}`]),
		...(held.length === 0 ? [] : [`held, and no job is active: ${held.length} times`]),
	];
}

function cgroups(tree: Tree): string[] {
	const left = tree.cgroups.flatMap(children).filter(path => /\/job-[^/]*$/.test(path));
	return left.map(path => `a cgroup is left: ${path}`);
}

/** RPCs that brokers have passed on or serve, without an end. */
async function pendingRequests(tree: Tree): Promise<string[]> {
	const {ranks} = (await tree.call('overlay.stats', {})) as {ranks: RankStats[]};
	return ranks.flatMap(stats => {
		const count = stats['parent-rpc'] + stats['child-rpc'] + stats['local-rpc'];
		return count === 0 ? [] : [`rank ${stats.rank} has ${count} RPCs pending: ${JSON.stringify(stats.rpcs)}`];
	});
}

interface RankStats {
	readonly rank: number;
	readonly 'parent-rpc': number;
	readonly 'child-rpc': number;
	readonly 'local-rpc': number;
	readonly rpcs: readonly object[];
}
