/**
 * `--define NAME=CODE` of `bulksubmit`. Flux evaluates Python there; here CODE is an arithmetic expression as Python writes
 * it: numbers, the input `x`, `+ - * / // % **`, brackets, and int float round abs min max len str. `x` is a text: `int(x)`
 * makes a number of it, and an operator reads it as a number, but `+` joins two texts.
 */
import {UsageError} from '../command-error.ts';

type Value = number | string;
type Evaluate = (x: string) => Value;

/** The functions by name. @throws {UsageError} one that is no NAME=CODE, or an expression that makes no sense. */
export function parseDefinitions(
	texts: readonly string[],
): Readonly<Record<string, (input: string) => string>> {
	return Object.fromEntries(
		texts.map(text => {
			const match = /^([A-Za-z_]\w*)=(.+)$/s.exec(text);
			if (match === null) throw new UsageError(`option --define: '${text}' is not NAME=CODE`);
			const evaluate = new Parser(match[2]!, `option --define=${text}`).parse();
			return [match[1]!, (input: string) => String(evaluate(input))];
		}),
	);
}

const TOKEN =
	/\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|'([^']*)'|"([^"]*)"|(\*\*|\/\/|[-+*/%(),]))/y;

interface Token {
	readonly kind: 'number' | 'name' | 'text' | 'sign';
	readonly text: string;
}

/** Binds tighter from left to right; `**` is above all of them. */
const LEVELS: readonly (readonly string[])[] = [
	['+', '-'],
	['*', '/', '//', '%'],
];

class Parser {
	readonly #tokens: readonly Token[];
	readonly #what: string;
	#at = 0;

	constructor(code: string, what: string) {
		this.#what = what;
		this.#tokens = this.#tokenize(code);
	}

	parse(): Evaluate {
		const evaluate = this.#binary(0);
		const rest = this.#tokens[this.#at];
		if (rest !== undefined) throw this.#fault(`'${rest.text}' is not expected`);
		return evaluate;
	}

	#tokenize(code: string): Token[] {
		const tokens: Token[] = [];
		TOKEN.lastIndex = 0;
		while (code.slice(TOKEN.lastIndex).trim() !== '') {
			const start = TOKEN.lastIndex;
			const match = TOKEN.exec(code);
			if (match === null) throw this.#fault(`'${code.slice(start).trim()}' is not understood`);
			const [, number, name, single, double, sign] = match;
			if (number !== undefined) tokens.push({kind: 'number', text: number});
			else if (name !== undefined) tokens.push({kind: 'name', text: name});
			else if (sign !== undefined) tokens.push({kind: 'sign', text: sign});
			else tokens.push({kind: 'text', text: single ?? double ?? ''});
		}
		return tokens;
	}

	#binary(level: number): Evaluate {
		const signs = LEVELS[level];
		if (signs === undefined) return this.#unary();
		let left = this.#binary(level + 1);
		for (;;) {
			const sign = this.#takeSign(signs);
			if (sign === null) return left;
			const [before, right] = [left, this.#binary(level + 1)];
			left = x => this.#apply(sign, before(x), right(x));
		}
	}

	#unary(): Evaluate {
		const sign = this.#takeSign(['-', '+']);
		if (sign === null) return this.#power();
		const operand = this.#unary();
		return x => (sign === '-' ? -this.#number(operand(x)) : this.#number(operand(x)));
	}

	#power(): Evaluate {
		const base = this.#atom();
		if (this.#takeSign(['**']) === null) return base;
		const exponent = this.#unary();
		return x => this.#number(base(x)) ** this.#number(exponent(x));
	}

	#atom(): Evaluate {
		const token = this.#tokens[this.#at];
		this.#at += 1;
		if (token?.kind === 'number') return () => Number(token.text);
		if (token?.kind === 'text') return () => token.text;
		if (token?.kind === 'name') return this.#named(token.text);
		if (token?.text !== '(')
			throw this.#fault(token === undefined ? 'it ends early' : `'${token.text}' is not expected`);
		const inner = this.#binary(0);
		this.#expect(')');
		return inner;
	}

	#named(name: string): Evaluate {
		if (name === 'x') return x => x;
		this.#expect('(', `'${name}' is neither x nor one of the functions`);
		const operands = [this.#binary(0)];
		while (this.#takeSign([',']) !== null) operands.push(this.#binary(0));
		this.#expect(')');
		const call = this.#function(name);
		return x => call(operands.map(operand => operand(x)));
	}

	#function(name: string): (values: readonly Value[]) => Value {
		const numbers = (values: readonly Value[]) => values.map(value => this.#number(value));
		switch (name) {
			case 'int':
				return values => Math.trunc(numbers(values)[0]!);
			case 'float':
				return values => numbers(values)[0]!;
			case 'round':
				return values => Math.round(numbers(values)[0]!);
			case 'abs':
				return values => Math.abs(numbers(values)[0]!);
			case 'min':
				return values => Math.min(...numbers(values));
			case 'max':
				return values => Math.max(...numbers(values));
			case 'len':
				return ([value]) => [...String(value)].length;
			case 'str':
				return ([value]) => String(value);
			default:
				throw this.#fault(`there is no function ${name}; there are int float round abs min max len str`);
		}
	}

	#apply(sign: string, left: Value, right: Value): Value {
		if (sign === '+' && typeof left === 'string' && typeof right === 'string') return left + right;
		const [a, b] = [this.#number(left), this.#number(right)];
		if (b === 0 && sign !== '+' && sign !== '-' && sign !== '*') throw this.#fault('division by zero');
		switch (sign) {
			case '+':
				return a + b;
			case '-':
				return a - b;
			case '*':
				return a * b;
			case '/':
				return a / b;
			case '//':
				return Math.floor(a / b);
			default:
				return a - b * Math.floor(a / b); // The sign of b, as in Python.
		}
	}

	#number(value: Value): number {
		const number = typeof value === 'number' ? value : value.trim() === '' ? NaN : Number(value);
		if (!Number.isFinite(number)) throw this.#fault(`'${value}' is no number`);
		return number;
	}

	#takeSign(signs: readonly string[]): string | null {
		const token = this.#tokens[this.#at];
		if (token?.kind !== 'sign' || !signs.includes(token.text)) return null;
		this.#at += 1;
		return token.text;
	}

	#expect(sign: string, why = `'${sign}' is missing`): void {
		if (this.#takeSign([sign]) === null) throw this.#fault(why);
	}

	#fault(why: string): UsageError {
		return new UsageError(`${this.#what}: ${why}`);
	}
}
