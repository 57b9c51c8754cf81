/** Job dependencies (RFC 26): `{scheme, value, …}` in a jobspec, `scheme:value[?key=value[&…]]` on the command line. */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';
import {asObject, asString, fault} from './shape.ts';

export interface Dependency {
	/** As in `afterok`. */
	readonly scheme: string;
	/** As in a job id; may be empty where the scheme needs none. */
	readonly value: string;
	/** Parameters of the scheme. */
	readonly [parameter: string]: unknown;
}

/** The same value, typed. @throws {SystemError} EINVAL that names the path of the fault. */
export function checkDependency(value: unknown, path = 'dependency'): Dependency {
	const dependency = asObject(value, path);
	const scheme = asString(dependency['scheme'], `${path}.scheme`);
	if (!SCHEME.test(scheme)) throw fault(`${path}.scheme`, 'a word in lower case', scheme);
	asString(dependency['value'], `${path}.value`);
	return dependency as Dependency;
}

/**
 * Reads the form of the command line. Parameters are percent-decoded; one that comes several times is a list.
 *
 * @throws {SystemError} EINVAL with the reason.
 */
export function parseDependency(text: string): Dependency {
	const match = /^([^:?]+)(?::([^?]*))?(?:\?(.*))?$/s.exec(text);
	const scheme = match?.[1] ?? '';
	if (!SCHEME.test(scheme)) {
		throw new SystemError('EINVAL', `invalid dependency ${quote(text)}: must be SCHEME:VALUE[?KEY=VALUE]`);
	}
	const parameters = new Map<string, string | readonly string[]>();
	for (const pair of (match?.[3] ?? '').split('&').filter(pair => pair !== '')) {
		const [key = '', ...rest] = pair.split('=');
		const name = decode(key, text);
		if (name === '' || name === 'scheme' || name === 'value') {
			throw new SystemError('EINVAL', `invalid dependency ${quote(text)}: parameter ${JSON.stringify(name)}`);
		}
		const value = decode(rest.join('='), text);
		const before = parameters.get(name);
		parameters.set(name, before === undefined ? value : [before, value].flat());
	}
	return {...Object.fromEntries(parameters), scheme, value: match?.[2] ?? ''};
}

/** `scheme:value`, without its parameters: for messages. */
export function formatDependency({scheme, value}: Dependency): string {
	return value === '' ? scheme : `${scheme}:${value}`;
}

const SCHEME = /^[a-z][a-z0-9_.-]*$/;

function decode(part: string, text: string): string {
	try {
		return decodeURIComponent(part);
	} catch (error) {
		throw new SystemError('EINVAL', `invalid dependency ${quote(text)}: bad percent code`, {
			cause: error,
		});
	}
}
