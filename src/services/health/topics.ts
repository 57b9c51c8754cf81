/**
 * `broker.health`: one broker's own; `health.status`: what is stuck anywhere in the tree (docs/services.md). Invariant: a rank that
 * does not answer is itself a problem that is named, and never delays the answer beyond its deadline.
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import {ROOT, type Topology} from '../../net/overlay/topology.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import type {Membership} from '../membership.ts';
import {askTree, TREE_TIMEOUT_MS} from '../overlay/ask-tree.ts';
import type {RankReport} from '../overlay/rank-report.ts';
import {isOnline, judgeTree, type StatusEntry} from '../overlay/tree-status.ts';
import type {RoutedPeers} from '../routed-peers.ts';
import type {HealthOfRank, Problem, RankHealth} from './rank-health.ts';

export interface HealthTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly peers: RoutedPeers;
	readonly membership: Membership;
	readonly topology: Topology;
	readonly hosts: readonly string[];
	readonly own: HealthOfRank;
	/** What `overlay.status` is made of. */
	readonly report: () => RankReport;
}

/** A problem and the rank that has it. */
export interface PlacedProblem extends Problem {
	readonly rank: number;
	readonly hostname: string;
}

export interface TreeHealth {
	readonly healthy: boolean;
	readonly ranks: readonly (Omit<RankHealth, 'problems'> & {readonly status: string | null})[];
	readonly problems: readonly PlacedProblem[];
}

/** What a rank says of its own place and of its health, in one answer. */
interface Answer extends RankReport {
	readonly health: RankHealth;
}

/** What is left for this broker's own answer when the root gives none. */
const OWN_SHARE = 0.8;

export function registerHealth(parts: HealthTopics): void {
	const {core, registry, peers, own, report} = parts;
	peers.handle('health.report', async ({service}: {readonly service: string | null}) => ({
		...report(),
		health: await own.report(service),
	}));
	registry.register('broker.health', async request =>
		request.respond(await own.report(serviceIn(new Fields(request)))),
	);
	registry.register('health.status', async request => {
		const fields = new Fields(request);
		const timeoutMs = fields.number('timeout', TREE_TIMEOUT_MS / 1000) * 1000;
		const service = serviceIn(fields);
		if (!(timeoutMs > 0)) throw new SystemError('EINVAL', 'health.status: timeout must be above 0');
		if (core.rank === ROOT) request.respond(await healthOfTree(parts, {service, timeoutMs}));
		else request.respond(await askRoot(parts, {service, timeoutMs}));
	});
}

interface HealthQuery {
	readonly service: string | null;
	readonly timeoutMs: number;
}

function serviceIn(fields: Fields): string | null {
	return fields.any('service') == null ? null : fields.text('service');
}

async function healthOfTree(parts: HealthTopics, {service, timeoutMs}: HealthQuery): Promise<TreeHealth> {
	const {core, topology, hosts} = parts;
	const query = {topic: 'health.report', payload: {service}, timeoutMs};
	const answers = await askTree<Answer>(parts, query);
	const nowS = core.clock.epochMs() / 1000;
	const entries = judgeTree({top: core.rank, topology, hosts, answers, nowS});
	const healths = entries.map(entry => {
		const answer = answers.get(entry.rank);
		return {entry, health: answer === undefined || answer instanceof SystemError ? null : answer.health};
	});
	const problems = healths.flatMap(({entry, health}) =>
		health === null ? treeProblem(entry, nowS) : placed(health),
	);
	return {
		healthy: problems.length === 0,
		ranks: healths.flatMap(({entry, health}) =>
			health === null ? [] : [{...withoutProblems(health), status: entry.status}],
		),
		problems,
	};
}

/** What this broker can say when the root does not. */
async function askRoot(parts: HealthTopics, {service, timeoutMs}: HealthQuery): Promise<unknown> {
	const {core, peers, own, hosts} = parts;
	const startMs = core.clock.monotonicMs();
	try {
		const payload = {service, timeout: (timeoutMs * OWN_SHARE) / 1000};
		return await peers.client.call('health.status', payload, {nodeid: ROOT, timeoutMs});
	} catch (error) {
		const health = await own.report(service);
		const age = (core.clock.monotonicMs() - startMs) / 1000;
		const text = `the root does not answer: ${asSystemError(error).toString()}`;
		const root = {
			rank: ROOT,
			hostname: hosts[ROOT] ?? '',
			service: 'overlay',
			topic: 'health.status',
			age,
			text,
		};
		return {
			healthy: false,
			ranks: [{...withoutProblems(health), status: null}],
			problems: [root, ...placed(health)],
		} satisfies TreeHealth;
	}
}

function treeProblem(
	{rank, hostname, status, since, error}: StatusEntry,
	nowS: number,
): readonly PlacedProblem[] {
	const age = Math.max(0, nowS - since);
	const what = isOnline(status) ? 'no health report' : status;
	const text = error === null ? what : `${what}: ${error}`;
	return [{rank, hostname, service: 'overlay', topic: 'peer', age, text}];
}

function placed({rank, hostname, problems}: RankHealth): readonly PlacedProblem[] {
	return problems.map(problem => ({rank, hostname, ...problem}));
}

function withoutProblems({problems: _, ...rest}: RankHealth): Omit<RankHealth, 'problems'> {
	return rest;
}
