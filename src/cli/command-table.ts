/** The commands by name. A module is loaded when its command is called, and at no other time. */
import type {CommandModule} from './command.ts';

export interface CommandEntry {
	readonly name: string;
	readonly describe: string;
	load(): Promise<CommandModule>;
}

const job = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `job ${name}`,
	describe,
	load,
});
const log = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `log ${name}`,
	describe,
	load,
});
const overlay = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `overlay ${name}`,
	describe,
	load,
});
const resource = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `resource ${name}`,
	describe,
	load,
});
const queue = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `queue ${name}`,
	describe,
	load,
});
const config = (name: string, describe: string, load: CommandEntry['load']) => ({
	name: `config ${name}`,
	describe,
	load,
});
const own = (name: string, describe: string, load: CommandEntry['load']) => ({name, describe, load});

export const COMMANDS: readonly CommandEntry[] = [
	own('start', 'bring up an instance', async () => (await import('./commands/start.ts')).start),
	own(
		'broker',
		'run one broker in the foreground',
		async () => (await import('./commands/broker.ts')).broker,
	),
	own(
		'keygen',
		'make the key for TLS between hosts',
		async () => (await import('./commands/keygen.ts')).keygen,
	),
	own('shutdown', 'stop the instance', async () => (await import('./commands/shutdown.ts')).shutdown),
	own(
		'uptime',
		'how long the instance has been up',
		async () => (await import('./commands/uptime.ts')).uptime,
	),
	own('getattr', 'print an attribute', async () => (await import('./commands/getattr.ts')).getattr),
	own('lsattr', 'list the attributes', async () => (await import('./commands/lsattr.ts')).lsattr),
	own('setattr', 'set an attribute', async () => (await import('./commands/setattr.ts')).setattr),
	own('ping', 'measure round trips', async () => (await import('./commands/ping.ts')).ping),
	own('dmesg', "print a broker's log", async () => (await import('./commands/dmesg.ts')).dmesg),
	own(
		'startlog',
		'starts and ends of the instance',
		async () => (await import('./commands/startlog.ts')).startlog,
	),
	own('health', 'what is stuck, and where', async () => (await import('./commands/health.ts')).health),
	config('get', "print a broker's configuration", async () => (await import('./commands/config/get.ts')).get),
	config('check', 'check a configuration', async () => (await import('./commands/config/check.ts')).check),
	config('reload', 'read it again', async () => (await import('./commands/config/reload.ts')).reload),
	overlay(
		'status',
		'the tree, and how each rank is',
		async () => (await import('./commands/overlay/status.ts')).status,
	),
	overlay(
		'disconnect',
		'declare a broker dead',
		async () => (await import('./commands/overlay/disconnect.ts')).disconnect,
	),
	overlay(
		'parentof',
		"the rank of a broker's parent",
		async () => (await import('./commands/overlay/parentof.ts')).parentof,
	),
	overlay(
		'lookup',
		'hosts of ranks, ranks of hosts',
		async () => (await import('./commands/overlay/lookup.ts')).lookup,
	),
	overlay(
		'errors',
		'why brokers cannot be reached',
		async () => (await import('./commands/overlay/errors.ts')).errors,
	),
	overlay(
		'trace',
		'messages between brokers as they pass',
		async () => (await import('./commands/overlay/trace.ts')).trace,
	),
	own('submit', 'submit a job', async () => (await import('./commands/submit.ts')).submit),
	own('run', 'run a job and show its output', async () => (await import('./commands/run.ts')).run),
	own(
		'bulksubmit',
		'submit a job for each input',
		async () => (await import('./commands/bulksubmit.ts')).bulksubmit,
	),
	own('batch', 'submit a script', async () => (await import('./commands/batch.ts')).batch),
	own(
		'batch-task',
		'run the script of a batch job',
		async () => (await import('./commands/batch-task.ts')).batchTask,
	),
	own('exec', "run a command on brokers' nodes", async () => (await import('./commands/exec.ts')).exec),
	own('jobs', 'list jobs', async () => (await import('./commands/jobs.ts')).jobs),
	own('cancel', 'cancel jobs', async () => (await import('./commands/cancel.ts')).cancel),
	job('attach', "show a job's output", async () => (await import('./commands/job/attach.ts')).attach),
	job('eventlog', "print a job's events", async () => (await import('./commands/job/eventlog.ts')).eventlog),
	job(
		'wait-event',
		'wait for an event',
		async () => (await import('./commands/job/wait-event.ts')).waitEvent,
	),
	job('wait', 'wait for waitable jobs', async () => (await import('./commands/job/wait.ts')).wait),
	job(
		'status',
		'wait for jobs, exit as they did',
		async () => (await import('./commands/job/status.ts')).status,
	),
	job('info', "print a job's documents", async () => (await import('./commands/job/info.ts')).info),
	job('kill', 'send a signal', async () => (await import('./commands/job/kill.ts')).kill),
	job('killall', 'send a signal to all', async () => (await import('./commands/job/killall.ts')).killall),
	job(
		'raiseall',
		'raise an exception on many',
		async () => (await import('./commands/job/raiseall.ts')).raiseall,
	),
	job('raise', 'raise an exception', async () => (await import('./commands/job/raise.ts')).raise),
	job('urgency', "change a job's urgency", async () => (await import('./commands/job/urgency.ts')).urgency),
	job('purge', 'delete finished jobs', async () => (await import('./commands/job/purge.ts')).purge),
	job('id', 'convert job ids', async () => (await import('./commands/job/id.ts')).id),
	job('last', 'the newest job ids', async () => (await import('./commands/job/last.ts')).last),
	job('taskmap', 'which tasks run where', async () => (await import('./commands/job/taskmap.ts')).taskmap),
	job(
		'timeleft',
		'seconds until the time limit',
		async () => (await import('./commands/job/timeleft.ts')).timeleft,
	),
	resource(
		'dead',
		'declare nodes dead that are out of contact',
		async () => (await import('./commands/resource/dead.ts')).dead,
	),
	resource(
		'list',
		'nodes, cores and gpus by state',
		async () => (await import('./commands/resource/list.ts')).list,
	),
	resource(
		'status',
		'nodes by administrative state',
		async () => (await import('./commands/resource/status.ts')).status,
	),
	resource(
		'info',
		'how many nodes, cores and gpus',
		async () => (await import('./commands/resource/info.ts')).info,
	),
	resource(
		'drain',
		'no new work for nodes',
		async () => (await import('./commands/resource/drain.ts')).drain,
	),
	resource('undrain', 'end a drain', async () => (await import('./commands/resource/undrain.ts')).undrain),
	queue('list', 'switches and limits', async () => (await import('./commands/queue/list.ts')).list),
	queue(
		'status',
		'whether they take and start jobs',
		async () => (await import('./commands/queue/status.ts')).status,
	),
	queue('start', 'let their jobs start', async () => (await import('./commands/queue/start.ts')).start),
	queue('stop', 'let no job start', async () => (await import('./commands/queue/stop.ts')).stop),
	queue('enable', 'take jobs in', async () => (await import('./commands/queue/enable.ts')).enable),
	queue('disable', 'take no jobs in', async () => (await import('./commands/queue/disable.ts')).disable),
	queue('drain', 'wait until no job is left', async () => (await import('./commands/queue/drain.ts')).drain),
	queue('idle', 'wait until no job runs', async () => (await import('./commands/queue/idle.ts')).idle),
	log('stat', 'size and range of the log', async () => (await import('./commands/log/stat.ts')).stat),
	log('dump', 'print its facts', async () => (await import('./commands/log/dump.ts')).dump),
	log(
		'verify',
		'check its chain and its facts',
		async () => (await import('./commands/log/verify.ts')).verify,
	),
	log('replay', 'execute it again', async () => (await import('./commands/log/replay.ts')).replay),
	log('compact', 'drop the past', async () => (await import('./commands/log/compact.ts')).compact),
	log('salvage', 'the way out of safe mode', async () => (await import('./commands/log/salvage.ts')).salvage),
	log(
		'lost+found',
		'what was set aside',
		async () => (await import('./commands/log/lost-found.ts')).lostFound,
	),
	own('help', 'tell about a command', async () => (await import('./commands/help.ts')).help),
	own('version', 'print the version', async () => (await import('./commands/version.ts')).version),
	own(
		'completion',
		'print shell completion',
		async () => (await import('./commands/completion.ts')).completion,
	),
	own('repl', 'inspect a live broker', async () => (await import('./commands/repl.ts')).repl),
];

const BY_NAME = new Map(COMMANDS.map(entry => [entry.name, entry]));
/** First words of commands that are no commands of their own. */
export const GROUP_NAMES: ReadonlySet<string> = new Set(
	COMMANDS.filter(({name}) => name.includes(' ')).map(({name}) => name.split(' ')[0]!),
);

export function findCommand(name: string): CommandEntry | undefined {
	return BY_NAME.get(name);
}

/** Whether `name` is only the first word of commands. */
export function isGroup(name: string): boolean {
	return GROUP_NAMES.has(name);
}
