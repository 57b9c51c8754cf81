/** Hosts in a row, whose links can be cut in one direction: packets are dropped, sockets stay open, and nobody is told. */
export interface HostRow {
	/** Where others find this host. */
	address(host: number): string;
	/** The ports of all hosts, as this one is told them. */
	portsFor(host: number): readonly number[];
	/** The words before a command that runs on this host. */
	enter(host: number): string[];
	/** From now on nothing that `from` sends arrives at its neighbour `to`. */
	cut(from: number, to: number): void;
	heal(): void;
	destroy(): void;
}
