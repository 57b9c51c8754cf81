/** Where a watch writes: one streaming request. */
export interface Sink {
	/** Sends one value; false: wait for `onDrain` before the next one. */
	write(value: {readonly event: string}): boolean;
	onDrain: () => void;
	end(): void;
}
