/**
 * Replacement strings of `bulksubmit`, as Flux has them: `{}` and `{0}` inputs, `{.%}` without extension, `{./}` last part of
 * a path, `{./%}` both, `{.//}` its directory, each also with an index (`{1./}`), `{seq}` and `{seq1}`. `{cc}` and mustache names
 * (`{{id}}`) are left for later; `{{` and `}}` stand for one brace. What does not look like a field stays as it is.
 */
import {UsageError} from '../command-error.ts';

export interface BulkValues {
	readonly inputs: readonly string[];
	/** From 0. */
	readonly sequence: number;
	/** Those of `--define`, by name, of one input. */
	readonly defined?: Readonly<Record<string, (input: string) => string>>;
}

const FIELD =
	/\{\{[A-Za-z_][\w.]*\}\}|\{\{|\}\}|\{(\d*)(?:\.([A-Za-z_]\w*|%|\/%|\/\/|\/))?\}|\{([A-Za-z_]\w*)\}/g;

const TRANSFORMS: Readonly<Record<string, (input: string) => string>> = {
	'%': withoutExtension,
	'/': baseName,
	'/%': input => withoutExtension(baseName(input)),
	'//': directoryOf,
};

/** @throws {UsageError} an index without an input, a field that is not known. */
export function expandTemplate(text: string, values: BulkValues): string {
	if (!text.includes('{') && !text.includes('}}')) return text;
	return text.replace(FIELD, (whole: string, index?: string, transform?: string, name?: string) => {
		if (whole === '{{') return '{';
		if (whole === '}}') return '}';
		if (whole.startsWith('{{')) return whole; // A mustache name: for the job.
		if (name !== undefined) return named(name, values);
		const at = index === undefined || index === '' ? 0 : Number(index);
		const input = values.inputs[at];
		if (input === undefined)
			throw new UsageError(`${whole}: there are only ${values.inputs.length} inputs, counted from 0`);
		return transform === undefined ? input : transformOf(whole, transform, values)(input);
	});
}

function named(name: string, {sequence}: BulkValues): string {
	if (name === 'seq') return String(sequence);
	if (name === 'seq1') return String(sequence + 1);
	if (name === 'cc') return '{cc}'; // Replaced in a second pass: --cc itself may come from an input.
	throw new UsageError(`{${name}}: no such replacement; write {{ and }} for braces`);
}

function transformOf(whole: string, name: string, {defined = {}}: BulkValues): (input: string) => string {
	const transform = Object.hasOwn(TRANSFORMS, name)
		? TRANSFORMS[name]
		: Object.hasOwn(defined, name)
			? defined[name]
			: undefined;
	if (transform === undefined) throw new UsageError(`${whole}: no such replacement; see --define`);
	return transform;
}

function withoutExtension(path: string): string {
	const start = path.lastIndexOf('/') + 1;
	const dot = path.lastIndexOf('.');
	// A name that only begins with dots has no extension.
	return dot > start && /[^.]/.test(path.slice(start, dot)) ? path.slice(0, dot) : path;
}

function baseName(path: string): string {
	return path.slice(path.lastIndexOf('/') + 1);
}

function directoryOf(path: string): string {
	const slash = path.lastIndexOf('/');
	return slash <= 0 ? path.slice(0, slash + 1) : path.slice(0, slash);
}
