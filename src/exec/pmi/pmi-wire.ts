/** The lines of PMI-1 (RFC 13) as the job shell speaks them: `cmd=put kvsname=K key=K value=V`, one request, one answer. Pure. */

export const PMI_KVSNAME_LENGTH_MAX = 64;
export const PMI_KEY_LENGTH_MAX = 64;
export const PMI_VALUE_LENGTH_MAX = 1024;

export type PmiRequest =
	| {readonly cmd: 'init'; readonly isSupported: boolean}
	| {readonly cmd: 'get_maxes' | 'get_universe_size' | 'get_appnum' | 'get_my_kvsname' | 'finalize'}
	| {readonly cmd: 'barrier_in'}
	| {readonly cmd: 'put'; readonly kvsname: string; readonly key: string; readonly value: string}
	| {readonly cmd: 'get'; readonly kvsname: string; readonly key: string}
	| {readonly cmd: 'abort'; readonly exitCode: number; readonly message: string}
	| {readonly cmd: 'unknown'; readonly name: string};

/** Reads one line, without its line feed. What follows `value=` and `error_msg=` goes to the end of the line. */
export function parsePmiRequest(line: string): PmiRequest {
	const members = membersOf(line);
	const name = members.get('cmd') ?? '';
	const of = (member: string) => members.get(member) ?? '';
	switch (name) {
		case 'init':
			return {cmd: name, isSupported: of('pmi_version') === '1'};
		case 'get_maxes':
		case 'get_universe_size':
		case 'get_appnum':
		case 'get_my_kvsname':
		case 'finalize':
		case 'barrier_in':
			return {cmd: name};
		case 'put':
			return {cmd: name, kvsname: of('kvsname'), key: of('key'), value: of('value')};
		case 'get':
			return {cmd: name, kvsname: of('kvsname'), key: of('key')};
		case 'abort':
			return {cmd: name, exitCode: Number(of('exitcode')) || 0, message: of('error_msg')};
		default:
			return {cmd: 'unknown', name};
	}
}

/** What is asked for and not there: spawning and naming; whoever asks something else gets an answer too. */
export function unknownAnswer(name: string): string {
	const results: Readonly<Record<string, string>> = {
		spawn: 'spawn_result',
		publish_name: 'publish_result',
		unpublish_name: 'unpublish_result',
		lookup_name: 'lookup_result',
	};
	return `cmd=${results[name] ?? 'unknown'} rc=-1 msg=not_supported`;
}

function membersOf(line: string): Map<string, string> {
	const members = new Map<string, string>();
	for (let rest = line.trimStart(); rest !== '';) {
		const match = /^([^\s=]+)=/.exec(rest);
		if (match === null) break;
		const isLast = match[1] === 'value' || match[1] === 'error_msg';
		const text = rest.slice(match[0].length);
		const end = isLast ? -1 : text.search(/\s/);
		members.set(match[1]!, end === -1 ? text : text.slice(0, end));
		rest = end === -1 ? '' : text.slice(end).trimStart();
	}
	return members;
}
