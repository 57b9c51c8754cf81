/** The constraints of `job-list.list`: `{and|or|not: [...]}` over userid, states, results, name, id, queue and times. Pure. */
import {SystemError} from '../../formats/errno.ts';
import type {JobView} from './job-view.ts';

export type JobPredicate = (job: JobView) => boolean;

/** @throws {SystemError} EINVAL for an unknown operator or a value of the wrong kind. */
export function compileConstraint(constraint: unknown): JobPredicate {
	if (constraint === undefined || constraint === null) return () => true;
	if (typeof constraint !== 'object' || Array.isArray(constraint))
		throw fault('a constraint must be an object');
	const tests = Object.entries(constraint as Record<string, unknown>).map(([operator, values]) => {
		if (!Array.isArray(values)) throw fault(`the values of '${operator}' must be an array`);
		return compileOperator(operator, values);
	});
	return job => tests.every(test => test(job));
}

function compileOperator(operator: string, values: readonly unknown[]): JobPredicate {
	switch (operator) {
		case 'and': {
			const tests = values.map(compileConstraint);
			return job => tests.every(test => test(job));
		}
		case 'or': {
			const tests = values.map(compileConstraint);
			return job => tests.length === 0 || tests.some(test => test(job));
		}
		case 'not': {
			const tests = values.map(compileConstraint);
			return job => !tests.every(test => test(job));
		}
		case 'states': {
			const masks = values.map(value => integerOf(value, 'state mask'));
			return job => masks.some(mask => (mask & job.state) !== 0);
		}
		case 'results': {
			const masks = values.map(value => integerOf(value, 'result mask'));
			return job => masks.some(mask => (mask & Number(job.result ?? 0)) !== 0);
		}
		case 'userid': {
			const ids = values.map(value => integerOf(value, 'user id'));
			return job => ids.some(id => id === -1 || id === job.userid);
		}
		case 'name':
		case 'queue':
			return job => values.includes(job[operator]);
		case 'id': {
			const ids = new Set(values.map(jobidOf));
			return job => ids.has(job.id);
		}
		case 't_submit':
		case 't_depend':
		case 't_run':
		case 't_cleanup':
		case 't_inactive': {
			const tests = values.map(value => compileTime(operator, String(value)));
			return job => tests.some(test => test(job));
		}
		default:
			throw fault(`unknown operator '${operator}'`);
	}
}

function integerOf(value: unknown, what: string): number {
	const number = typeof value === 'bigint' ? Number(value) : value;
	if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
	throw fault(`'${String(value)}' is no ${what}`);
}

function jobidOf(value: unknown): bigint {
	if (typeof value === 'bigint') return value;
	if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
	throw fault(`'${String(value)}' is no job id`);
}

function compileTime(attribute: string, text: string): JobPredicate {
	const match = /^(>=|<=|>|<)([0-9]+(?:\.[0-9]*)?)$/.exec(text);
	if (match === null) throw fault(`'${text}' is no comparison like >=1234.5`);
	const limit = Number(match[2]);
	return job => {
		const time = job[attribute];
		if (typeof time !== 'number') return false;
		if (match[1] === '>=') return time >= limit;
		if (match[1] === '<=') return time <= limit;
		return match[1] === '>' ? time > limit : time < limit;
	};
}

function fault(message: string): SystemError {
	return new SystemError('EINVAL', `constraint: ${message}`);
}
