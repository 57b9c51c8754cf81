/**
 * One broker: ports, core and services wired together; start, recover, serve, stop, panic. Everything that it does to the
 * world goes through the ports it is given, so that the same broker runs in the simulator.
 */
import {SystemError} from '../formats/errno.ts';
import {Idset} from '../formats/idset.ts';
import type {Json} from '../machines/job.ts';
import {isDurable} from '../machines/durable-state.ts';
import {ROLE_LOCAL, ROLE_OWNER, type Response} from '../net/message.ts';
import type {RpcRequest} from '../net/rpc-request.ts';
import {Overlay} from '../net/overlay/overlay.ts';
import type {Origin} from '../net/overlay/pending-rpcs.ts';
import {HOP_PENDING_MAX} from '../net/overlay/router.ts';
import {ROOT} from '../net/overlay/topology.ts';
import {RpcServer} from '../net/rpc-server.ts';
import type {RpcSession} from '../net/rpc-session.ts';
import {ServiceRegistry} from '../net/service-registry.ts';
import type {Listener} from '../ports/transport.ts';
import {LogRing} from '../services/broker-info/log-ring.ts';
import {endJobs} from '../services/broker-info/shutdown.ts';
import {registerBrokerInfo} from '../services/broker-info/topics.ts';
import type {Severity} from '../services/core.ts';
import {fetchEvents, registerEvents} from '../services/event/topics.ts';
import {registerEventLog} from '../services/event-log/topics.ts';
import {Fields} from '../services/fields.ts';
import {HealthOfRank} from '../services/health/rank-health.ts';
import {registerHealth} from '../services/health/topics.ts';
import {JobExec} from '../services/job-exec/job-exec.ts';
import type {JobManager} from '../services/job-manager/job-manager.ts';
import {reportOf} from '../services/overlay/rank-report.ts';
import {registerOverlay} from '../services/overlay/topics.ts';
import type {SchedulingPolicy} from '../services/scheduling.ts';
import {RoutedPeers} from '../services/routed-peers.ts';
import {EventLog} from '../store/event-log.ts';
import {BALLAST_BYTES} from '../store/open-log.ts';
import {brokerAttributes} from './broker-attributes.ts';
import type {BrokerEnd, BrokerOptions} from './broker-options.ts';
import {LiveLog} from './live-log.ts';
import {EXIT_ORPHANED} from './daemon-protocol.ts';
import {trackRpcs} from './rpc-tracking.ts';
import {blameOf, type Blame} from './blame.ts';
import {Clients} from './clients.ts';
import {Root} from './root.ts';
import {Runtime} from './runtime.ts';

const NO_POLICY: SchedulingPolicy = {exclude: Idset.empty, queues: {}};
/** A panic flushes what it owes within this. */
const PANIC_FLUSH_MS = 200;
const SHUTDOWN_TIMEOUT_MS = 60_000;
const SHUTDOWN_JOBS_SHARE = 0.8;
/** What a broker leaves of its time to those below it, so that it can say which of them was late. */
const SHUTDOWN_LEVEL_SHARE = 0.8;
/** From the answer that all below have ended to the own end: the answer goes first. */
const STOP_ANSWER_MS = 20;
/** At least so long, those below may take to close their links. */
const STOP_GRACE_MS = 500;
/** From the last fact to the end of the process. */
const STOP_TIMEOUT_MS = 8000;
/** In safe mode for want of space: how often to look. */
const SPACE_POLL_MS = 1000;
/**
 * How much must be free to go on: more than the ballast that was given up, or it would go on at once and fail again; and
 * no more than a small file system can have.
 */
const SPACE_BYTES_MIN = BALLAST_BYTES + 2 * 1024 * 1024;

/** `broker.stop`, parent to child: the instance ends. */
interface StopOrder {
	readonly keepJobs: boolean;
	/** For all at and below the child. */
	readonly timeoutMs: number;
}

export class Broker {
	readonly ended: Promise<BrokerEnd>;
	readonly runtime: Runtime;
	readonly log: EventLog;
	readonly #options: BrokerOptions;
	readonly #registry = new ServiceRegistry();
	readonly #server: RpcServer;
	readonly #ring: LogRing;
	readonly #exec: JobExec;
	readonly #peers: RoutedPeers;
	readonly #overlay: Overlay;
	/** What only the root runs. */
	readonly #root: Root | null;
	readonly #clients: Clients;
	readonly #blame: Blame;
	#own: RpcSession | null = null;
	#listener: Listener | null = null;
	#end!: (end: BrokerEnd) => void;
	#isEnding = false;

	/**
	 * Opens the log, replays it, serves clients, and begins the reconciliation of its node. Resolves when clients can
	 * connect. In safe mode it serves what can be read, and touches nothing else.
	 * @throws {SystemError} EBUSY (another broker has the state directory), EADDRINUSE (or the socket), ENOENT…
	 */
	static async start(options: BrokerOptions): Promise<Broker> {
		const {clock, random, store} = options.ports;
		const log = await EventLog.open(store, {clock, random, create: options.create});
		const broker = new Broker(options, log);
		try {
			await broker.#begin();
		} catch (error) {
			broker.#blame.panicked(String(error), error);
			await log.close();
			throw error;
		}
		return broker;
	}

	private constructor(options: BrokerOptions, log: EventLog) {
		const {ports, rank} = options;
		const {clock, random, host} = ports;
		this.#options = options;
		this.log = log;
		this.ended = new Promise(resolve => (this.#end = resolve));
		this.#ring = new LogRing({rank, pid: options.pid, epochMs: () => clock.epochMs(), write: options.write});
		const report = (severity: Severity, message: string) => this.#ring.add(severity, message);
		const onFatal = (error: SystemError, cause: unknown) => this.panic(error.toString(), {error: cause});
		const blame = (this.#blame = blameOf(options, () => this.#server.pending));
		this.runtime = new Runtime({
			log,
			clock,
			random,
			rank,
			report,
			onFatal,
			blame,
			snapshotFacts: options.snapshotFacts,
			retentionFacts: options.retentionFacts,
		});
		log.onFatal = error => this.panic(`event log: ${error.toString()}`);
		const core = this.runtime;
		const owner = {userid: options.userid, rolemask: ROLE_OWNER | ROLE_LOCAL};
		this.#server = new RpcServer({
			registry: this.#registry,
			clock,
			name: `rank ${rank}`,
			owner,
			leave: run => core.leave(run),
			onHandlerError: (error, topic) => {
				report('err', `${topic}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
			},
			...blame.hooks,
			...trackRpcs(core),
		});
		this.#overlay = this.#makeOverlay();
		const {router} = this.#overlay;
		this.#peers = new RoutedPeers({
			core,
			topology: options.overlay.topology,
			registry: this.#registry,
			owner: {...owner, rolemask: ROLE_OWNER},
			send: (request, origin) =>
				router.route(request, origin, local => this.#fromSelf(origin).receive(local)),
		});
		this.#clients = new Clients({server: this.#server, router, owner, blame});
		const {scheduling = NO_POLICY, leaseMs = null, retention} = options;
		const settings = settingsOf(options);
		const parts = {core, peers: this.#peers, registry: this.#registry};
		this.#root =
			rank === ROOT
				? new Root({
						...parts,
						log,
						membership: this.#overlay,
						scheduling,
						leaseMs,
						retention,
					})
				: null;
		const resources = options.resources.encode() as unknown as Json;
		this.#exec = new JobExec({...parts, host, settings, resources, onReconciled: () => this.#reconciled()});
		this.#register();
	}

	/** Serves what this broker asks itself. */
	#fromSelf(origin: Origin): RpcSession {
		const send = (response: Response) => origin.deliver(response);
		this.#own ??= this.#server.open({peer: origin.peer, send}, {pendingMax: HOP_PENDING_MAX});
		return this.#own;
	}

	#makeOverlay(): Overlay {
		const {ports, rank, overlay, instance, pid, version} = this.#options;
		const {runtime, log} = this;
		return new Overlay({
			rank,
			options: overlay,
			ports,
			registry: this.#registry,
			server: this.#server,
			post: fact => {
				if (runtime.refusal === null || !isDurable(fact)) runtime.post(fact);
			},
			leave: run => runtime.leave(run),
			log: (severity, text) => this.#ring.add(severity, text),
			identity: () => {
				const {uuid, epoch, bootId} = runtime.state.broker.context;
				return {
					instance,
					version,
					pid,
					uuid,
					bootCount: epoch,
					bootId,
					logId: log.logId,
					headSeq: log.durableSeq,
				};
			},
			peerOf: peer => runtime.state.peers.get(peer),
			panic: reason => this.panic(reason, {exitCode: EXIT_ORPHANED}),
			fetchEvents: async after => fetchEvents(this.#peers, after),
			onJoined: () => {
				if (log.mode === 'normal') this.#exec.reconcile();
			},
		});
	}

	/** A clean end that leaves running jobs as they are: the next start goes on with them. */
	async terminate(reason: string): Promise<void> {
		await this.#stop({exitCode: 0, reason}, {stopHost: false});
	}

	/** Ends at once, for a restart: nothing more leaves, clients see their connection end. */
	panic(reason: string, {exitCode = 1, ...why}: {exitCode?: number; error?: unknown} = {}): void {
		if (this.#isEnding) return;
		this.#isEnding = true;
		this.#blame.panicked(reason, why.error);
		this.#ring.add('crit', `panic: ${reason}`);
		const end = () => this.#end({exitCode, reason});
		this.#options.ports.clock.setTimer(PANIC_FLUSH_MS, end);
		const failure = new SystemError(
			'ECONNRESET',
			`the broker of rank ${this.#options.rank} panicked: ${reason}`,
		);
		this.#server.failAll(failure);
		this.#overlay.close(failure, failure);
		this.#clients.close();
		void Promise.allSettled([
			this.#listener?.close(),
			this.#options.ports.host.close({stop: false}),
			this.log.close(),
		]).then(end);
	}

	async #begin(): Promise<void> {
		this.#options.ports.host.onNotice = (severity, text) => this.#ring.add(severity, text);
		const {log, runtime} = this;
		const {ports, instance, rank, hostname, pid, version, localUri} = this.#options;
		const startMs = ports.clock.monotonicMs();
		const {facts, setAside} = await runtime.replay(this.#blame.jobs);
		const tookMs = Math.round(ports.clock.monotonicMs() - startMs);
		if (log.mode === 'safe') {
			this.#beSafe();
		} else {
			const {broker} = runtime.state;
			if (broker.value === 'new') {
				runtime.post({type: 'broker.instance', instance, epochMs: ports.clock.epochMs(), rank, hostname});
			} else if (broker.context.instance !== instance) {
				throw new SystemError(
					'EINVAL',
					`${ports.store.path} belongs to instance ${broker.context.instance}, not to ${instance}`,
				);
			}
			runtime.post({
				type: 'broker.boot',
				epoch: runtime.state.broker.context.epoch + 1,
				bootId: ports.clock.bootId,
				uuid: ports.random.uuid(),
				pid,
				version,
			});
			runtime.setAside(this.#blame.jobs);
			this.#keepMark();
		}
		this.#ring.add(
			'info',
			`rank ${rank} on ${hostname}: ${facts} facts replayed in ${tookMs} ms, ` +
				`${runtime.state.jobs.size} active jobs, ${runtime.state.archive.count} finished` +
				(log.crashed ? ', after a crash' : ''),
		);
		if (setAside > 0) {
			this.#ring.add(
				'err',
				`${setAside} job(s) did not fit their log and are in lost+found: see 'log lost+found'`,
			);
		}
		this.#root?.start();
		this.#listener = await ports.transport.listen(localUri, link => this.#clients.accept(link));
		if (log.mode !== 'safe') {
			runtime.goLive();
			this.#verifyOlder();
		}
		await this.#overlay.open();
	}

	/** The HEAD file also remembers the highest job id, so that a lost tail can't have it given again. */
	#keepMark(): void {
		const {log, runtime} = this;
		const marked = typeof log.headMark === 'bigint' ? log.headMark : 0n;
		if (marked > runtime.state.lastJobId) runtime.post({type: 'broker.jobid-floor', id: marked});
		log.mark = runtime.state.lastJobId;
		runtime.onChange(change => {
			if (change.kind === 'job' || change.kind === 'broker') log.mark = runtime.state.lastJobId;
		});
	}

	#beSafe(): void {
		const {damages} = this.log;
		const isFull = damages.some(({kind}) => kind === 'full');
		const reason = `safe mode: ${damages.map(({sentence}) => sentence).join(' ')}`;
		const freeMiB = SPACE_BYTES_MIN / 1024 / 1024;
		const wayOut = isFull ? `it goes on when ${freeMiB} MiB are free` : "see 'coppice log salvage'";
		this.runtime.refuse(`${reason} (${wayOut})`);
		this.#ring.add(
			'crit',
			`${reason} Running jobs are left as they are, and nothing new is begun; ${wayOut}`,
		);
		if (isFull) this.#awaitSpace();
	}

	#awaitSpace(): void {
		const {clock, store} = this.#options.ports;
		clock.setTimer(SPACE_POLL_MS, () => {
			store.freeBytes().then(
				bytes => {
					if (this.#isEnding) return;
					if (bytes >= SPACE_BYTES_MIN) this.panic(`${store.path} has space again: leaving safe mode`);
					else this.#awaitSpace();
				},
				(error: unknown) => this.panic(`${store.path}: ${String(error)}`),
			);
		});
	}

	/** The opening proved the log from the newest snapshot on; the part before it is proved while we work. */
	#verifyOlder(): void {
		if (this.log.snapshot === null) return;
		this.log.verify().then(
			damages => {
				if (damages[0] !== undefined && !this.#isEnding) this.panic(damages[0].sentence);
			},
			(error: unknown) => {
				if (!this.#isEnding) this.panic(`verifying the log: ${String(error)}`);
			},
		);
	}

	#reconciled(): void {
		if (this.#isEnding) return;
		if (this.runtime.state.broker.value === 'recovering') {
			this.runtime.post({type: 'broker.reconcile'});
			const running = [...this.runtime.state.parts.values()].filter(({value}) => value === 'running').length;
			this.#ring.add('info', `rank ${this.#options.rank} is reconciled: ${running} running part(s) of jobs`);
		}
		this.#root?.wake();
	}

	#register(): void {
		const {runtime: core} = this;
		const registry = this.#registry;
		registry.register('event-log.compact', async request =>
			request.respond({base: await this.runtime.compact()}),
		);
		registerEventLog(
			registry,
			new LiveLog({
				log: this.log,
				core,
				dir: this.#options.ports.store,
				restart: reason => this.panic(reason),
			}),
		);
		this.#registerTree();
		if (this.#root !== null) {
			const {manager} = this.#root;
			registry.register('shutdown.start', request => this.#shutdown(request, manager), {streaming: 'always'});
		}
		this.#peers.handle('broker.stop', (order: StopOrder) => this.#stopBelow(order));
		registerEvents({registry, peers: this.#peers, events: this.#overlay.events, isRoot: this.#root !== null});
		registry.register('broker.ping', request => {
			request.respond({
				...(request.payload as object | undefined),
				route: [...request.message.route, String(core.rank)].join('!'),
				userid: request.userid,
				rolemask: request.rolemask,
				rank: core.rank,
			});
		});
		registerBrokerInfo({
			core,
			registry,
			attributes: brokerAttributes(this.#options, {runtime: core, log: this.log, registry}),
			ring: this.#ring,
			panics: (this.#options.evidence?.kept ?? []).map(({panic}) => panic),
			config: this.#options.config,
			rereadConfig: this.#options.rereadConfig,
			restart: this.#options.restart,
			isJoined: () => this.#overlay.isJoined,
		});
	}

	#registerTree(): void {
		const {ports, pid, version, hostname, overlay: place} = this.#options;
		const {topology, hosts} = place;
		const shared = {core: this.runtime, registry: this.#registry, peers: this.#peers, topology, hosts};
		const self = {pid, version};
		registerOverlay({...shared, overlay: this.#overlay, self});
		registerHealth({
			...shared,
			membership: this.#overlay,
			own: new HealthOfRank({
				...shared,
				log: this.log,
				exec: this.#exec,
				host: ports.host,
				hostname,
				refused: this.#blame.sentences,
			}),
			report: () => reportOf({core: this.runtime, topology, self}),
		});
	}

	async #shutdown(request: RpcRequest, manager: JobManager): Promise<void> {
		const fields = new Fields(request);
		const keepJobs = fields.flag('keep_jobs');
		const timeoutMs = fields.number('timeout', SHUTDOWN_TIMEOUT_MS / 1000) * 1000;
		const say = (line: string) => {
			this.#ring.add('info', `shutdown: ${line}`);
			if (request.isOpen) request.respondStream({log: line});
		};
		await this.#options.onShutdown();
		// What is left of the time is for the phases after this one, so that this one can say who was late.
		const jobsMs = timeoutMs * SHUTDOWN_JOBS_SHARE;
		await endJobs({core: this.runtime, manager, keepJobs, timeoutMs: jobsMs, say});
		await this.#stopChildren({keepJobs, timeoutMs: timeoutMs - jobsMs}, say);
		say(`rank ${this.#options.rank} stops`);
		if (request.isOpen) request.end();
		await this.#stop({exitCode: 0, reason: 'shutdown'}, {stopHost: !keepJobs});
	}

	/** Ends the brokers below this one, leaves first, and names who is late. */
	async #stopChildren({keepJobs, timeoutMs}: StopOrder, say: (line: string) => void): Promise<void> {
		const {topology, hosts} = this.#options.overlay;
		const children = topology.childrenOf(this.#options.rank).filter(rank => this.#overlay.isOnline(rank));
		if (children.length === 0) return;
		const order: StopOrder = {keepJobs, timeoutMs: timeoutMs * SHUTDOWN_LEVEL_SHARE};
		const answers = await this.#peers.requestAll(children, 'broker.stop', order, {timeoutMs});
		for (const [rank, {error}] of answers) {
			if (error !== null) say(`rank ${rank} (${hosts[rank]}) does not stop: ${error.toString()}`);
		}
		await this.#overlay.goneBelow(Math.max(STOP_GRACE_MS, timeoutMs - order.timeoutMs));
	}

	/** The parent says that the instance ends. Answered when all below have ended; then this broker ends. */
	async #stopBelow(order: StopOrder): Promise<void> {
		if (this.runtime.refusal === null) this.runtime.post({type: 'broker.shutdown', keepJobs: order.keepJobs});
		await this.#options.onShutdown();
		await this.#stopChildren(order, line => this.#ring.add('info', `shutdown: ${line}`));
		this.#options.ports.clock.setTimer(STOP_ANSWER_MS, () => {
			void this.#stop({exitCode: 0, reason: 'shutdown'}, {stopHost: !order.keepJobs});
		});
	}

	async #stop(end: BrokerEnd, {stopHost}: {readonly stopHost: boolean}): Promise<void> {
		if (this.#isEnding) return;
		this.#isEnding = true;
		const {log, runtime} = this;
		if (runtime.refusal === null) {
			runtime.post({type: 'broker.stop', reason: end.reason, digest: runtime.state.digest()});
		}
		this.#ring.add('info', `rank ${this.#options.rank} ends: ${end.reason}`);
		// A disk that hangs must not keep the broker: its log is then opened as after a crash.
		this.#options.ports.clock.setTimer(STOP_TIMEOUT_MS, () => this.#end(end));
		await log.flush(STOP_TIMEOUT_MS).catch((error: unknown) => this.#ring.add('err', String(error)));
		await Promise.allSettled([this.#options.ports.host.close({stop: stopHost}), this.#listener?.close()]);
		const failure = new SystemError('ECONNRESET', `the broker of rank ${this.#options.rank} has ended`);
		this.#server.failAll(failure);
		this.#overlay.close(null, failure);
		this.#clients.close();
		await log.close();
		this.#end(end);
	}
}

/** What the exec service of this rank goes by. */
function settingsOf({rank, localUri: uri, killTimeoutMs, leaseMs, outputBytesMax}: BrokerOptions) {
	return {
		rank,
		uri,
		killTimeoutMs,
		leaseMs: leaseMs ?? Infinity,
		...(outputBytesMax == null ? {} : {outputBytesMax}),
	};
}
