/** A client with manners beside those that have none: it notes what it meets, and how long it takes. */
import {asSystemError} from '../../src/formats/errno.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';

export interface Witness {
	/** Ends it. What it met: errors as texts, and how long its requests took, ascending, in milliseconds. */
	end(): Promise<{readonly errors: readonly string[]; readonly latenciesMs: readonly number[]}>;
}

const TIMEOUT_MS = 20_000;
const PAUSE_MS = 20;
/** What it asks, in turn: of its own broker, and of one two hops away. */
const QUESTIONS = [
	{topic: 'broker.ping', payload: {seq: 1}, nodeid: 0},
	{topic: 'attr.get', payload: {name: 'rank'}, nodeid: 0},
	{topic: 'job-list.job-stats', payload: {}, nodeid: 0},
	{topic: 'broker.ping', payload: {seq: 2}, nodeid: 2},
];

export async function beginWitness(uri: string): Promise<Witness> {
	const link = await new UnixTransport().connect(uri, {timeoutMs: TIMEOUT_MS});
	const client = RpcClient.over(link, {clock: new SystemClock()});
	const errors: string[] = [];
	const latenciesMs: number[] = [];
	let isOver = false;
	const asking = (async () => {
		for (let turn = 0; !isOver; turn += 1) {
			const {topic, payload, nodeid} = QUESTIONS[turn % QUESTIONS.length]!;
			const startMs = performance.now();
			try {
				await client.call(topic, payload, {nodeid, timeoutMs: TIMEOUT_MS});
				latenciesMs.push(performance.now() - startMs);
			} catch (error) {
				errors.push(`${topic} to rank ${nodeid}: ${asSystemError(error).toString()}`);
				if (errors.length > 20) return;
			}
			await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
		}
	})();
	return {
		end: async () => {
			isOver = true;
			await asking;
			client.close();
			return {errors, latenciesMs: latenciesMs.sort((a, b) => a - b)};
		},
	};
}
