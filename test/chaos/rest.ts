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

/** RPCs that a broker has not seen the end of, but for the one that asks. */
async function pendingRequests(tree: Tree): Promise<string[]> {
	const texts = await Promise.all(
		tree.ranks.map(async nodeid => {
			const {stdout, stderr, status} = await tree.run(['repl', '--rank', String(nodeid), '-e', 'rpcs'], {
				timeoutMs: 30_000,
			});
			if (status !== 0) return `rank ${nodeid}: repl: ${stderr}`;
			const rpcs = JSON.parse(stdout) as {topic?: string}[];
			const others = rpcs.filter(({topic}) => topic !== 'repl.state');
			return others.length === 0
				? null
				: `rank ${nodeid} has ${others.length} RPCs: ${JSON.stringify(others.slice(0, 3))}`;
		}),
	);
	return texts.filter(text => text !== null);
}
