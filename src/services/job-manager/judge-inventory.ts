/**
 * The comparison after every (re)join of a rank (DESIGN section 8): what the root's log says about its parts against what
 * the rank has. Pure. The reports of the parts themselves come afterwards, in order, each on its own.
 */
import {partKey} from '../../machines/part.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {FactBody} from '../core.ts';
import type {InventoryMessage, InventoryResponse, PartName} from '../job-exec/messages.ts';

export interface Known {
	readonly jobs: Iterable<JobSnapshot>;
	readonly isArchived: (id: bigint) => boolean;
	/** In lost+found: neither continued nor ended. */
	readonly isSetAside: (id: bigint) => boolean;
	readonly nowMs: number;
}

export interface Verdict extends InventoryResponse {
	readonly facts: readonly FactBody[];
}

export function judgeInventory(message: InventoryMessage, known: Known): Verdict {
	const {rank, parts} = message;
	const here = new Map(parts.map(part => [partKey(part), part]));
	const facts: FactBody[] = [];
	const expected = new Set<string>();
	const attempts = new Map<bigint, number>();
	for (const {value, context} of known.jobs) {
		const {id, attempt} = context;
		attempts.set(id, attempt);
		const part = context.ranks[rank];
		if (part === undefined) continue;
		const key = partKey({id, attempt});
		expected.add(key);
		if (part.state !== 'started') continue;
		const found = here.get(key);
		if (found === undefined) facts.push(...lost(value, context, message, known.nowMs));
		else if (found.state === 'running' && value === 'run') facts.push({type: 'job.reattach', id, rank});
	}
	const unknown: PartName[] = [];
	const superseded: PartName[] = [];
	for (const {id, attempt} of parts) {
		if (expected.has(partKey({id, attempt})) || known.isSetAside(id)) continue;
		if (attempts.has(id) || known.isArchived(id)) superseded.push({id, attempt});
		else unknown.push({id, attempt});
	}
	return {facts, unknown, superseded};
}

/** It was started there, and nothing of it is left. */
function lost(
	value: string,
	{id, ranks}: JobSnapshot['context'],
	{rank, bootId}: InventoryMessage,
	nowMs: number,
): FactBody[] {
	const part = ranks[rank];
	if (part === undefined) return [];
	const isReboot = part.bootId !== bootId;
	const note = isReboot
		? `node of rank ${rank} was rebooted while the job was running`
		: `rank ${rank} has no trace of the job: neither its processes nor its directory`;
	const report: FactBody = {
		type: 'job.report',
		id,
		rank,
		seq: part.seq + 1,
		bootId,
		body: {kind: 'lost', note, endMs: nowMs},
	};
	if (value !== 'run') return [report];
	return [
		{
			type: 'job.exception',
			id,
			exception: isReboot ? 'node-failure' : 'exec',
			severity: 0,
			note,
			userid: -1,
		},
		report,
	];
}
