/** What options a builder declared: the part of yargs that its types leave out, in one place. */
import type {Argv} from 'yargs';

export interface DeclaredOption {
	/** The name that values are filed under. */
	readonly name: string;
	readonly takesValue: boolean;
	/** May be given several times, all of which count. */
	readonly isList: boolean;
}

/** Finds an option by any of its names, without dashes. */
export type FindOption = (name: string) => DeclaredOption | undefined;

export function declaredOptions(yargs: Argv): FindOption {
	const {key, alias, boolean, count, array} = (yargs as unknown as {getOptions(): YargsOptions}).getOptions();
	const byName = new Map<string, DeclaredOption>();
	for (const name of Object.keys(key)) {
		const names = [name, ...(alias[name] ?? [])];
		const has = (list: readonly string[]) => names.some(each => list.includes(each));
		const option = {name, takesValue: !has(boolean) && !has(count), isList: has(array) || has(count)};
		for (const each of names) byName.set(each, byName.get(each) ?? option);
	}
	return name => byName.get(name);
}

interface YargsOptions {
	readonly key: Readonly<Record<string, boolean>>;
	readonly alias: Readonly<Record<string, readonly string[]>>;
	readonly boolean: readonly string[];
	readonly count: readonly string[];
	readonly array: readonly string[];
}
