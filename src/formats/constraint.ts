/**
 * Job constraints (RFC 31): a tree of `{operator: [values]}` that a node matches or not. Operators: properties
 * (`^name` negates), hostlist, ranks, and, or, not. `{}` matches every node.
 */
import {SystemError} from './errno.ts';
import {Hostlist} from './hostlist.ts';
import {Idset} from './idset.ts';
import {asArray, asObject, asStrings, atPath} from './shape.ts';

/** A constraint as it stands in a jobspec; `checkConstraint` says whether it is well formed. */
export type Constraint = Readonly<Record<string, readonly unknown[]>>;

export interface ConstraintNode {
	readonly rank: number;
	readonly hostname: string;
	readonly properties: ReadonlySet<string>;
}

/** How deep and, not and or may be nested. */
export const CONSTRAINT_DEPTH_MAX = 32;

/**
 * The function that tells whether a node matches; for many nodes, as it reads `constraint` once.
 *
 * @param path how messages name the constraint. Default `constraint`.
 * @throws {SystemError} EINVAL that names the path of the fault.
 */
export function compileConstraint(
	constraint: unknown,
	path = 'constraint',
): (node: ConstraintNode) => boolean {
	return compile(constraint, path, 0);
}

/** Whether `node` matches. @throws {SystemError} EINVAL for a malformed constraint. */
export function matches(constraint: unknown, node: ConstraintNode): boolean {
	return compileConstraint(constraint)(node);
}

/** The same value, typed. @throws {SystemError} EINVAL that names the path of the fault. */
export function checkConstraint(constraint: unknown, path = 'constraint'): Constraint {
	compileConstraint(constraint, path);
	return constraint as Constraint;
}

type Predicate = (node: ConstraintNode) => boolean;

function compile(constraint: unknown, path: string, depth: number): Predicate {
	if (depth > CONSTRAINT_DEPTH_MAX) {
		throw new SystemError('EINVAL', `${path}: nested deeper than ${CONSTRAINT_DEPTH_MAX}`);
	}
	const members = Object.entries(asObject(constraint, path));
	if (members.length > 1) {
		const names = members.map(([name]) => name).join(', ');
		throw new SystemError('EINVAL', `${path}: must have one operator, has ${names} (join them with "and")`);
	}
	const member = members[0];
	if (member === undefined) return () => true;
	const [operator, values] = member;
	const at = `${path}.${operator}`;
	switch (operator) {
		case 'properties':
			return compileProperties(values, at);
		case 'hostlist':
			return compileHostlist(values, at);
		case 'ranks':
			return compileRanks(values, at);
		case 'and':
			return all(compileAll(values, at, depth));
		case 'or': {
			const predicates = compileAll(values, at, depth);
			// RFC 31: an empty list matches, although no alternative does.
			return predicates.length === 0 ? () => true : node => predicates.some(predicate => predicate(node));
		}
		case 'not': {
			const everyOne = all(compileAll(values, at, depth));
			return node => !everyOne(node);
		}
		default:
			throw new SystemError(
				'EINVAL',
				`${at}: unknown operator, must be one of properties, hostlist, ranks, and, or, not`,
			);
	}
}

function compileAll(values: unknown, path: string, depth: number): readonly Predicate[] {
	return asArray(values, path).map((value, i) => compile(value, `${path}[${i}]`, depth + 1));
}

function all(predicates: readonly Predicate[]): Predicate {
	return node => predicates.every(predicate => predicate(node));
}

function compileProperties(values: unknown, path: string): Predicate {
	const predicates = asStrings(values, path).map((value, i): Predicate => {
		const negated = value.startsWith('^');
		const name = negated ? value.slice(1) : value;
		if (name === '' || /[!&'"^`|()]/.test(name)) {
			throw new SystemError('EINVAL', `${path}[${i}]: invalid property ${JSON.stringify(value)}`);
		}
		return ({properties}) => properties.has(name) !== negated;
	});
	return all(predicates);
}

function compileHostlist(values: unknown, path: string): Predicate {
	const texts = asStrings(values, path);
	const hosts = new Set(atPath(path, () => Hostlist.parseAll(texts)).hosts);
	return ({hostname}) => hosts.has(hostname);
}

function compileRanks(values: unknown, path: string): Predicate {
	const sets = asStrings(values, path).map((text, i) => atPath(`${path}[${i}]`, () => Idset.parse(text)));
	return ({rank}) => sets.some(ranks => ranks.has(rank));
}
