/** What a broker must know to take its place in the tree. */
import type {Topology} from './topology.ts';

export interface OverlayOptions {
	readonly topology: Topology;
	/** Host names by rank. */
	readonly hosts: readonly string[];
	/** Where its children connect, `local:///path` or `tls://host:port`; null for a leaf. */
	readonly listenUri: string | null;
	/** Where its parent listens; null for the root. */
	readonly parentUri: string | null;
	/** Silent for so long: no new work. */
	readonly torpidMs: number;
	/** Silent for so long: lost. */
	readonly lostTimeoutMs: number;
	/** From one sign of life to the next. */
	readonly keepaliveMs: number;
	/** The longest pause between two attempts to reach the parent. */
	readonly reconnectMsMax: number;
}
