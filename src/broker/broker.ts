/**
 * One broker: ports, core and services wired together; start, recover, serve, stop, panic. Everything that it does to the
 * world goes through the ports it is given, so that the same broker runs in the simulator.
 */
import {SystemError} from '../formats/errno.ts';
import {ResourceSet} from '../formats/resource-set.ts';
import {ROLE_LOCAL, ROLE_OWNER} from '../net/message.ts';
import type {RpcRequest} from '../net/rpc-request.ts';
import {RpcServer} from '../net/rpc-server.ts';
import {ServiceRegistry} from '../net/service-registry.ts';
import type {Clock} from '../ports/clock.ts';
import type {ProcessHost} from '../ports/process-host.ts';
import type {Random} from '../ports/random.ts';
import type {StoreDir} from '../ports/store.ts';
import type {Link, Listener, Transport} from '../ports/transport.ts';
import {Archive} from '../services/archive.ts';
import {Attributes} from '../services/broker-info/attributes.ts';
import {LogRing} from '../services/broker-info/log-ring.ts';
import {endJobs} from '../services/broker-info/shutdown.ts';
import {registerBrokerInfo} from '../services/broker-info/topics.ts';
import type {Severity} from '../services/core.ts';
import {registerEventLog} from '../services/event-log/topics.ts';
import {Fields} from '../services/fields.ts';
import {JobExec} from '../services/job-exec/job-exec.ts';
import {JobInfo} from '../services/job-info/job-info.ts';
import {registerJobInfo} from '../services/job-info/topics.ts';
import {JobList} from '../services/job-list/job-list.ts';
import {registerJobList} from '../services/job-list/topics.ts';
import {JobManager} from '../services/job-manager/job-manager.ts';
import {registerJobManager} from '../services/job-manager/topics.ts';
import {LocalPeers} from '../services/peers.ts';
import {ResourcePool} from '../services/resource/pool.ts';
import {Scheduler} from '../services/scheduler/scheduler.ts';
import {EventLog} from '../store/event-log.ts';
import {BALLAST_BYTES} from '../store/open-log.ts';
import {LiveLog} from './live-log.ts';
import {registerHealth} from './health.ts';
import {trackRpcs} from './rpc-tracking.ts';
import {Runtime} from './runtime.ts';

export interface BrokerPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly store: StoreDir;
	readonly transport: Transport;
	readonly host: ProcessHost;
}

export interface BrokerOptions {
	readonly ports: BrokerPorts;
	readonly instance: string;
	readonly rank: number;
	readonly hostname: string;
	readonly userid: number;
	readonly pid: number;
	readonly version: string;
	/** `local://` address of the socket for this rank's clients. */
	readonly localUri: string;
	/** Make a new log; false: one must be there. */
	readonly create: boolean;
	/** What this rank has, as R. */
	readonly resources: ResourceSet;
	readonly killTimeoutMs: number;
	readonly snapshotFacts: number;
	readonly retentionFacts: number;
	/** The configuration as clients may see it. */
	readonly config: object;
	/** More attributes: paths, the daemon's pid. */
	readonly attributes: Readonly<Record<string, string | number | null | (() => string | number | null)>>;
	/** Each line of the broker's log. */
	readonly write: (line: string, severity: Severity) => void;
	/** Someone asked for the end of the instance: whoever restarts brokers must know before this one ends. */
	readonly onShutdown: () => Promise<void>;
}

export interface BrokerEnd {
	/** 0: shut down; 1: a panic, to be restarted. */
	readonly exitCode: number;
	readonly reason: string;
}

/** A panic flushes what it owes within this. */
const PANIC_FLUSH_MS = 200;
const SHUTDOWN_TIMEOUT_MS = 60_000;
const SHUTDOWN_JOBS_SHARE = 0.8;
/** From the last fact to the end of the process. */
const STOP_TIMEOUT_MS = 8000;
/** In safe mode for want of space: how often to look. */
const SPACE_POLL_MS = 1000;
/**
 * How much must be free to go on: more than the ballast that was given up, or it would go on at once and fail again; and
 * no more than a small file system can have.
 */
const SPACE_BYTES_MIN = BALLAST_BYTES + 2 * 1024 * 1024;

export class Broker {
	readonly ended: Promise<BrokerEnd>;
	readonly runtime: Runtime;
	readonly log: EventLog;
	readonly #options: BrokerOptions;
	readonly #registry = new ServiceRegistry();
	readonly #server: RpcServer;
	readonly #ring: LogRing;
	readonly #manager: JobManager;
	readonly #exec: JobExec;
	readonly #links = new Set<Link>();
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
		const onFatal = (error: SystemError) => this.panic(error.toString());
		this.runtime = new Runtime({
			log,
			clock,
			random,
			rank,
			report,
			onFatal,
			snapshotFacts: options.snapshotFacts,
			retentionFacts: options.retentionFacts,
		});
		log.onFatal = error => this.panic(`event log: ${error.toString()}`);
		const core = this.runtime;
		let scheduler: Scheduler | null = null;
		const peers = new LocalPeers(core);
		const archive = new Archive(log);
		const pool = new ResourcePool(options.resources);
		this.#manager = new JobManager({
			core,
			peers,
			archive,
			ghosts: {
				hold: (id, R) => pool.hold(id, ResourceSet.parse(R)),
				release: id => {
					pool.release(id);
					scheduler?.wake();
				},
			},
		});
		const settings = {rank, uri: options.localUri, killTimeoutMs: options.killTimeoutMs};
		this.#exec = new JobExec({core, peers, host, settings, onReconciled: () => this.#reconciled(scheduler)});
		this.#server = new RpcServer({
			registry: this.#registry,
			clock,
			name: `rank ${rank}`,
			owner: {userid: options.userid, rolemask: ROLE_OWNER | ROLE_LOCAL},
			leave: run => core.leave(run),
			onHandlerError: (error, topic) => {
				report('err', `${topic}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
			},
			...trackRpcs(core),
		});
		this.#register(archive, pool, peers);
		this.#startServices = () => (scheduler = new Scheduler(core, pool));
	}

	/** Made after the replay, since it derives what is held from the state. */
	readonly #startServices: () => Scheduler;

	/** A clean end that leaves running jobs as they are: the next start goes on with them. */
	async terminate(reason: string): Promise<void> {
		await this.#stop({exitCode: 0, reason}, {stopHost: false});
	}

	/** Ends at once, for a restart: nothing more leaves, clients see their connection end. */
	panic(reason: string): void {
		if (this.#isEnding) return;
		this.#isEnding = true;
		this.#ring.add('crit', `panic: ${reason}`);
		const end = () => this.#end({exitCode: 1, reason});
		this.#options.ports.clock.setTimer(PANIC_FLUSH_MS, end);
		this.#server.failAll(
			new SystemError('ECONNRESET', `the broker of rank ${this.#options.rank} panicked: ${reason}`),
		);
		void Promise.allSettled([
			this.#listener?.close(),
			this.#options.ports.host.close({stop: false}),
			this.log.close(),
		]).then(end);
	}

	async #begin(): Promise<void> {
		const {log, runtime} = this;
		const {ports, instance, rank, hostname, pid, version, localUri} = this.#options;
		const startMs = ports.clock.monotonicMs();
		const {facts, setAside} = await runtime.replay();
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
		this.#startServices();
		this.#listener = await ports.transport.listen(localUri, link => this.#accept(link));
		if (log.mode === 'safe') return;
		runtime.goLive();
		this.#exec.reconcile();
		this.#verifyOlder();
	}

	#accept(link: Link): void {
		if (this.#server.accept(link) === null) return;
		const {onEnd} = link;
		this.#links.add(link);
		link.onEnd = end => {
			this.#links.delete(link);
			onEnd(end);
		};
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

	#reconciled(scheduler: Scheduler | null): void {
		if (this.#isEnding) return;
		if (this.runtime.state.broker.value === 'recovering') {
			this.runtime.post({type: 'broker.reconcile'});
			const running = [...this.runtime.state.jobs.values()].filter(({value}) => value === 'run').length;
			this.#ring.add('info', `rank ${this.#options.rank} is reconciled: ${running} running job(s)`);
		}
		scheduler?.wake();
	}

	#register(archive: Archive, pool: ResourcePool, peers: LocalPeers): void {
		const {runtime: core} = this;
		const registry = this.#registry;
		registerJobManager({core, registry, manager: this.#manager, archive});
		registerJobList(registry, new JobList(core, archive));
		registerJobInfo(registry, new JobInfo({core, peers, archive}));
		registerEventLog(
			registry,
			new LiveLog({
				log: this.log,
				core,
				dir: this.#options.ports.store,
				restart: reason => this.panic(reason),
			}),
		);
		registerHealth({
			core,
			registry,
			server: this.#server,
			log: this.log,
			exec: this.#exec,
			options: this.#options,
		});
		registry.register('shutdown.start', request => this.#shutdown(request), {streaming: 'always'});
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
			attributes: this.#attributes(),
			ring: this.#ring,
			pool,
			config: this.#options.config,
		});
	}

	#attributes(): Attributes {
		const {rank, instance, hostname, userid, pid, version, localUri, ports} = this.#options;
		const attributes = new Attributes();
		const hostAttribute = (name: 'shellPid' | 'launcherPid' | 'jobCgroup' | 'tracking') => () =>
			ports.host.attributes()[name] === '' ? null : ports.host.attributes()[name];
		attributes.add({
			rank,
			size: this.#options.resources.nodeCount,
			'instance-id': instance,
			'instance-level': 0,
			hostname,
			hostlist: hostname,
			version,
			statedir: ports.store.path,
			'local-uri': localUri,
			'security.owner': userid,
			'broker.pid': pid,
			'broker.boot-count': () => this.runtime.state.broker.context.epoch,
			'broker.starttime': () => this.runtime.state.broker.context.startMs / 1000,
			'broker.mode': this.log.mode,
			'process-tracking': hostAttribute('tracking'),
			'job-cgroup': hostAttribute('jobCgroup'),
			'shell.pid': hostAttribute('shellPid'),
			'launcher.pid': hostAttribute('launcherPid'),
			...this.#options.attributes,
		});
		return attributes;
	}

	async #shutdown(request: RpcRequest): Promise<void> {
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
		await endJobs({core: this.runtime, manager: this.#manager, keepJobs, timeoutMs: jobsMs, say});
		say(`rank ${this.#options.rank} stops`);
		if (request.isOpen) request.end();
		await this.#stop({exitCode: 0, reason: 'shutdown'}, {stopHost: !keepJobs});
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
		this.#server.failAll(new SystemError('ECONNRESET', `the broker of rank ${this.#options.rank} has ended`));
		for (const link of this.#links) link.close();
		await log.close();
		this.#end(end);
	}
}
