/** Shell patterns (glob(7)) for names, as the rules of `--env` and `--rlimit` have them. */

/** The source of a regular expression for the whole of a name: `*`, `?`, `[a-z]` and `[!a-z]` have their meaning. */
export function globSource(pattern: string): string {
	return pattern.replace(/\[!?[^\]]+\]|[\s\S]/g, token => {
		if (token === '*') return '.*';
		if (token === '?') return '.';
		if (token.length > 1) return token.replace(/^\[!/, '[^').replace(/\\/g, '\\\\');
		return token.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
	});
}
