/** Reads fields of request payloads. Each throws a SystemError EPROTO that names topic and field. */
import {SystemError} from '../formats/errno.ts';
import type {RpcRequest} from '../net/rpc-request.ts';

export class Fields {
	readonly #topic: string;
	readonly #values: Readonly<Record<string, unknown>>;

	constructor({topic, payload}: Pick<RpcRequest, 'topic' | 'payload'>) {
		this.#topic = topic;
		if (
			payload !== undefined &&
			payload !== null &&
			(typeof payload !== 'object' || Array.isArray(payload))
		) {
			throw new SystemError('EPROTO', `${topic}: the payload must be an object`);
		}
		this.#values = (payload ?? {}) as Readonly<Record<string, unknown>>;
	}

	any(name: string): unknown {
		return this.#values[name];
	}

	/** A job id: a BigInt, or a safe integer, of 64 bits without a sign. */
	id(name = 'id'): bigint {
		const id = idOrNull(this.#values[name]);
		if (id === null) throw this.#fault(name, 'a job id');
		return id;
	}

	/** The same, or -1n: any job. */
	idOrAny(name = 'id'): bigint {
		const value = this.#values[name];
		return value === -1 || value === -1n ? -1n : this.id(name);
	}

	/** Job ids. */
	ids(name: string): readonly bigint[] {
		const value = this.#values[name];
		if (!Array.isArray(value)) throw this.#fault(name, 'an array of job ids');
		return value.map(one => {
			const id = idOrNull(one);
			if (id === null) throw this.#fault(name, 'an array of job ids');
			return id;
		});
	}

	integer(name: string, fallback?: number): number {
		const given = this.#values[name] ?? fallback;
		const value = typeof given === 'bigint' ? Number(given) : given;
		if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
		throw this.#fault(name, 'an integer');
	}

	number(name: string, fallback?: number): number {
		const value = this.#values[name] ?? fallback;
		if (typeof value === 'number' && Number.isFinite(value)) return value;
		throw this.#fault(name, 'a number');
	}

	text(name: string, fallback?: string): string {
		const value = this.#values[name] ?? fallback;
		if (typeof value === 'string') return value;
		throw this.#fault(name, 'a string');
	}

	flag(name: string, fallback = false): boolean {
		const value = this.#values[name] ?? fallback;
		if (typeof value === 'boolean') return value;
		throw this.#fault(name, 'true or false');
	}

	texts(name: string): readonly string[] {
		const value = this.#values[name];
		if (Array.isArray(value) && value.every(one => typeof one === 'string')) return value;
		throw this.#fault(name, 'an array of strings');
	}

	#fault(name: string, wanted: string): SystemError {
		return new SystemError('EPROTO', `${this.#topic}: '${name}' must be ${wanted}`);
	}
}

const ID_BITS = 64;

function idOrNull(value: unknown): bigint | null {
	const id = Number.isSafeInteger(value) ? BigInt(value as number) : value;
	return typeof id === 'bigint' && id === BigInt.asUintN(ID_BITS, id) ? id : null;
}
