/** `coppice uptime`: one line about the instance, and a second one when it takes no work. */
import {SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import {isObject} from '../../formats/shape.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {CommandModule} from '../command.ts';
import {numberField, objectOf, textField} from '../fields.ts';
import {briefDuration} from '../format/brief-duration.ts';
import {strftime} from '../format/strftime.ts';
import {flagOption, operands} from '../option-value.ts';
import {printJson} from '../print-json.ts';

export const uptime: CommandModule = {
	name: 'uptime',
	describe: 'Tells how long the instance has been up, who owns it, and how large it is.',
	example: 'coppice uptime',
	builder: yargs => yargs.option('json', {type: 'boolean', describe: 'one document'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const {world} = context;
		const nowS = world.clock.epochMs() / 1000;
		const found = await inquire(context.session());
		const owner = world.usernameOf(found.owner ?? world.userid);
		if (flagOption(argv, 'json')) {
			await printJson(context, {...found, time: nowS, owner});
			return;
		}
		const clock = strftime('%T', nowS, world.utcOffsetMinutes(nowS));
		const {state, duration, depth, size, drained, offline, torpid, submit, scheduler} = found;
		const parts = [`${state} ${briefDuration(duration)}`, `owner ${owner}`, `depth ${depth}`, `size ${size}`];
		if (drained > 0) parts.push(`${drained} drained`);
		if (offline > 0) parts.push(`${offline} offline`);
		if (torpid > 0) parts.push(`${torpid} torpid`);
		await context.print(` ${clock} ${parts.join(',  ')}\n`);
		const closed = [...(submit ? [] : ['submit disabled']), ...(scheduler ? [] : ['scheduler disabled'])];
		if (closed.length > 0) await context.print(`  ${closed.join(',  ')}\n`);
	},
};

interface Found {
	readonly state: string;
	/** Seconds in this state. */
	readonly duration: number;
	readonly owner: number | null;
	readonly depth: number;
	readonly size: number;
	readonly drained: number;
	readonly online: number;
	readonly offline: number;
	/** Online, and silent for too long for new work. */
	readonly torpid: number;
	readonly submit: boolean;
	readonly scheduler: boolean;
}

async function inquire(session: BrokerSession): Promise<Found> {
	const ask = (topic: string, payload: unknown = {}) => session.call(topic, payload, {idempotent: true});
	const machine = await ask('state-machine.get');
	const state = textField(machine, 'state', 'state-machine.get');
	// A broker that waits for its parent can't ask the root.
	const atRoot = (topic: string, payload: unknown = {}) =>
		state === 'join' ? Promise.resolve(null) : optional(ask(topic, payload));
	const [size, depth, owner, online, torpid, status, queue] = await Promise.all([
		attribute(session, 'size'),
		attribute(session, 'instance-level'),
		attribute(session, 'security.owner'),
		atRoot('groups.get', {name: 'broker.online'}),
		atRoot('groups.get', {name: 'broker.torpid'}),
		atRoot('resource.status'),
		atRoot('job-manager.queue-status'),
	]);
	const sizeNumber = Number(size ?? 1);
	const onlineCount = online === null ? sizeNumber : membersOf(online);
	return {
		state,
		duration: numberField(machine, 'duration', 'state-machine.get'),
		owner: owner === null ? null : Number(owner),
		depth: Number(depth ?? 0),
		size: sizeNumber,
		drained: drainedCount(status),
		online: onlineCount,
		offline: Math.max(0, sizeNumber - onlineCount),
		torpid: torpid === null ? 0 : membersOf(torpid),
		submit: queue === null || objectOf(queue, 'job-manager.queue-status')['enable'] !== false,
		scheduler: queue === null || objectOf(queue, 'job-manager.queue-status')['start'] !== false,
	};
}

async function attribute(session: BrokerSession, name: string): Promise<string | null> {
	const answer = await optional(session.call('attr.get', {name}, {idempotent: true}));
	return answer === null ? null : textField(answer, 'value', 'attr.get');
}

/** Null where the broker does not have it, as while it is starting. */
async function optional(answer: Promise<unknown>): Promise<unknown> {
	try {
		return await answer;
	} catch (error) {
		if (error instanceof SystemError && (error.code === 'ENOENT' || error.code === 'ENOSYS')) return null;
		throw error;
	}
}

function drainedCount(status: unknown): number {
	if (!isObject(status) || !isObject(status['drain'])) return 0;
	return Object.keys(status['drain']).reduce((sum, ranks) => sum + countOf(ranks), 0);
}

function membersOf(answer: unknown): number {
	return countOf(textField(answer, 'members', 'groups.get'));
}

function countOf(idset: string): number {
	return Idset.parse(idset).count;
}
