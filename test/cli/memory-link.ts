/** A pair of links within this process: frames arrive in order, in later turns; either side, or the test, ends both. */
import type {Link, LinkEnd} from '../../src/ports/transport.ts';

export class MemoryLink implements Link {
	readonly peer: string;
	readonly queuedBytes = 0;
	onFrame: (frame: Uint8Array) => void = () => {};
	onEnd: (end: LinkEnd) => void = () => {};
	onDrain: () => void = () => {};
	#other!: MemoryLink;
	#inbox: (() => void)[] = [];
	#isScheduled = false;
	#isPaused = false;
	#isEnded = false;

	constructor(peer: string) {
		this.peer = peer;
	}

	static pair(): [MemoryLink, MemoryLink] {
		const [client, server] = [new MemoryLink('the fake broker'), new MemoryLink('a client')];
		client.#other = server;
		server.#other = client;
		return [client, server];
	}

	send(frame: Uint8Array): boolean {
		if (!this.#isEnded) {
			const copy = Uint8Array.from(frame);
			this.#other.#receive(() => this.#other.onFrame(copy));
		}
		return true;
	}

	pause(): void {
		this.#isPaused = true;
	}

	resume(): void {
		this.#isPaused = false;
		this.#schedule();
	}

	close(reason?: LinkEnd): void {
		this.#end(reason);
	}

	/** What is on its way is dropped, on both sides. */
	destroy(reason?: LinkEnd): void {
		this.#inbox = [];
		this.#other.#inbox = [];
		this.#end(reason);
	}

	#end(reason: LinkEnd = {code: 'ECONNRESET', message: 'the link was cut'}): void {
		if (this.#isEnded) return;
		this.#isEnded = true;
		this.#other.#isEnded = true;
		this.#receive(() => this.onEnd(reason));
		this.#other.#receive(() => this.#other.onEnd(reason));
	}

	#receive(run: () => void): void {
		this.#inbox.push(run);
		this.#schedule();
	}

	#schedule(): void {
		if (this.#isScheduled) return;
		this.#isScheduled = true;
		setImmediate(() => {
			this.#isScheduled = false;
			while (!this.#isPaused && this.#inbox.length > 0) this.#inbox.shift()!();
		});
	}
}
