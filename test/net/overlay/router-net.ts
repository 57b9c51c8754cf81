/**
 * Brokers reduced to routing: a router, services and clients each, joined by queues that the test empties as it likes. A
 * broker that loses its parent panics with all below it and comes back as new. Everything passes through the encoding, and
 * every fact through the machines. What a client gets is judged as it comes.
 */
import assert from 'node:assert/strict';
import {SystemError, errnumOf} from '../../../src/formats/errno.ts';
import {trackRpcs} from '../../../src/broker/rpc-tracking.ts';
import {DurableState, type AnyFact} from '../../../src/machines/durable-state.ts';
import {
	CANCEL_SUFFIX,
	decodeMessage,
	encodeMessage,
	NODEID_ANY,
	type Message,
	type Request,
	type Response,
} from '../../../src/net/message.ts';
import type {Origin} from '../../../src/net/overlay/pending-rpcs.ts';
import {Router} from '../../../src/net/overlay/router.ts';
import type {Topology} from '../../../src/net/overlay/topology.ts';
import {decodePayload, encodePayload} from '../../../src/net/payload.ts';
import type {RpcRequest} from '../../../src/net/rpc-request.ts';
import {RpcServer} from '../../../src/net/rpc-server.ts';
import type {RpcSession} from '../../../src/net/rpc-session.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import type {Core} from '../../../src/services/core.ts';
import {ManualClock} from '../clocks.ts';

/** A link with so many messages on it is behind. */
const LINK_DEPTH = 6;
const ENODATA = errnumOf('ENODATA');

/** What a client asked for, and what came of it. */
export class Asked {
	readonly id: number;
	readonly request: Request;
	readonly values: number[] = [];
	final: Response | null = null;

	constructor(id: number, request: Request) {
		this.id = id;
		this.request = request;
	}

	/** Takes a response, which must be one that is due. */
	take(response: Response): void {
		const what = `request ${this.id} (${this.request.topic})`;
		assert.equal(this.final, null, `${what}: another response after the final one`);
		assert.deepEqual(response.route, this.request.route, `${what}: the route is not the own one`);
		const isFinal = !response.streaming || response.errnum !== 0;
		if (response.errnum === 0) {
			const {id, value} = decodePayload(response.payload) as {id: number; value: number};
			assert.equal(id, this.id, `${what}: got the answer to another request`);
			if (response.streaming) {
				assert.equal(value, this.values.length, `${what}: a value of the stream is lost or doubled`);
				this.values.push(value);
			}
		}
		if (isFinal) this.final = response;
	}
}

export class Client {
	readonly origin: Origin;
	readonly asked: Asked[] = [];
	isGone = false;
	/** It takes responses, but wants no more of a stream. */
	isBehind = false;
	/** Its broker stopped its requests. */
	isPaused = false;
	/** Values that came while it was behind. */
	valuesBehind = 0;
	readonly node: Node;
	readonly #open = new Map<number, Asked>();
	readonly #session: RpcSession;

	constructor(node: Node, name: string) {
		this.node = node;
		this.origin = {
			name,
			peer: name,
			deliver: response => this.#take(response),
			pause: () => (this.isPaused = true),
			resume: () => (this.isPaused = false),
		};
		this.#session = node.server.open({peer: name, send: response => this.#take(response)});
	}

	/** Sends a request under its lowest free matchtag, as an RPC client does. */
	ask(fields: Partial<Request> & Pick<Request, 'topic'>, id: number): Asked {
		let matchtag = 0;
		if (fields.noresponse !== true)
			do matchtag += 1;
			while (this.#open.has(matchtag));
		const asked = new Asked(id, requestOf({...fields, matchtag, payload: encodePayload({id})}));
		this.asked.push(asked);
		if (matchtag !== 0) this.#open.set(matchtag, asked);
		this.#route(asked.request);
		return asked;
	}

	cancel({request}: Asked): void {
		const {topic, nodeid, upstream, matchtag} = request;
		const payload = encodePayload({matchtag});
		const fields = {nodeid, upstream, noresponse: true, matchtag: 0, payload};
		this.#route(requestOf({topic: `${topic}${CANCEL_SUFFIX}`, ...fields}));
	}

	/** As a broker on behalf of another would: gives up all of a service, silently. */
	disconnect(service: string): void {
		this.#route(requestOf({topic: `${service}.disconnect`, noresponse: true, matchtag: 0}));
		for (const [tag, {request}] of this.#open) {
			if (request.topic.startsWith(`${service}.`)) this.#open.delete(tag);
		}
	}

	drain(): void {
		if (!this.isBehind || this.isGone) return;
		this.isBehind = false;
		this.valuesBehind = 0;
		this.#session.drained();
		this.node.router.originDrained(this.origin);
	}

	leave(): void {
		if (this.isGone) return;
		this.isGone = true;
		this.node.router.originGone(this.origin);
		this.#session.ended({code: 'ECONNRESET', message: 'it left'});
	}

	#route(request: Request): void {
		const arrived = copy(request) as Request;
		this.node.router.route(arrived, this.origin, local => this.#session.receive(local));
	}

	#take(response: Response): boolean {
		if (this.isGone) return true;
		const asked = this.#open.get(response.matchtag);
		assert.ok(asked !== undefined, `a response to nothing that was asked: ${response.topic}`);
		asked.take(copy(response) as Response);
		if (asked.final !== null) this.#open.delete(response.matchtag);
		else if (this.isBehind) this.valuesBehind += 1;
		return !this.isBehind;
	}
}

/** A stream that a service sends as fast as it is let. */
interface Source {
	readonly request: RpcRequest;
	readonly id: number;
	next: number;
	mayGoOn: boolean;
}

export class Node {
	readonly rank: number;
	readonly life: number;
	readonly router: Router;
	readonly server: RpcServer;
	readonly registry = new ServiceRegistry();
	readonly state = new DurableState();
	/** Requests that their handlers keep. */
	readonly held: RpcRequest[] = [];
	readonly sources: Source[] = [];
	/** Ids of the fire-and-forget requests that arrived. */
	readonly notes: number[] = [];
	readonly clients: Client[] = [];
	/** To neighbours. */
	readonly links = new Map<number, Link>();
	readonly sessions = new Map<number, RpcSession>();
	readonly failures: unknown[] = [];
	#lastClient = 0;

	constructor({
		rank,
		topology,
		clock,
		life,
	}: {
		rank: number;
		topology: Topology;
		clock: ManualClock;
		life: number;
	}) {
		this.rank = rank;
		this.life = life;
		const post = (fact: object) => void this.state.applyFact({...fact, atMs: clock.epochMs()} as AnyFact);
		const core = {post, state: this.state} as unknown as Core;
		this.server = new RpcServer({
			registry: this.registry,
			clock,
			name: `rank ${rank}`,
			onHandlerError: error => this.failures.push(error),
			...trackRpcs(core),
		});
		this.router = new Router({
			rank,
			topology,
			hosts: [],
			registry: this.registry,
			clock,
			post,
			whyAway: () => 'it is away',
		});
	}

	/** Has all topics of a service that answers at once, later, never or in streams. */
	serve(service: string): void {
		const idOf = (request: RpcRequest) => (request.payload as {id: number}).id;
		this.registry.register(`${service}.echo`, request => {
			if (request.noresponse) this.notes.push(idOf(request));
			else request.respond({id: idOf(request), value: 0});
		});
		this.registry.register(`${service}.hold`, request => void this.held.push(request));
		this.registry.register(`${service}.fail`, () => {
			throw new SystemError('ENOENT', 'nothing there');
		});
		this.registry.register(
			`${service}.watch`,
			request => {
				const source = {request, id: idOf(request), next: 0, mayGoOn: true};
				request.onDrain = () => (source.mayGoOn = true);
				this.sources.push(source);
			},
			{streaming: 'always'},
		);
	}

	addClient(): Client {
		this.#lastClient += 1;
		const client = new Client(this, `c${this.#lastClient}`);
		this.clients.push(client);
		return client;
	}

	/** Sends one value of a stream if it is let. False: nothing was sent. */
	emit(source: Source): boolean {
		if (!source.request.isOpen || !source.mayGoOn) return false;
		source.mayGoOn = source.request.respondStream({id: source.id, value: source.next});
		source.next += 1;
		return true;
	}

	join(neighbour: Node): void {
		const link = new Link(() => this.#drained(neighbour.rank));
		this.links.set(neighbour.rank, link);
		const deliver = (response: Response) => link.send(response);
		const session = this.server.open({peer: `rank ${neighbour.rank}`, send: deliver});
		this.sessions.set(neighbour.rank, session);
		this.router.addHop({
			rank: neighbour.rank,
			origin: {name: `${neighbour.rank}-${neighbour.life}`, peer: `rank ${neighbour.rank}`, deliver},
			queuedBytes: 0,
			send: message => link.send(message),
			setFlow: (key, isStopped) => session.setFlow(key, isStopped),
		});
	}

	part(neighbour: number): void {
		this.links.delete(neighbour);
		this.router.removeHop(neighbour, new SystemError('EHOSTUNREACH', `rank ${neighbour} is lost`));
		this.sessions.get(neighbour)?.ended({code: 'ECONNRESET', message: 'lost'});
		this.sessions.delete(neighbour);
	}

	receive(from: number, message: Message): void {
		const session = this.sessions.get(from);
		if (message.type === 'request') this.router.fromHop(from, message, local => session?.receive(local));
		else if (message.type === 'response') this.router.respond(from, message);
		else if (message.type === 'control') this.router.flow(from, message);
	}

	/** Answers all that is pending, and ends. */
	panic(): void {
		const failure = new SystemError('ECONNRESET', `rank ${this.rank} panicked`);
		this.server.failAll(failure);
		this.router.failAll(failure);
	}

	#drained(neighbour: number): void {
		this.sessions.get(neighbour)?.drained();
		this.router.hopDrained(neighbour);
	}
}

/** One direction of a link. */
class Link {
	readonly queue: Message[] = [];
	sent = 0;
	deepest = 0;
	readonly #onDrain: () => void;
	#wasFull = false;

	constructor(onDrain: () => void) {
		this.#onDrain = onDrain;
	}

	send(message: Message): boolean {
		this.queue.push(copy(message));
		this.sent += 1;
		this.deepest = Math.max(this.deepest, this.queue.length);
		if (this.queue.length <= LINK_DEPTH) return true;
		this.#wasFull = true;
		return false;
	}

	take(): Message | undefined {
		const message = this.queue.shift();
		return message;
	}

	/** After what was taken has been received. */
	settle(): void {
		if (!this.#wasFull || this.queue.length > 0) return;
		this.#wasFull = false;
		this.#onDrain();
	}
}

export class RouterNet {
	readonly clock = new ManualClock();
	readonly topology: Topology;
	readonly nodes: Node[];
	/** All clients that ever were. */
	readonly clients: Client[] = [];
	readonly #services: (node: Node) => void;
	#lives = 0;
	#lastId = 0;

	constructor(topology: Topology, services: (node: Node) => void) {
		this.topology = topology;
		this.#services = services;
		this.nodes = Array.from({length: topology.size}, (_, rank) => this.#start(rank));
		for (const {rank} of this.nodes) this.#join(rank);
	}

	at(rank: number): Node {
		return this.nodes[rank % this.nodes.length] as Node;
	}

	addClient(rank: number): Client {
		const client = this.at(rank).addClient();
		this.clients.push(client);
		return client;
	}

	ask(client: Client, fields: Partial<Request> & Pick<Request, 'topic'>): Asked {
		this.#lastId += 1;
		return client.ask(fields, this.#lastId);
	}

	/** Links with something on them, as sender and receiver. */
	get busy(): readonly (readonly [Node, Node])[] {
		return this.nodes.flatMap(from =>
			[...from.links].filter(([, {queue}]) => queue.length > 0).map(([to]) => [from, this.at(to)] as const),
		);
	}

	/** Lets one message arrive. */
	step(from: Node, to: Node): void {
		const link = from.links.get(to.rank);
		const message = link?.take();
		if (message !== undefined) to.receive(from.rank, message);
		link?.settle();
	}

	/** Contact between a rank and its parent is lost: the rank and all below it start again. What is on the way is lost. */
	lose(rank: number): void {
		const parent = this.topology.parentOf(rank);
		if (parent === null) return;
		this.at(parent).part(rank);
		const below = this.topology.subtreeOf(rank);
		this.at(rank).part(parent);
		for (const one of below) this.at(one).panic();
		for (const one of below) {
			for (const client of this.at(one).clients) client.isGone = true;
			this.nodes[one] = this.#start(one);
		}
		for (const one of below) this.#join(one);
	}

	/** Lets everything arrive that is on its way. */
	deliver(): void {
		for (let count = 0; count < 1_000_000; count += 1) {
			const [next] = this.busy;
			if (next === undefined) return;
			this.step(...next);
		}
		throw new Error('messages go round for ever');
	}

	/** Ends everything that goes on: readers read, streams end after `upTo` values, what is held is answered. */
	finish(upTo: number): void {
		for (let isBusy = true; isBusy;) {
			isBusy = false;
			for (const client of this.clients) client.drain();
			this.deliver();
			for (const node of this.nodes) {
				for (const request of node.held.splice(0)) {
					isBusy = true;
					if (request.isOpen) request.respond({id: (request.payload as {id: number}).id, value: 0});
				}
				for (const source of node.sources) {
					while (source.next < upTo && node.emit(source)) isBusy = true;
					if (source.next >= upTo && source.request.isOpen) source.request.end();
				}
			}
			this.deliver();
		}
	}

	#start(rank: number): Node {
		this.#lives += 1;
		const node = new Node({rank, topology: this.topology, clock: this.clock, life: this.#lives});
		this.#services(node);
		return node;
	}

	#join(rank: number): void {
		const parent = this.topology.parentOf(rank);
		if (parent === null) return;
		this.at(parent).join(this.at(rank));
		this.at(rank).join(this.at(parent));
	}
}

export function isGoodEnd({final}: Asked): boolean {
	return final !== null && (final.errnum === 0 || final.errnum === ENODATA);
}

export function requestOf(fields: Partial<Request> & Pick<Request, 'topic'>): Request {
	return {
		type: 'request',
		matchtag: 1,
		nodeid: NODEID_ANY,
		upstream: false,
		streaming: false,
		noresponse: false,
		userid: 1000,
		rolemask: 1,
		route: [],
		deadlineMs: null,
		payload: new Uint8Array(0),
		...fields,
	};
}

function copy(message: Message): Message {
	return decodeMessage(encodeMessage(message));
}
