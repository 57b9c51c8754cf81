/** A client and a server in one process, over a channel that encodes every message and can be held back. */
import type {ExecutionContext} from 'ava';
import {
	decodeMessage,
	encodeMessage,
	type Message,
	type Request,
	type Response,
} from '../../src/net/message.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {RpcServer, type RpcServerOptions} from '../../src/net/rpc-server.ts';
import type {RpcSession} from '../../src/net/rpc-session.ts';
import {ServiceRegistry, type Handler, type ServiceOptions} from '../../src/net/service-registry.ts';
import {ManualClock} from './clocks.ts';

export interface RpcPair {
	readonly client: RpcClient;
	readonly server: RpcServer;
	readonly session: RpcSession;
	readonly clock: ManualClock;
	readonly requests: Request[];
	readonly responses: Response[];
	readonly handlerErrors: unknown[];
	/** Whether the client was told to read. */
	reading: boolean;
	/** What the server's channel answers to `send`. */
	keepsUp: boolean;
	serve(topic: string, handler: Handler, options?: ServiceOptions): void;
	/** The link between them ends. */
	cut(): void;
}

/** Messages arrive at once; fails the test when a handler failed that it did not take from `handlerErrors`. */
export function rpcPair(t: ExecutionContext, options: Partial<RpcServerOptions> = {}): RpcPair {
	const clock = new ManualClock();
	const registry = new ServiceRegistry();
	const handlerErrors: unknown[] = [];
	const server = new RpcServer({
		registry,
		clock,
		name: 'rank 0',
		onHandlerError: error => handlerErrors.push(error),
		...options,
	});
	const copy = <T extends Message>(message: T) => decodeMessage(encodeMessage(message)) as T;
	const session = server.open({
		peer: 'the client',
		send: response => {
			pair.responses.push(copy(response));
			client.receive(copy(response));
			return pair.keepsUp;
		},
	});
	const client = new RpcClient(
		{
			peer: 'the server',
			send: message => {
				pair.requests.push(copy(message) as Request);
				session.receive(copy(message) as Request);
				return true;
			},
			pause: () => (pair.reading = false),
			resume: () => (pair.reading = true),
			close: () => pair.cut(),
		},
		{clock},
	);
	const pair: RpcPair = {
		client,
		server,
		session,
		clock,
		requests: [],
		responses: [],
		handlerErrors,
		reading: true,
		keepsUp: true,
		serve: (topic, handler, serviceOptions) => void registry.register(topic, handler, serviceOptions),
		cut: () => {
			client.ended({code: 'ECONNRESET', message: 'cut'});
			session.ended({code: 'ECONNRESET', message: 'cut'});
		},
	};
	t.teardown(() => {
		if (handlerErrors.length > 0) throw new Error('a handler failed unexpectedly', {cause: handlerErrors[0]});
	});
	return pair;
}
