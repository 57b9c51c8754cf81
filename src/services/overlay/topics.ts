/** The topics that tell about the tree, and that cut a rank out of it (docs/services.md). Every rank serves them. */
import {Idset} from '../../formats/idset.ts';
import {SystemError} from '../../formats/errno.ts';
import type {Overlay} from '../../net/overlay/overlay.ts';
import {ROOT, type Topology} from '../../net/overlay/topology.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import {remainingMs} from '../../ports/clock.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import type {RoutedPeers} from '../routed-peers.ts';
import {askTree, TREE_TIMEOUT_MS, type AskTreeOptions, type TreeQuery} from './ask-tree.ts';
import {statsOf} from './rank-stats.ts';
import {reportOf, type RankReport} from './rank-report.ts';
import {serveTrace} from './trace-topic.ts';
import {judgeTree, type StatusEntry} from './tree-status.ts';

export interface OverlayTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly peers: RoutedPeers;
	readonly overlay: Overlay;
	readonly topology: Topology;
	readonly hosts: readonly string[];
	readonly self: {readonly pid: number; readonly version: string};
}

/** What a broker without an answer of the root in time keeps to say so. */
const UPWARD_MARGIN_MS = 500;
/** How often a wait for ranks looks. */
const READY_POLL_MS = 20;
const DISCONNECT_REASON = 'administrative disconnect';

export function registerOverlay(parts: OverlayTopics): void {
	const {core, registry, peers, overlay, topology} = parts;
	const {rank} = core;
	peers.handle('overlay.report', () => reportOf(parts));
	peers.handle('overlay.report-errors', () => errorsOf(parts));
	peers.handle('overlay.report-stats', () => statsOf(parts));

	registry.register('overlay.status', request =>
		atRoot(parts, request, async timeoutMs => ({overlay: await gatherStatus(parts, timeoutMs)})),
	);
	registry.register('overlay.errors', request =>
		atRoot(parts, request, async timeoutMs => ({
			errors: (await gather<{errors: object[]}>(parts, {topic: 'overlay.report-errors', timeoutMs})).flatMap(
				({rank, answer}) =>
					answer instanceof SystemError ? [unanswered(parts, rank, answer)] : answer.errors,
			),
		})),
	);
	registry.register('overlay.stats', request =>
		atRoot(parts, request, async timeoutMs => ({
			ranks: (await gather<object>(parts, {topic: 'overlay.report-stats', timeoutMs})).map(
				({rank, answer}) => (answer instanceof SystemError ? {rank, error: answer.toString()} : answer),
			),
		})),
	);
	registry.register('overlay.stats-get', request => request.respond(statsOf(parts)));
	registry.register('overlay.health', async request => request.respond(await healthOf(parts)));
	registry.register('overlay.topology', request => {
		const at = new Fields(request).integer('rank', rank);
		if (at < 0 || at >= topology.size) {
			throw new SystemError('ENOENT', `rank ${at}: the instance has the ranks 0 to ${topology.size - 1}`);
		}
		request.respond(treeAt(topology, at));
	});
	registry.register('overlay.disconnect-subtree', request => {
		overlay.disconnect(new Fields(request).integer('rank'), DISCONNECT_REASON);
		request.respond();
	});
	registry.register('overlay.ready', request => awaitReady(parts, request));
	registry.register('overlay.trace', request => serveTrace(parts, request), {streaming: 'always'});
	if (rank !== ROOT) return;
	registry.register('groups.get', request => {
		const members = membersOf(new Fields(request).text('name'), overlay);
		request.respond({members: members.toString()});
	});
}

/** The tree at and below this rank. */
export async function gatherStatus(parts: OverlayTopics, timeoutMs: number): Promise<readonly StatusEntry[]> {
	const answers = await askTree<RankReport>(asking(parts), {topic: 'overlay.report', timeoutMs});
	const {core, topology, hosts} = parts;
	return judgeTree({top: core.rank, topology, hosts, answers, nowS: core.clock.epochMs() / 1000});
}

/** Serves at the root what `answer` resolves to; elsewhere asks the root. `timeout` in the payload: seconds. */
export async function atRoot(
	parts: Pick<OverlayTopics, 'core' | 'peers'>,
	request: RpcRequest,
	answer: (timeoutMs: number) => Promise<unknown>,
): Promise<void> {
	const timeoutMs = new Fields(request).number('timeout', TREE_TIMEOUT_MS / 1000) * 1000;
	if (!(timeoutMs > 0)) throw new SystemError('EINVAL', `${request.topic}: timeout must be above 0`);
	if (parts.core.rank === ROOT) request.respond(await answer(timeoutMs));
	else await forward(parts, request, timeoutMs + UPWARD_MARGIN_MS);
}

async function forward(
	{peers}: Pick<OverlayTopics, 'peers'>,
	request: RpcRequest,
	timeoutMs = TREE_TIMEOUT_MS,
): Promise<void> {
	request.respond(await peers.client.call(request.topic, request.payload, {nodeid: ROOT, timeoutMs}));
}

function asking({core, peers, overlay, topology}: OverlayTopics): AskTreeOptions {
	return {core, peers, membership: overlay, topology};
}

async function gather<A extends object>(parts: OverlayTopics, query: TreeQuery) {
	const answers = await askTree<A>(asking(parts), query);
	return [...answers].map(([rank, answer]) => ({rank, answer})).sort((a, b) => a.rank - b.rank);
}

function errorsOf({core, overlay}: OverlayTopics): {readonly errors: readonly object[]} {
	const {rank} = core;
	const hostname = overlay.hostOf(rank);
	return {
		errors: overlay.errors.map(({atMs, peer, error}) => ({rank, hostname, time: atMs / 1000, peer, error})),
	};
}

/** For `overlay.errors`: a rank whose errors are not known is one. */
function unanswered({core, overlay}: OverlayTopics, rank: number, error: SystemError): object {
	const peer = `rank ${rank} (${overlay.hostOf(rank)})`;
	const time = core.clock.epochMs() / 1000;
	return {rank: core.rank, hostname: overlay.hostOf(core.rank), time, peer, error: error.toString()};
}

/** As Flux: this rank and its children, with how long they have been so. */
async function healthOf(parts: OverlayTopics): Promise<object> {
	const nowS = parts.core.clock.epochMs() / 1000;
	const entries = await gatherStatus(parts, TREE_TIMEOUT_MS);
	const describe = ({rank, status, since, error}: StatusEntry) => ({
		rank,
		status,
		duration: Math.max(0, nowS - since),
		...(error === null ? {} : {error}),
	});
	const own = entries.find(({rank}) => rank === parts.core.rank)!;
	const children = entries.filter(({parent}) => parent === parts.core.rank).map(describe);
	return {...describe(own), children};
}

interface Tree {
	readonly rank: number;
	/** Ranks at and below it. */
	readonly size: number;
	readonly children: readonly Tree[];
}

function treeAt(topology: Topology, rank: number): Tree {
	const children = topology.childrenOf(rank).map(child => treeAt(topology, child));
	return {rank, size: children.reduce((sum, {size}) => sum + size, 1), children};
}

/** Answers when `size` ranks (default: all) are online, and what is on their nodes has been compared with the root's log. */
async function awaitReady(parts: OverlayTopics, request: RpcRequest): Promise<void> {
	const {core, overlay} = parts;
	const size = new Fields(request).integer('size', overlay.size);
	if (size < 1 || size > overlay.size) {
		throw new SystemError('EINVAL', `${request.topic}: size ${size}: the instance has ${overlay.size} ranks`);
	}
	if (core.rank !== ROOT) {
		const leftMs = request.deadline === null ? TREE_TIMEOUT_MS : remainingMs(core.clock, request.deadline);
		return forward(parts, request, leftMs);
	}
	const readyCount = () =>
		[...overlay.subtree.online].filter(one => !overlay.isTorpid(one) && core.isReconciled(one)).length;
	while (request.isOpen && readyCount() < size) {
		await new Promise<void>(resolve => void core.clock.setTimer(READY_POLL_MS, resolve));
	}
	request.respond({online: overlay.subtree.online.toString()});
}

function membersOf(name: string, {subtree}: Overlay): Idset {
	switch (name) {
		case 'broker.online':
			return subtree.online;
		case 'broker.torpid':
			return subtree.torpid;
		default:
			throw new SystemError('ENOENT', `no group '${name}'`);
	}
}
