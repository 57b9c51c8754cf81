/**
 * The transport port: ordered streams of whole frames between two processes. A link is best effort: it can end
 * at any moment, and nothing tells which of the last frames arrived.
 */

/** Why a link ended. `code` is an errno name, as in `EPROTO: frame of 99 bytes exceeds …`. */
export interface LinkEnd {
	readonly code: string;
	readonly message: string;
}

export interface Link {
	/** The other side as a person would name it: a path, or host and port. */
	readonly peer: string;
	/** Called once per whole frame, in order. The bytes belong to the receiver. Set before the next turn. */
	onFrame: (frame: Uint8Array) => void;
	/** Called exactly once, after the last frame, when the link has ended for whatever reason. */
	onEnd: (end: LinkEnd) => void;
	/** Called when `queuedBytes` has fallen to zero after a `send` that returned false. */
	onDrain: () => void;
	/**
	 * Queues one frame; after the end it does nothing. False: the other side reads slower than we send, so wait
	 * for `onDrain` before sending more of a stream. A queue beyond `LINK_QUEUE_BYTES_MAX` ends the link (ENOBUFS).
	 */
	send(frame: Uint8Array): boolean;
	/** Bytes that were sent but not yet taken by the operating system. */
	readonly queuedBytes: number;
	/** Stops and resumes delivery of frames, which makes a fast sender wait. */
	pause(): void;
	resume(): void;
	/** Ends the link after what is queued has been handed over, at the latest 200 ms from now. */
	close(reason?: LinkEnd): void;
	/** Ends the link at once; what is queued is dropped. */
	destroy(reason?: LinkEnd): void;
}

export interface Listener {
	readonly address: string;
	/** Stops listening; links that were accepted stay. Resolves when the address is free again. */
	close(): Promise<void>;
}

export interface Transport {
	/**
	 * Listens at `address`: `local:///path` for a unix socket; a leftover socket file that nobody serves is
	 * replaced. Rejects with a `SystemError` EADDRINUSE when somebody serves it.
	 */
	listen(address: string, onLink: (link: Link) => void): Promise<Listener>;
	/** Connects; rejects with a `SystemError` (ECONNREFUSED, ENOENT, ETIMEDOUT after `timeoutMs`). */
	connect(address: string, options: {readonly timeoutMs: number}): Promise<Link>;
}

/** A frame, its length prefix included, may not be larger; a larger one ends the link with EMSGSIZE. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** A link whose other side leaves so much unread is ended with ENOBUFS. */
export const LINK_QUEUE_BYTES_MAX = 64 * 1024 * 1024;
