/** What can be typed at the REPL, with a line of help for each. */

export interface ReplName {
	/** As it is typed, with its arguments. */
	readonly usage: string;
	readonly help: string;
}

export const REPL_NAMES: readonly ReplName[] = [
	{usage: 'broker', help: 'the broker: its instance, boots, and what it is about to do'},
	{usage: 'peers', help: 'its neighbours in the tree, and since when each is how it is'},
	{usage: 'rpcs', help: 'requests that are open'},
	{usage: 'jobs', help: 'jobs that have not ended'},
	{usage: 'parts', help: 'what this rank runs of them'},
	{usage: 'nodes', help: 'nodes, and which are drained'},
	{usage: 'queues', help: 'queues that are not open'},
	{usage: 'lost', help: 'jobs in lost+found'},
	{usage: 'job(id)', help: 'one job, also one that has ended'},
	{usage: 'why(job)', help: 'what it waits for, or why it ended, with the facts behind it'},
	{usage: 'timeline(job)', help: 'all facts about it'},
	{usage: 'log(n)', help: 'the last n facts; default 20'},
	{usage: 'find(what)', help: 'facts that contain a text, match a RegExp, or for which a function is true'},
	{
		usage: 'watch(what, n)',
		help: 'the same of facts as they come, until ^C or n of them; without arguments all',
	},
	{usage: 'at(seq)', help: 'everything as it was after that fact, as in at(99).jobs or at(99).why(id)'},
	{usage: 'diff(a, b)', help: 'what changed between two facts'},
	{usage: 'machine(name)', help: 'a state machine: its states, and which fact leads where'},
	{usage: 'help', help: 'this list; x = EXPRESSION keeps a value, _ is the last one'},
];

/** `job(id)` is called `job`. */
export function nameOf({usage}: ReplName): string {
	return usage.split('(')[0]!;
}
