/** What options a builder declared: the part of yargs that its types leave out, in one place. */
import type {Argv} from 'yargs';

/** As much as it takes to read a command line. */
export interface OptionShape {
	/** The name that values are filed under. */
	readonly name: string;
	readonly takesValue: boolean;
	/** May be given several times, all of which count. */
	readonly isList: boolean;
}

export interface DeclaredOption extends OptionShape {
	/** All names, the long one first, without dashes. */
	readonly names: readonly string[];
	readonly describe: string;
	/** Absent: any value. */
	readonly choices?: readonly string[];
	/** As text; absent: none. */
	readonly defaultValue?: string;
}

/** Finds an option by any of its names, without dashes. */
export type FindOption = (name: string) => OptionShape | undefined;

/** All options in the order of their declaration. */
export function listOptions(yargs: Argv): readonly DeclaredOption[] {
	const internal = yargs as unknown as YargsInternals;
	const {key, alias, boolean, count, array, choices, default: defaults} = internal.getOptions();
	const descriptions = internal.getInternalMethods().getUsageInstance().getDescriptions();
	// An alias is a key as well; the long name is the one that counts.
	const aliases = new Set(Object.values(alias).flat());
	const isAlias = (name: string) => name.length === 1 && aliases.has(name);
	return Object.keys(key)
		.filter(name => !isAlias(name))
		.map(name => {
			const names = [name, ...(alias[name] ?? [])];
			const has = (list: readonly string[]) => names.some(each => list.includes(each));
			const defaultValue = defaults[name];
			return {
				name,
				names,
				takesValue: !has(boolean) && !has(count),
				isList: has(array) || has(count),
				describe: (descriptions[name] ?? '').replace(/^__yargsString__:/, ''),
				...(choices[name] === undefined ? {} : {choices: choices[name]}),
				...(typeof defaultValue === 'string' ? {defaultValue} : {}),
			};
		});
}

export function finderOf(options: readonly DeclaredOption[]): FindOption {
	const byName = new Map<string, DeclaredOption>();
	for (const option of options) for (const each of option.names) byName.set(each, byName.get(each) ?? option);
	return name => byName.get(name);
}

interface YargsInternals {
	getOptions(): YargsOptions;
	getInternalMethods(): {
		getUsageInstance(): {getDescriptions(): Readonly<Record<string, string | undefined>>};
	};
}

interface YargsOptions {
	readonly key: Readonly<Record<string, boolean>>;
	readonly alias: Readonly<Record<string, readonly string[]>>;
	readonly boolean: readonly string[];
	readonly count: readonly string[];
	readonly array: readonly string[];
	readonly choices: Readonly<Record<string, readonly string[]>>;
	readonly default: Readonly<Record<string, unknown>>;
}
