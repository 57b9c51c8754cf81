/** The clients of this broker's own socket: what they ask is served here or passed on, and what passes is answered to them. */
import {USERID_UNKNOWN, type Request} from '../net/message.ts';
import type {Origin} from '../net/overlay/pending-rpcs.ts';
import {errorTo, type Router} from '../net/overlay/router.ts';
import type {Blame} from './blame.ts';
import type {RpcServer, WrapSession} from '../net/rpc-server.ts';
import type {Link} from '../ports/transport.ts';

export interface ClientsOptions {
	readonly server: RpcServer;
	readonly router: Router;
	/** Default: nobody is to blame for anything. */
	readonly blame?: Pick<Blame, 'refusalOf' | 'takeRequest'>;
	/** Whoever connects to the socket is the owner. */
	readonly owner: {readonly userid: number; readonly rolemask: number};
}

export class Clients {
	readonly #options: ClientsOptions;
	readonly #links = new Set<Link>();
	#last = 0;

	constructor(options: ClientsOptions) {
		this.#options = options;
	}

	accept(link: Link): void {
		const {server} = this.#options;
		if (server.accept(link, (session, ends) => this.#wrap(session, ends)) === null) return;
		const {onEnd} = link;
		this.#links.add(link);
		link.onEnd = end => {
			this.#links.delete(link);
			onEnd(end);
		};
	}

	/** Ends all connections after what is queued. */
	close(): void {
		for (const link of this.#links) link.close();
	}

	readonly #wrap: WrapSession = (session, {link, channel}) => {
		const {router, owner, blame} = this.#options;
		this.#last += 1;
		const origin: Origin = {
			name: `c${this.#last}`,
			peer: link.peer,
			deliver: response => channel.send(response),
			pause: () => link.pause(),
			resume: () => link.resume(),
		};
		return {
			receive(request: Request) {
				// A client is where a route begins: what it says of one before it is not believed.
				const bare = request.route.length === 0 ? request : {...request, route: []};
				const signed = bare.userid === USERID_UNKNOWN ? {...bare, ...owner} : bare;
				const refusal = blame?.refusalOf(signed) ?? null;
				const route = () => router.route(signed, origin, local => session.receive(local));
				if (refusal === null && blame !== undefined) blame.takeRequest(signed, origin.name, route);
				else if (refusal === null) route();
				else if (!signed.noresponse) origin.deliver(errorTo(signed, refusal));
			},
			drained() {
				session.drained();
				router.originDrained(origin);
			},
			ended(end) {
				router.originGone(origin);
				session.ended(end);
			},
		};
	};
}
