/**
 * A broker's place in the tree: its parent, its children, who can be reached below it, and the router over these links
 * (DESIGN section 7; docs/resiliency.md is the protocol). Invariant: a neighbour is in the router exactly while its peer machine
 * is online or torpid; a broker that has joined and loses its parent ends, so that all below it does too.
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {peerMachine, type PeerFact, type PeerSnapshot} from '../../machines/peer.ts';
import type {RpcFact} from '../../machines/rpc.ts';
import type {Clock} from '../../ports/clock.ts';
import type {Random} from '../../ports/random.ts';
import type {Listener, Transport} from '../../ports/transport.ts';
import type {Control, Event, Message, Response} from '../message.ts';
import type {RpcServer} from '../rpc-server.ts';
import type {RpcSession} from '../rpc-session.ts';
import type {ServiceRegistry} from '../service-registry.ts';
import {Children, type Child} from './children.ts';
import {Events} from './events.ts';
import {fittingResponse} from './fitting-response.ts';
import {judgeLog, judgeWelcome, OVERLAY_PROTOCOL, type Hello, type Welcome} from './hello.ts';
import type {OverlayOptions} from './overlay-options.ts';
import {Parent} from './parent.ts';
import {CONTROL_FLOW, CONTROL_STATUS, type PeerLink} from './peer-link.ts';
import {HOP_PENDING_MAX, Router} from './router.ts';
import {isSame, Reach} from './reach.ts';
import {decodeSubtree, encodeSubtree, type SubtreeState} from './subtree.ts';
import {Trace} from './trace.ts';
import {seconds, whyAway} from './why-away.ts';

type Body<F> = F extends unknown ? Omit<F, 'atMs'> : never;

/** Who this broker is; the rest of a hello follows from its place. */
export type Identity = Pick<
	Hello,
	'instance' | 'version' | 'uuid' | 'pid' | 'bootCount' | 'bootId' | 'logId' | 'headSeq'
>;

export interface OverlayPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly transport: Transport;
}

export interface OverlayHooks {
	readonly post: (fact: Body<PeerFact> | Body<RpcFact>) => void;
	/** The gate. */
	readonly leave: (run: () => void) => void;
	readonly log: (severity: 'err' | 'warning' | 'notice' | 'info', text: string) => void;
	readonly identity: () => Identity;
	readonly peerOf: (rank: number) => PeerSnapshot | undefined;
	/** The parent is lost: this broker must end. */
	readonly panic: (reason: string) => void;
	/** Asks the parent for the events after this one; null: it does not have them any more. */
	readonly fetchEvents: (sequence: number) => Promise<readonly Event[] | null>;
	/** It has become part of the tree; at the root at once. */
	readonly onJoined: () => void;
}

export interface OverlayParts extends OverlayHooks {
	readonly rank: number;
	readonly options: OverlayOptions;
	readonly ports: OverlayPorts;
	readonly registry: ServiceRegistry;
	readonly server: RpcServer;
}

/** An error of the tree, for `overlay errors`. */
export interface OverlayError {
	readonly atMs: number;
	/** The neighbour, or the address of a stranger. */
	readonly peer: string;
	readonly error: string;
}

/** So many errors are remembered. */
export const OVERLAY_ERRORS_MAX = 100;

export class Overlay {
	readonly router: Router;
	readonly events: Events;
	/** What passes over the links to neighbours, for who asks. */
	readonly trace = new Trace();
	readonly size: number;
	readonly rank: number;
	readonly #parts: OverlayParts;
	readonly #parent: Parent | null;
	readonly #children: Children;
	readonly #sessions = new Map<number, RpcSession>();
	readonly #reach: Reach;
	readonly #waiting = new Map<number, () => void>();
	readonly #errors: OverlayError[] = [];
	#listener: Listener | null = null;
	#isJoined = false;
	#isClosing = false;
	#isReportDue = false;
	/** What the parent was told last. */
	#reported: SubtreeState | null = null;

	constructor(parts: OverlayParts) {
		this.#parts = parts;
		const {rank, options, ports, registry, post} = parts;
		const {topology, hosts, parentUri} = options;
		this.rank = rank;
		this.#reach = new Reach({
			rank,
			topology,
			isTorpid: child => this.#children.get(child)?.link.isTorpid === true,
		});
		this.size = topology.size;
		this.router = new Router({
			rank,
			topology,
			hosts,
			registry,
			clock: ports.clock,
			post,
			whyAway: neighbour => whyAway(parts.peerOf(neighbour), ports.clock.epochMs()),
		});
		const rules = {instance: parts.identity().instance, rank, topology, hosts};
		this.#parent =
			parentUri === null
				? null
				: new Parent({
						...ports,
						uri: parentUri,
						times: options,
						hello: () => this.#hello(),
						judge: welcome => judgeWelcome(welcome, rules),
						...this.#hooksOfParent(),
					});
		this.#children = new Children({
			clock: ports.clock,
			times: options,
			rules,
			...this.#hooksOfChildren(),
		});
		this.events = new Events({
			fetch: after => parts.fetchEvents(after),
			onGap: ({after, before}, error) => {
				const lost = `events ${after + 1} to ${before - 1} are lost`;
				this.#log('err', error === null ? lost : `${lost}: ${error.toString()}`);
			},
			sendDown: message => {
				for (const child of topology.childrenOf(rank)) {
					if (!this.#reach.has(child)) continue;
					this.trace.note('tx', child, message);
					this.#children.get(child)?.link.send(message);
				}
			},
		});
	}

	/** Part of the tree: its hello was answered, or it is the root. */
	get isJoined(): boolean {
		return this.#isJoined;
	}

	/** The newest, oldest first. */
	get errors(): readonly OverlayError[] {
		return this.#errors;
	}

	/** Ranks at or below this one that can be reached. */
	get subtree(): SubtreeState {
		return this.#reach.state;
	}

	isOnline(rank: number): boolean {
		return this.#reach.state.online.has(rank);
	}

	isTorpid(rank: number): boolean {
		return this.#reach.state.torpid.has(rank);
	}

	hostOf(rank: number): string {
		return this.#parts.options.hosts[rank] ?? '';
	}

	onChange(listener: () => void): () => void {
		return this.#reach.onChange(listener);
	}

	/** Opens the way down, then the way up. */
	async open(): Promise<void> {
		const {options, ports, rank} = this.#parts;
		if (options.listenUri !== null) {
			const listener = await ports.transport.listen(options.listenUri, link => this.#children.accept(link));
			if (this.#isClosing) {
				await listener.close();
				return;
			}
			this.#listener = listener;
		}
		if (this.#parent === null) this.#joined();
		else {
			const parent = options.topology.parentOf(rank) ?? 0;
			this.#post({type: 'peer.connect', peer: parent, role: 'parent', hostname: this.hostOf(parent)});
			this.#parent.connect();
		}
	}

	/**
	 * Ends all links: in good order (null), or for a reason, which the children take for the loss of their parent. What is
	 * pending is answered with `failure`.
	 */
	close(reason: SystemError | null, failure: SystemError): void {
		if (this.#isClosing) return;
		this.#isClosing = true;
		void this.#listener?.close();
		this.router.failAll(failure);
		this.#children.close(
			reason ?? new SystemError('ECONNRESET', `rank ${this.rank} goes: ${failure.message}`),
		);
		this.#parent?.close(reason);
	}

	/** Resolves when no child is connected any more, or the time is over. */
	goneBelow(timeoutMs: number): Promise<void> {
		return new Promise(resolve => {
			const finish = () => {
				stop();
				timer.cancel();
				resolve();
			};
			const stop = this.onChange(() => {
				if (this.#reach.childCount === 0) finish();
			});
			const timer = this.#parts.ports.clock.setTimer(timeoutMs, finish);
			if (this.#reach.childCount === 0) finish();
		});
	}

	/**
	 * Declares a child dead.
	 * @throws {SystemError} ENOENT: it is no child of this broker; EALREADY: it is not connected.
	 */
	disconnect(rank: number, reason: string): void {
		const {topology} = this.#parts.options;
		if (topology.parentOf(rank) !== this.rank) {
			throw new SystemError('ENOENT', `rank ${rank} is not a child of rank ${this.rank}`);
		}
		const child = this.#children.get(rank);
		if (child === undefined) {
			throw new SystemError('EALREADY', `rank ${rank} (${this.hostOf(rank)}) is lost or offline already`);
		}
		this.#children.drop(rank, new SystemError('ECONNABORTED', reason));
	}

	#joined(): void {
		this.#isJoined = true;
		this.#changed();
		for (const welcome of this.#waiting.values()) welcome();
		this.#waiting.clear();
		this.#parts.onJoined();
	}

	#hooksOfParent() {
		const parent = () => this.#parts.options.topology.parentOf(this.rank) ?? 0;
		return {
			onJoin: (link: PeerLink, welcome: Welcome) => this.#joinParent(link, welcome),
			onMessage: (message: Message) => this.#receive(parent(), message),
			onDrain: () => this.#drained(parent()),
			onTorpid: (silentMs: number) => {
				this.#log('warning', `${this.#nameOf(parent())} has been silent for ${seconds(silentMs)}`);
				this.#post({type: 'peer.torpid', peer: parent()});
			},
			onResponsive: () => this.#post({type: 'peer.responsive', peer: parent()}),
			onLost: (error: SystemError | null) => {
				const why = error?.toString() ?? 'it goes';
				this.#post({type: 'peer.lost', peer: parent(), error: why});
				this.#remove(parent(), error ?? new SystemError('ECONNRESET', why));
				this.#parts.panic(`lost the parent, ${this.#nameOf(parent())}: ${why}`);
			},
			onRefused: (error: SystemError) => {
				this.#fault(this.#nameOf(parent()), error);
				this.#log('notice', `no way to the parent, ${this.#nameOf(parent())}, so far: ${error.toString()}`);
			},
		};
	}

	#hooksOfChildren() {
		return {
			onHello: (child: Child, welcome: (answer: Welcome) => void) => this.#meetChild(child, welcome),
			onMessage: (rank: number, message: Message) => this.#receive(rank, message),
			onDrain: (rank: number) => this.#drained(rank),
			onTorpid: (rank: number, silentMs: number) => {
				if (!this.#reach.has(rank)) return;
				this.#log('warning', `${this.#nameOf(rank)} is torpid: silent for ${seconds(silentMs)}`);
				this.#post({type: 'peer.torpid', peer: rank});
				this.#changed();
			},
			onResponsive: (rank: number) => {
				if (!this.#reach.has(rank)) return;
				this.#log('notice', `${this.#nameOf(rank)} is heard again`);
				this.#post({type: 'peer.responsive', peer: rank});
				this.#changed();
			},
			onLost: (rank: number, error: SystemError | null) => this.#lostChild(rank, error),
			onRefused: (peer: string, error: SystemError) => {
				this.#fault(peer, error);
				this.#log('warning', `refused ${peer}: ${error.toString()}`);
			},
		};
	}

	#joinParent(link: PeerLink, welcome: Welcome): void {
		const {rank} = welcome;
		this.#join('parent', welcome);
		this.events.begin(welcome.eventSequence);
		this.#addHop(rank, {link, uuid: welcome.uuid});
		this.#parts.leave(() => {
			if (!this.#isClosing && link.isOpen) this.#joined();
		});
	}

	#meetChild({hello, link}: Child, welcome: (answer: Welcome) => void): void {
		const {rank, uuid} = hello;
		const {hostname} = hello;
		this.#post({type: 'peer.connect', peer: rank, role: 'child', hostname});
		const admit = () => {
			if (!link.isOpen || this.#isClosing) return;
			this.#join('child', hello);
			this.#parts.leave(() => {
				if (!link.isOpen || this.#isClosing) return;
				welcome({...this.#hello(), eventSequence: this.events.sequence});
				this.#addHop(rank, {link, uuid});
				this.#reach.join(rank);
				this.#changed();
			});
		};
		// The tree comes up from the root: a child whose parent is not part of it has nobody to talk to.
		if (this.#isJoined) admit();
		else this.#waiting.set(rank, admit);
	}

	#join(role: 'parent' | 'child', hello: Hello): void {
		const {rank, hostname, uuid, pid, bootCount, bootId, version, logId, headSeq} = hello;
		const before = this.#parts.peerOf(rank)?.context;
		const complaint = before === undefined ? null : judgeLog(this.#nameOf(rank), before, {logId, headSeq});
		if (complaint !== null) {
			this.#log('err', complaint);
			this.#fault(this.#nameOf(rank), new SystemError('ESTALE', complaint));
		}
		this.#post({
			type: 'peer.join',
			peer: rank,
			...{role, hostname, uuid, pid, bootCount, bootId, version, logId, headSeq},
		});
	}

	#addHop(rank: number, {link, uuid}: {readonly link: PeerLink; readonly uuid: string}): void {
		const send = (message: Message) => {
			this.trace.note('tx', rank, message);
			return link.send(message);
		};
		const deliver = (response: Response) => send(fittingResponse(response, link.queuedBytes));
		const channel = {peer: this.#nameOf(rank), send: deliver};
		const session = this.#parts.server.open(channel, {pendingMax: HOP_PENDING_MAX});
		this.#sessions.set(rank, session);
		const origin = {
			name: `${rank}-${uuid.slice(0, 8)}`,
			peer: this.#nameOf(rank),
			deliver,
		};
		this.router.addHop({
			rank,
			origin,
			send,
			setFlow: (key, isStopped) => session.setFlow(key, isStopped),
			get queuedBytes() {
				return link.queuedBytes;
			},
		});
	}

	#drained(rank: number): void {
		this.#sessions.get(rank)?.drained();
		this.router.hopDrained(rank);
	}

	#lostChild(rank: number, error: SystemError | null): void {
		this.#waiting.delete(rank);
		const isMember = this.#reach.leave(rank);
		const {value} = this.#parts.peerOf(rank) ?? {value: 'offline'};
		const why = error?.toString() ?? 'it has gone in good order';
		if (isMember) this.#log(error === null ? 'info' : 'err', `lost ${this.#nameOf(rank)}: ${why}`);
		if (error === null && (value === 'online' || value === 'torpid')) {
			this.#post({type: 'peer.leave', peer: rank, reason: 'goodbye'});
			this.#post({type: 'peer.offline', peer: rank});
		} else if (value === 'joining') {
			this.#post({type: 'peer.offline', peer: rank});
		} else if (value === 'online' || value === 'torpid') {
			this.#post({type: 'peer.lost', peer: rank, error: why});
		}
		if (error !== null) this.#fault(this.#nameOf(rank), error);
		const failure = error ?? new SystemError('EHOSTUNREACH', 'it has gone');
		this.#remove(
			rank,
			new SystemError('EHOSTUNREACH', `${this.#nameOf(rank)} is lost: ${failure.toString()}`),
		);
		this.#changed();
	}

	#remove(rank: number, error: SystemError): void {
		const session = this.#sessions.get(rank);
		this.#sessions.delete(rank);
		this.router.removeHop(rank, new SystemError('EHOSTUNREACH', error.message));
		session?.ended({code: error.code, message: error.message});
	}

	#receive(rank: number, message: Message): void {
		this.trace.note('rx', rank, message);
		const session = this.#sessions.get(rank);
		switch (message.type) {
			case 'request':
				if (session !== undefined) this.router.fromHop(rank, message, local => session.receive(local));
				break;
			case 'response':
				this.router.respond(rank, message);
				break;
			case 'event':
				if (this.#parent !== null && rank === this.#parts.options.topology.parentOf(this.rank)) {
					this.events.receive(message);
				}
				break;
			case 'control':
				this.#control(rank, message);
				break;
		}
	}

	#control(rank: number, control: Control): void {
		if (control.controlType === CONTROL_FLOW) this.router.flow(rank, control);
		else if (control.controlType === CONTROL_STATUS && this.#reach.has(rank)) {
			try {
				this.#reach.told(rank, decodeSubtree(control.payload));
			} catch (error) {
				this.#children.drop(rank, asSystemError(error, 'EPROTO'));
				return;
			}
			this.#changed();
		}
	}

	/** Works out who is there, and tells the parent in the next turn if that changed. */
	#changed(): void {
		this.#reach.refresh();
		if (!this.#isJoined || this.#isReportDue || this.#isClosing) return;
		this.#isReportDue = true;
		this.#parts.ports.clock.defer(() => {
			this.#isReportDue = false;
			this.#report();
		});
	}

	#report(): void {
		const link = this.#parent?.link;
		const {state} = this.#reach;
		if (link == null || (this.#reported !== null && isSame(this.#reported, state))) return;
		this.#reported = state;
		link.send({type: 'control', controlType: CONTROL_STATUS, status: 0, payload: encodeSubtree(state)});
	}

	#hello(): Hello {
		const {rank, options, identity} = this.#parts;
		const {topology, hosts} = options;
		return {
			protocol: OVERLAY_PROTOCOL,
			rank,
			size: topology.size,
			hostname: hosts[rank] ?? '',
			...identity(),
		};
	}

	#nameOf(rank: number): string {
		return `rank ${rank} (${this.hostOf(rank)})`;
	}

	#fault(peer: string, error: SystemError): void {
		this.#errors.push({atMs: this.#parts.ports.clock.epochMs(), peer, error: error.toString()});
		if (this.#errors.length > OVERLAY_ERRORS_MAX) this.#errors.shift();
	}

	#log(severity: 'err' | 'warning' | 'notice' | 'info', text: string): void {
		this.#parts.log(severity, text);
	}

	/** In safe mode joins, which are durable, are not noted, and no boot has ended the peers of the log: what does not fit is left out. */
	#post(fact: Body<PeerFact>): void {
		if (this.#isClosing) return;
		const before = this.#parts.peerOf(fact.peer) ?? peerMachine.initial();
		if (peerMachine.accepts(before, {...fact, atMs: 0})) this.#parts.post(fact);
	}
}
