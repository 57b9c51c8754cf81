/**
 * Every request that a broker accepts is an RPC machine in its log, as relaxed facts, from here to its final response; so
 * a dead broker's log shows what was in flight. A broker's local pings are no facts (DESIGN section 3.2).
 */
import type {Response} from '../net/message.ts';
import type {RpcRequest} from '../net/rpc-request.ts';
import type {RpcServerOptions} from '../net/rpc-server.ts';
import type {Core} from '../services/core.ts';

type Hooks = Required<Pick<RpcServerOptions, 'onRequest' | 'onResponse' | 'onForget'>>;

export function trackRpcs(core: Core): Hooks {
	return {
		onRequest(request) {
			if (!isTracked(request)) return;
			core.post({
				type: 'rpc.request',
				key: keyOf(request),
				topic: request.topic,
				streaming: request.streaming,
				sender: request.sender,
				target: 'local',
			});
			// Nothing is owed for it: it was taken.
			if (request.noresponse) core.post({type: 'rpc.end', key: keyOf(request), errnum: 0});
		},
		onResponse(request, response, isFinal) {
			const key = keyOf(request);
			const rpc = core.state.rpcs.get(key);
			if (rpc === undefined) return;
			if (isFinal) core.post(endOf(key, response));
			else if (rpc.value === 'pending') core.post({type: 'rpc.answer', key});
		},
		onForget(request) {
			const key = keyOf(request);
			if (core.state.rpcs.has(key)) core.post({type: 'rpc.cancel', key});
		},
	};
}

function endOf(key: string, {errnum}: Response) {
	return {type: 'rpc.end' as const, key, errnum};
}

function isTracked({topic}: RpcRequest): boolean {
	return !topic.endsWith('.ping');
}

/** Unique among the open RPCs of a boot: the link, who on it, and the matchtag. */
function keyOf({sender, matchtag, message}: RpcRequest): string {
	return message.route.length === 0
		? `${sender}:${matchtag}`
		: `${sender}:${message.route.join('!')}:${matchtag}`;
}
