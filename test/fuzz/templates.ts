/** A good request of most topics, to be spoiled field by field: what is random throughout does not get far. */

/** Two job ids: the first job of the instance has neither. */
const ID = 1n;

/** Undefined: nothing is known of the topic. */
export function templateOf(topic: string): Readonly<Record<string, unknown>> | undefined {
	return Object.hasOwn(TEMPLATES, topic) ? TEMPLATES[topic] : undefined;
}

const TEMPLATES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
	'broker.ping': {seq: 1, pad: 'x'},
	'attr.get': {name: 'rank'},
	'broker.health': {service: 'broker'},
	'groups.get': {name: 'broker.online'},
	'health.status': {service: 'broker', timeout: 1},
	'overlay.status': {timeout: 1},
	'overlay.topology': {rank: 1},
	'overlay.errors': {timeout: 1},
	'overlay.stats': {timeout: 1},
	'overlay.ready': {size: 3},
	'overlay.trace': {typemask: 15, topic_glob: '*', nodeid: -1, full: true},
	'log.dmesg': {follow: false, nobacklog: true},
	'event.publish': {topic: 'fuzz.event', flags: 0, payload: 'eA=='},
	'event.subscribe': {topic: 'fuzz'},
	'event.fetch': {after: 1},
	'job-manager.raise': {id: ID, type: 'cancel', severity: 0, note: 'x', userid: 0},
	'job-manager.raiseall': {dry_run: true, userid: -1, states: 4, severity: 0, type: 'cancel', note: 'x'},
	'job-manager.kill': {id: ID, signum: 15},
	'job-manager.killall': {dry_run: true, userid: 0, signum: 15},
	'job-manager.node-dead': {targets: '2', reason: 'x'},
	'job-manager.urgency': {id: ID, urgency: 16},
	'job-manager.wait': {id: -1},
	'job-manager.drain': {timeout: 1},
	'job-manager.idle': {timeout: 1},
	'job-manager.queue-status': {name: 'x'},
	'job-manager.queue-enable': {name: 'x', enable: true, reason: 'x', all: true},
	'job-manager.queue-start': {name: 'x', start: true, reason: 'x', all: true, nocheckpoint: true},
	'job-list.list': {
		max_entries: 5,
		attrs: ['all'],
		since: 0,
		constraint: {and: [{states: ['running']}, {userid: [0]}]},
	},
	'job-list.list-id': {id: ID, attrs: ['all'], wait_state: 1},
	'job-list.job-stats': {},
	'job-info.lookup': {id: ID, keys: ['J', 'R', 'eventlog', 'jobspec'], flags: 0},
	'job-info.eventlog-watch': {id: ID, path: 'eventlog', flags: 0},
	'job-info.output-watch': {id: ID, offset: 0, task: 0, stream: 'stdout'},
	'job-info.archived': {id: ID},
	'job-info.endings-watch': {ids: [ID]},
	'resource.drain': {targets: '2', reason: 'x', mode: ''},
	'resource.undrain': {targets: '2', mode: 'force'},
	'resource.release': {id: ID},
	'event-log.dump': {from: 1, to: 9, follow: false},
	'event-log.verify': {},
	'event-log.replay': {seq: 9},
	'repl.state': {seq: 9},
	'job-exec.start': {id: ID, attempt: 1},
	'overlay.hello': {
		protocol: 1,
		instance: 'none',
		rank: 1,
		size: 3,
		hostname: 'n',
		version: '1',
		uuid: 'u',
		pid: 2,
	},
};
