/**
 * What states, facts, fields, guards, actions and effects mean, for docs/machines.md. The compiler checks that every fact and
 * every field of it has its words; `describeMachine` checks states, guards and actions; a test the effects.
 */
import type {BrokerFact} from './broker.ts';
import type {EffectKind} from './effects.ts';
import type {JobFact} from './job.ts';
import type {Fact} from './machine.ts';
import type {PartFact} from './part.ts';
import type {PeerFact} from './peer.ts';
import type {RpcFact} from './rpc.ts';

/** Fields that every fact of a machine has are said once, above the table. */
type FieldOf<F extends Fact, T extends F['type'], Common extends string> = Exclude<
	keyof Extract<F, {readonly type: T}>,
	keyof Fact | Common
>;

export interface FactWords {
	readonly says: string;
	readonly fields: Readonly<Record<string, string>>;
}

export type FactTable<F extends Fact, Common extends string> = {
	readonly [T in F['type']]: {
		readonly says: string;
		readonly fields: {readonly [N in FieldOf<F, T, Common> & string]: string};
	};
};

export interface MachineWords {
	readonly title: string;
	readonly text: string;
	readonly common: string;
	readonly states: Readonly<Record<string, string>>;
	readonly facts: Readonly<Record<string, FactWords>>;
	readonly guards: Readonly<Record<string, string>>;
	readonly actions: Readonly<Record<string, string>>;
	/** By state; a state without effects is left out. */
	readonly effects: Readonly<Record<string, Partial<Readonly<Record<EffectKind, string>>>>>;
}

const RANK = 'the rank whose part it is';

const jobFacts: FactTable<JobFact, 'id'> = {
	'job.submit': {
		says: 'A job was accepted.',
		fields: {
			userid: 'who submitted it',
			urgency: '0 (held) to 31',
			flags: 'submit flags of RFC 21',
			jobspec: 'RFC 14, as it was accepted, as JSON text in `json` (the oldest logs have it itself)',
			requestId: "the client's own name of this submit, or null",
			dependencies: 'what it waits for (RFC 26); absent: nothing',
		},
	},
	'job.adopt': {
		says: 'A job that this log does not know, or not as allocated, was found running on a node, and is registered again from its directory.',
		fields: {
			userid: 'who submitted it',
			urgency: 'as it was',
			flags: 'as they were',
			jobspec: 'as it was',
			R: 'what it holds (RFC 20)',
			attempt: 'which of its runs was found',
			submitMs: 'when it was submitted',
			allocMs: 'when it got its resources',
			perilog: 'as in `job.alloc`',
		},
	},
	'job.validate': {says: 'The job is in order.', fields: {}},
	'job.dependency-remove': {
		says: 'One of the things that the job waited for has come about.',
		fields: {description: 'which one'},
	},
	'job.depend': {says: 'Nothing has to be waited for.', fields: {}},
	'job.priority': {
		says: 'The job has its place in the queue.',
		fields: {priority: '0 (held) to 2^32 - 1'},
	},
	'job.urgency': {
		says: 'Someone changed the urgency.',
		fields: {urgency: '0 to 31', userid: 'who did'},
	},
	'job.alloc': {
		says: 'The scheduler gave the job its resources; a new attempt begins.',
		fields: {
			R: 'the resources (RFC 20)',
			ranks: 'the ranks of R, as numbers',
			perilog:
				'what runs before and after its tasks on each rank: `prolog` and `epilog`, each with `argv` and `timeoutMs`; absent: nothing',
		},
	},
	'job.prolog-finish': {
		says: "All ranks' prologs are over, or never were begun.",
		fields: {
			status: 'the highest raw wait status, or null: one is unknown',
			isCanceled: 'true where none was begun',
		},
	},
	'job.epilog-start': {says: 'A rank has begun its epilog.', fields: {}},
	'job.epilog-finish': {
		says: "All ranks' epilogs are over.",
		fields: {
			status: 'the highest raw wait status, or null: one is unknown',
			isCanceled: 'never there',
		},
	},
	'job.start': {says: 'All parts have started. Happened when the last of them did.', fields: {}},
	'job.report': {
		says: 'A rank reported something about its part.',
		fields: {
			rank: RANK,
			seq: "the report's number within the part, from 1",
			bootId: "the boot of the rank's node",
			body: '`started`, `exception`, `exited`, or `lost`; with a prolog or epilog also `prolog-started`, `prolog-ended` and `tasks-ended`',
		},
	},
	'job.reattach': {says: 'A rank that rejoined still has its part running.', fields: {rank: RANK}},
	'job.output': {
		says: "What the rank's tasks wrote is kept with the job from here on.",
		fields: {
			rank: RANK,
			outputs: 'by task and stream: bytes, rows, SHA-256',
			eventlog: "the rank's own eventlog of the part",
		},
	},
	'job.chunk': {
		says: 'A piece of output went to the store, in the same commit.',
		fields: {rank: RANK, bytes: 'how many'},
	},
	'job.finish': {
		says: 'All parts of a job that started have exited. Happened when the last of them did.',
		fields: {status: 'the raw wait status of the task that decided, or null: unknown'},
	},
	'job.release': {
		says: 'These ranks have let go of their resources.',
		fields: {ranks: 'idset', final: 'no other release follows'},
	},
	'job.evict': {
		says: 'Its node is lost, and it asks to run again: this attempt ends, and that is no end of the job.',
		fields: {note: 'why'},
	},
	'job.requeue': {
		says: 'Nothing of the attempt is left, and the next one may begin.',
		fields: {attempt: 'the one that was given up'},
	},
	'job.free': {says: "The scheduler has the job's resources back.", fields: {}},
	'job.clean': {says: 'Nothing of the job is left to do.', fields: {}},
	'job.exception': {
		says: 'Something happened to the job (RFC 21).',
		fields: {
			exception: 'its type: `cancel`, `timeout`, `exec`, `alloc`, `node-failure`, …',
			severity: '0 ends the job; 1 to 7 only tell',
			note: 'for people',
			userid: 'who raised it, or -1',
		},
	},
};

const partFacts: FactTable<PartFact, 'id' | 'attempt'> = {
	'part.request': {
		says: 'The root asked for a start, or asks about a part that it believes to be here, or it was found on this node.',
		fields: {},
	},
	'part.report': {
		says: 'The process host said what happened.',
		fields: {
			seq: 'its number within the part, from 1',
			bootId: 'the boot of the node in which it happened',
			body: '`started`, `exception`, or `exited`; with a prolog or epilog also `prolog-started`, `prolog-ended` and `tasks-ended`',
		},
	},
	'part.terminate': {
		says: 'The part shall end.',
		fields: {signum: 'this signal now; SIGKILL follows after the kill timeout'},
	},
	'part.ack': {
		says: 'The root has made durable what was reported.',
		fields: {seq: 'up to this report'},
	},
	'part.rewind': {
		says: 'The root has lost what it acknowledged: what was reported is to be said again.',
		fields: {seq: 'from after this report on'},
	},
	'part.forget': {says: 'The root knows the end of the job: directory and cgroup may go.', fields: {}},
};

const rpcFacts: FactTable<RpcFact, 'key'> = {
	'rpc.request': {
		says: 'A request was accepted.',
		fields: {
			topic: 'service and method',
			streaming: 'whether it may have several responses',
			sender: 'where responses go',
			target: 'the service or peer that owes them',
		},
	},
	'rpc.answer': {
		says: 'The first response of a stream passed; those between it and the last are no facts.',
		fields: {},
	},
	'rpc.end': {
		says: 'The final response passed.',
		fields: {errnum: '0, or the errno of an error; ENODATA ends a stream well'},
	},
	'rpc.lost': {says: 'The next hop is gone.', fields: {errnum: 'what the sender is answered with'}},
	'rpc.cancel': {says: 'The sender went away or cancelled.', fields: {}},
	'rpc.expire': {says: 'The deadline passed.', fields: {errnum: 'what the sender is answered with'}},
};

const IDENTITY = {
	role: '`parent` or `child`',
	hostname: 'its host',
	uuid: 'fresh at each start of it',
	pid: 'of its broker',
	bootCount: 'how often it was started',
	bootId: 'the boot of its node',
	version: 'of its program',
	logId: 'its event log',
	headSeq: 'how far that was fsynced',
} as const;

const peerFacts: FactTable<PeerFact, 'peer'> = {
	'peer.connect': {
		says: 'A link is being made.',
		fields: {role: IDENTITY.role, hostname: IDENTITY.hostname},
	},
	'peer.join': {says: 'Its hello was accepted, or ours by it. The only durable one.', fields: IDENTITY},
	'peer.torpid': {says: 'It has been silent for longer than `tbon.torpid`.', fields: {}},
	'peer.responsive': {says: 'It was heard again.', fields: {}},
	'peer.leave': {says: 'It said that it goes.', fields: {reason: 'in its words'}},
	'peer.offline': {says: 'It has gone in good order, or no link came about.', fields: {}},
	'peer.lost': {says: 'Contact was lost, or it was declared dead.', fields: {error: 'how, and why'}},
};

const brokerFacts: FactTable<BrokerFact, never> = {
	'broker.instance': {
		says: 'The first fact of a log: who this instance is.',
		fields: {
			instance: 'its UUID',
			epochMs: 'where its job ids start to count (RFC 19)',
			rank: "this broker's rank",
			hostname: "this broker's host",
		},
	},
	'broker.boot': {
		says: 'The first fact of each start. It ends all RPCs and peers of earlier boots.',
		fields: {
			epoch: 'counts the starts, from 1',
			bootId: "the kernel's boot",
			uuid: 'names this start, drawn anew',
			pid: 'of this start',
			version: 'of Coppice',
		},
	},
	'broker.reconcile': {
		says: 'The inventory of this node was complete, and everything in it was compared with this log.',
		fields: {},
	},
	'broker.shutdown': {
		says: 'Someone asked for the end of the instance.',
		fields: {keepJobs: 'whether running jobs go on'},
	},
	'broker.stop': {
		says: 'The last fact of a clean end.',
		fields: {reason: 'for people', digest: 'of the state before it: what a replay must reach'},
	},
	'broker.waited': {
		says: 'Someone was told how a waitable job ended, and it counts no more for `wait`.',
		fields: {id: 'the job'},
	},
	'broker.release': {
		says: 'An admin says that nothing of a job that is no more is left anywhere: what was still held for it is free.',
		fields: {id: 'the job'},
	},
	'broker.set-aside': {
		says: 'A job made the broker panic again and again: it goes to lost+found as it is.',
		fields: {id: 'the job', reason: 'for people', seq: 'of this fact'},
	},
	'broker.purge': {
		says: 'What was kept of finished jobs is deleted, with their output; every rank has said that nothing of them is left there.',
		fields: {ids: 'the jobs', results: 'how many of them ended how'},
	},
	'broker.jobid-floor': {
		says: 'Job ids were seen that this log does not know; new ones go on above.',
		fields: {id: 'the highest of them'},
	},
};

export const jobWords: MachineWords = {
	title: 'The job machine',
	text: "A job as the root's job manager sees it. States and events are those of RFC 21; `job.adopt`, `job.report`, `job.reattach`, `job.output`, `job.chunk`, `job.evict` and `job.requeue` are Coppice's own.",
	common: '`id`, the job',
	states: {
		none: 'There is no such job yet.',
		new: 'It was accepted.',
		depend: 'It waits for what it depends on.',
		priority: 'It waits for its priority.',
		sched: 'It waits for resources. With priority 0 it is held.',
		run: 'It holds resources; its parts are requested, started or exited.',
		cleanup:
			'It has ended or is to end: every part is brought to its exit, then what it holds is given back.',
		inactive: 'Nothing of it is left but its row in the archive.',
	},
	facts: jobFacts,
	guards: {
		isFatal: 'the severity is 0',
		isAwaited: 'the job waits for this',
		awaitsNothing: 'the job waits for nothing (any more)',
		hasRanks: 'there is at least one rank',
		isAdoptable: 'the attempt is 1 or more, and R names a rank',
		isLaterAttempt: 'the attempt is later than the last one known, and R names a rank',
		isNewReport: 'the rank has a part that has not exited, and has not said this before',
		isStarted: "the rank's part is started",
		isOfRank: 'the rank has a part',
		allStarted: 'every part has a start time, and the job has not started before',
		isOver: 'the job has started, has not finished before, and the tasks of every part are over',
		mayFinishProlog:
			"the job has a prolog, it has not finished before, and every part's is over or the part has exited",
		mayStartEpilog:
			"the job has an epilog, it has not started before, the prolog is over, and a part's epilog has begun",
		mayFinishEpilog: 'the epilog has started, has not finished before, and every part has exited',
		isReleasable: 'every part has exited',
		isPartialRelease: 'it is not the final one, and each of its ranks has exited and was not released',
		isRequeued: 'it was evicted, has not ended otherwise, nothing is held, and every part has exited',
		isFree: 'nothing is held, and every part has exited',
		holdsNothing: 'resources are held, and every part has exited',
	},
	actions: {
		keep: 'changes nothing of its own',
		log: "adds the entry to the user's eventlog",
		submit: 'takes over what was submitted',
		addDependencies: "notes what is waited for, and adds a `dependency-add` for each to the user's eventlog",
		removeDependency: 'it is waited for no longer',
		adopt: 'takes over what was found, with the events that the lost log must have had',
		readopt: 'takes over the allocation that was lost',
		prioritize: 'sets the priority',
		urge: 'sets the urgency',
		allocate: 'sets R, counts the attempt, and gives each rank a new part',
		account: "brings the rank's part up to date; what it complains of becomes an exception",
		askForProlog: 'adds `prolog-start` to the eventlog if there is a prolog',
		finishProlog: 'notes that the prolog is over',
		startEpilog: 'notes that the epilog has begun',
		finishEpilog: 'notes that the epilog is over',
		reattach: 'counts the reattachment',
		keepOutput: 'notes what is kept, in place of what the rank said before',
		start: 'marks the job started',
		finish:
			'takes the end of the task that decides: the highest exit code; one unknown end makes all unknown',
		blame: 'the first exception of severity 0 is the root cause, and stays it',
		release: 'marks the parts of these ranks released',
		evict: 'notes why',
		requeue: 'puts the attempt into the past; what belongs to it alone is as before the first allocation',
		free: 'the job holds nothing any more',
	},
	effects: {
		new: {advance: '`job.validate`'},
		depend: {
			advance: '`job.depend`, once nothing is waited for',
			await: 'for each thing that is waited for: watch it',
		},
		priority: {advance: '`job.priority`'},
		sched: {
			alloc: 'stand in the queue, unless held',
			forget: 'on each rank of an attempt that was given up',
		},
		run: {
			advance: '`job.prolog-finish`, `job.start`, `job.finish`, or the exception that a rank asked for',
			start: 'on each rank whose part is requested',
			begin: 'on each rank whose prolog is over, once all have succeeded',
			release: 'while others go on, of the ranks whose part has exited',
			forget: 'on each rank of an attempt that was given up',
		},
		cleanup: {
			advance:
				'the exception that a rank asked for, `job.prolog-finish`, `job.finish`, `job.epilog-start`, `job.epilog-finish`, `job.release`, `job.free`, then `job.requeue` or `job.clean`',
			kill: 'on each rank whose part has not exited and is not in its epilog: SIGALRM after a timeout, else SIGTERM',
			release: 'while others go on, of the ranks whose part has exited',
			forget: 'on each rank of an attempt that was given up',
		},
		inactive: {forget: 'on each rank that had a part, in whichever attempt'},
	},
};

export const partWords: MachineWords = {
	title: 'The part machine',
	text: "A rank's part of one attempt of a job, as that rank's exec service sees it. What was reported is kept until the root has acknowledged it.",
	common: '`id` and `attempt`, which name the part',
	states: {
		none: 'This rank knows nothing of it.',
		requested: 'It may be started; nothing of it has been seen to run.',
		running: 'Its prolog or its tasks were started.',
		exited: 'All its tasks have ended and its cgroup is empty.',
		forgotten: 'The root knows its end; nothing of it is left here.',
	},
	facts: partFacts,
	guards: {
		isStart: 'a new report, that the prolog or the tasks of the part started or ended',
		isEnd: 'a new report, that the part exited',
		isOther: 'a new report of an exception',
		isAck: 'a report after those that were acknowledged before, and one that was made',
		isRewind: 'before the last report that was acknowledged',
	},
	actions: {
		request: 'takes the name of the part',
		report: 'keeps the report',
		terminate: 'notes the signal',
		ack: 'notes how far the root has it',
		rewind: 'notes how far the root has it now',
		keep: 'changes nothing of its own',
	},
	effects: {
		requested: {
			report: 'each report that is not acknowledged',
			terminate: 'once a signal was asked for',
		},
		running: {report: 'each report that is not acknowledged', terminate: 'once a signal was asked for'},
		exited: {report: 'each report that is not acknowledged'},
	},
};

export const rpcWords: MachineWords = {
	title: 'The RPC machine',
	text: 'One request on its way through this broker. Its facts are relaxed: they hold nothing back, and a boot ends every RPC of the boots before.',
	common: '`key`, sender and matchtag',
	states: {
		idle: 'There is no such request yet.',
		pending: 'No response has passed.',
		streaming: 'Some responses have passed, the final one has not.',
		done: 'Exactly one final response was given, or nobody is there to get it.',
	},
	facts: rpcFacts,
	guards: {isStream: 'the request may have several responses'},
	actions: {open: 'takes over the request', close: 'notes how it ended'},
	effects: {},
};

export const peerWords: MachineWords = {
	title: 'The peer machine',
	text: 'A neighbour in the tree, parent or child. Only a join is durable: what it said of its log is remembered over boots, so that a log that was rolled back is noticed. Everything else is relaxed, and a boot ends every peer of the boots before.',
	common: "`peer`, the neighbour's rank",
	states: {
		offline: 'There is no link.',
		joining: 'A link is being made, and no hello has been answered.',
		online: 'It is part of the tree and is heard.',
		torpid: 'It is part of the tree and silent: no new work for it and those below it.',
		lost: 'Contact was lost; what was pending through it has failed.',
		leaving: 'It said that it goes; its link is about to end.',
	},
	facts: {
		...peerFacts,
		'broker.boot': {says: 'This broker has started: no peer has joined it so far.', fields: {}},
	},
	guards: {},
	actions: {
		connect: 'notes whom the link is for',
		join: 'takes over who the peer is',
		change: 'notes the time',
		lose: 'notes the error and the time',
		boot: 'notes the time and drops the error',
	},
	effects: {},
};

export const brokerWords: MachineWords = {
	title: 'The broker machine',
	text: "One broker's life over all its boots. A boot that is followed by another boot without a stop between them crashed.",
	common: 'nothing',
	states: {
		new: 'The log is empty.',
		recovering: 'The broker has started; its node has not been compared with the log.',
		running: 'The broker has reconciled its node and works.',
		stopping: 'The end of the instance was asked for: no new jobs.',
		stopped: 'The broker does not run.',
	},
	facts: brokerFacts,
	guards: {isLaterEpoch: 'the epoch is higher than any before; a salvaged log may lack some'},
	actions: {
		keep: 'changes nothing of its own',
		found: 'takes over who the instance is',
		boot: 'begins a period',
		shutdown: 'notes whether jobs are kept',
		stop: 'ends the period',
	},
	effects: {},
};
