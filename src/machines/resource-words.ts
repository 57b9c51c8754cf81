/** The words of the machines of nodes and queues, for docs/machines.md; see words.ts. */
import type {NodeFact} from './node.ts';
import type {QueueFact} from './queue.ts';
import type {FactTable, MachineWords} from './words.ts';

const nodeFacts: FactTable<NodeFact, 'rank'> = {
	'node.define': {
		says: 'The rank said what its node has, and it is not what it said before.',
		fields: {
			host: 'its name',
			cores: 'idset',
			gpus: 'idset',
			properties: 'their names, sorted',
		},
	},
	'node.drain': {
		says: 'An admin wants no new work there; what runs goes on.',
		fields: {
			reason: 'for people; may be empty',
			userid: 'who did',
			sinceMs: 'since when it counts as drained: an earlier time is kept where only the reason changes',
		},
	},
	'node.undrain': {
		says: 'It may have new work again.',
		fields: {reason: 'for people; may be empty', userid: 'who did'},
	},
};

const queueFacts: FactTable<QueueFact, 'queue'> = {
	'queue.enable': {says: 'The queue takes jobs in.', fields: {}},
	'queue.disable': {
		says: 'The queue takes no more jobs in.',
		fields: {reason: 'what a refused submit is told; may be empty'},
	},
	'queue.start': {says: 'Jobs of the queue get resources.', fields: {}},
	'queue.stop': {
		says: 'No job of the queue gets resources; running ones go on.',
		fields: {reason: 'for people; may be empty'},
	},
};

export const nodeWords: MachineWords = {
	title: 'The node machine',
	text: 'The node of one rank, as the root knows it over all times: what it has, and whether an admin wants no new work there. Whether it can be reached is no part of it. A node that is away is known from the log.',
	common: "`rank`, the node's rank",
	states: {
		unknown: 'The rank has never said what it has.',
		available: 'Nobody has anything against new work there.',
		drained: 'An admin wants no new work there. A rank may be drained before it was ever seen.',
	},
	facts: nodeFacts,
	guards: {isNamed: 'it has a host name', isDefined: 'the node has said what it has'},
	actions: {
		define: 'takes over what the node has',
		drain: 'notes reason, person and time',
		undrain: 'drops them',
	},
	effects: {},
};

export const queueWords: MachineWords = {
	title: 'The queue machine',
	text: 'Whether a queue takes jobs in (enabled), and whether its jobs get resources (started). The queues are configuration; an open one is not kept.',
	common: '`queue`, its name, empty for the anonymous one',
	states: {
		open: 'Enabled and started.',
		disabled: 'Started: what was submitted runs, nothing more is taken in.',
		stopped: 'Enabled: jobs are taken in, and wait.',
		closed: 'Neither enabled nor started.',
	},
	facts: queueFacts,
	guards: {},
	actions: {
		disable: 'notes the reason',
		stop: 'notes the reason',
		enable: 'drops the reason',
		start: 'drops the reason',
	},
	effects: {},
};
