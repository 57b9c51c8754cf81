/** Job ids as people type and read them: any form in, F58 out, with `ƒ` where the locale can show it. */
import {decodeJobid, encodeJobid, type JobId} from '../formats/jobid.ts';
import {SystemError} from '../formats/errno.ts';
import type {World} from './context.ts';
import {CommandError} from './command-error.ts';

/** The F58 text of `id`; `f…` outside a UTF-8 locale or with `COPPICE_F58_FORCE_ASCII=1`. */
export function jobidText(id: JobId, env: World['env']): string {
	return encodeJobid(id, showsUnicode(env) ? 'f58' : 'f58plain');
}

/** Reads an id in any supported form. @throws {CommandError} naming the text. */
export function parseJobid(text: string): JobId {
	try {
		return decodeJobid(text);
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new CommandError(`${error.code}: ${error.message}`, {cause: error});
	}
}

export function parseJobids(texts: readonly string[]): JobId[] {
	return texts.map(parseJobid);
}

/** By locale(7): the first of LC_ALL, LC_CTYPE and LANG that is set and not empty decides. */
export function showsUnicode(env: World['env']): boolean {
	if (env['COPPICE_F58_FORCE_ASCII'] === '1') return false;
	const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || 'C';
	return /utf-?8/i.test(locale);
}
