/**
 * Constraints as users type them (RFC 35), for `--requires`: `gpu and not host:n[1-3]`, `(a|b) -rank:0`. A bare word
 * names a property; `host:` and `rank:` take a hostlist and an idset. Terms side by side are joined by and, which binds
 * stronger than or.
 */
import type {Constraint} from './constraint.ts';
import {checkConstraint, CONSTRAINT_DEPTH_MAX} from './constraint.ts';
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';

/** The longest query, in characters. */
export const CONSTRAINT_QUERY_LENGTH_MAX = 65_536;

/** The constraint that `query` stands for. @throws {SystemError} EINVAL with the reason. */
export function parseConstraintQuery(query: string): Constraint {
	if (query.length > CONSTRAINT_QUERY_LENGTH_MAX) {
		throw new SystemError('EINVAL', `constraint: longer than ${CONSTRAINT_QUERY_LENGTH_MAX} characters`);
	}
	const reader: Reader = {query, tokens: tokenize(query), next: 0, depth: 0};
	if (reader.tokens.length === 0) return {};
	const constraint = readOr(reader);
	const left = reader.tokens[reader.next];
	if (left !== undefined) throw invalid(query, `unexpected ${describe(left)}`);
	return checkConstraint(constraint);
}

type Token =
	{readonly kind: 'and' | 'or' | 'not' | 'open' | 'close'} | {readonly kind: 'term'; readonly text: string};

interface Reader {
	readonly query: string;
	readonly tokens: readonly Token[];
	next: number;
	depth: number;
}

const OPERATORS: Readonly<Record<string, string>> = {
	host: 'hostlist',
	hosts: 'hostlist',
	hostlist: 'hostlist',
	rank: 'ranks',
	ranks: 'ranks',
	property: 'properties',
	properties: 'properties',
};

/** White space, a punctuation operator, a minus before a term, or a term, parts of which may be quoted. */
const TOKEN =
	/\s+|&&?|\|\|?|[()]|-(?=[^\s])|(?:[^\s&|()"'-]|"[^"]*"|'[^']*')(?:[^\s&|()"']|"[^"]*"|'[^']*')*/y;

function tokenize(query: string): readonly Token[] {
	const tokens: Token[] = [];
	for (let at = 0; at < query.length;) {
		TOKEN.lastIndex = at;
		const text = TOKEN.exec(query)?.[0];
		if (text === undefined) throw invalid(query, `can't read ${JSON.stringify(query.slice(at, at + 20))}`);
		at += text.length;
		if (text.trim() !== '') tokens.push(tokenOf(text));
	}
	return tokens;
}

function tokenOf(text: string): Token {
	switch (text.toLowerCase()) {
		case '&':
		case '&&':
		case 'and':
			return {kind: 'and'};
		case '|':
		case '||':
		case 'or':
			return {kind: 'or'};
		case '-':
		case 'not':
			return {kind: 'not'};
		case '(':
			return {kind: 'open'};
		case ')':
			return {kind: 'close'};
		default:
			return {kind: 'term', text: text.replace(/["']/g, '')};
	}
}

function readOr(reader: Reader): Constraint {
	const alternatives = [readAnd(reader)];
	while (reader.tokens[reader.next]?.kind === 'or') {
		reader.next += 1;
		alternatives.push(readAnd(reader));
	}
	return alternatives.length === 1 ? alternatives[0]! : {or: alternatives};
}

function readAnd(reader: Reader): Constraint {
	const terms = [readTerm(reader)];
	for (let token = reader.tokens[reader.next]; token !== undefined; token = reader.tokens[reader.next]) {
		if (token.kind === 'or' || token.kind === 'close') break;
		if (token.kind === 'and') reader.next += 1;
		terms.push(readTerm(reader));
	}
	return terms.length === 1 ? terms[0]! : {and: terms};
}

function readTerm(reader: Reader): Constraint {
	const token = reader.tokens[reader.next];
	if (token === undefined) throw invalid(reader.query, 'something is missing at its end');
	reader.next += 1;
	switch (token.kind) {
		case 'term':
			return termOf(token.text, reader.query);
		case 'not':
			return {not: [nested(reader, readTerm)]};
		case 'open': {
			const constraint = nested(reader, readOr);
			if (reader.tokens[reader.next]?.kind !== 'close') throw invalid(reader.query, "a '(' is not closed");
			reader.next += 1;
			return constraint;
		}
		case 'and':
		case 'or':
		case 'close':
			throw invalid(reader.query, `unexpected ${describe(token)}`);
		default:
			return token satisfies never;
	}
}

function nested(reader: Reader, read: (reader: Reader) => Constraint): Constraint {
	if (reader.depth >= CONSTRAINT_DEPTH_MAX) {
		throw invalid(reader.query, `nested deeper than ${CONSTRAINT_DEPTH_MAX}`);
	}
	reader.depth += 1;
	const constraint = read(reader);
	reader.depth -= 1;
	return constraint;
}

function termOf(text: string, query: string): Constraint {
	const colon = text.indexOf(':');
	if (colon === -1) return {properties: text.split(',')};
	const name = text.slice(0, colon);
	const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
	if (operator === undefined) {
		throw invalid(
			query,
			`unknown operator ${JSON.stringify(name)}, must be one of ${Object.keys(OPERATORS).join(', ')}`,
		);
	}
	const values = text.slice(colon + 1);
	if (values === '') throw invalid(query, `${name}: has no value`);
	return {[operator]: operator === 'properties' ? values.split(',') : [values]};
}

function describe(token: Token): string {
	return token.kind === 'term'
		? JSON.stringify(token.text)
		: {and: 'and', or: 'or', not: 'not', open: "'('", close: "')'"}[token.kind];
}

function invalid(query: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid constraint ${quote(query)}: ${why}`);
}
