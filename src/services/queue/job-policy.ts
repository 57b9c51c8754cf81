/** What a job may ask for, and what it gets where it asks for nothing: the policy of the instance, and that of a queue over it. Pure. */
import {SystemError} from '../../formats/errno.ts';
import {formatFsd} from '../../formats/fsd.ts';
import {requestOf, type Jobspec} from '../../formats/jobspec.ts';

export interface SizeLimits {
	readonly nnodes?: number;
	readonly ncores?: number;
	readonly ngpus?: number;
}

/** What is absent is not limited, and has no default. */
export interface JobPolicy {
	/** The longest duration of a job; null: none, also where the instance has one. */
	readonly durationMsMax?: number | null;
	/** Of a job that asks for none; null: that is unlimited. */
	readonly durationMsDefault?: number | null;
	/** Of a job that names none; only of the instance. */
	readonly queueDefault?: string;
	readonly sizeMax?: SizeLimits;
	readonly sizeMin?: SizeLimits;
}

/** What holds in a queue: its own policy, and where that says nothing, the instance's. */
export function policyOver(own: JobPolicy, instance: JobPolicy): JobPolicy {
	return {
		...instance,
		...own,
		sizeMax: {...instance.sizeMax, ...own.sizeMax},
		sizeMin: {...instance.sizeMin, ...own.sizeMin},
	};
}

/** The jobspec with the default duration where it has none. */
export function withDefaultDuration(jobspec: Jobspec, {durationMsDefault}: JobPolicy): Jobspec {
	const {attributes} = jobspec;
	if (attributes.system.duration !== 0 || durationMsDefault == null) return jobspec;
	const system = {...attributes.system, duration: durationMsDefault / 1000};
	return {...jobspec, attributes: {...attributes, system}};
}

/** @param where the queue, for messages. @throws {SystemError} EINVAL: the job asks for more, or less, than it may. */
export function checkLimits(jobspec: Jobspec, policy: JobPolicy, where: string): void {
	const {sizeMax = {}, sizeMin = {}} = policy;
	const durationMsMax = policy.durationMsMax ?? Infinity;
	const durationMs = jobspec.attributes.system.duration * 1000;
	if (durationMsMax !== Infinity && (durationMs === 0 || durationMs > durationMsMax)) {
		const limit = formatFsd(durationMsMax / 1000);
		const asked = durationMs === 0 ? 'unlimited' : formatFsd(durationMs / 1000);
		throw new SystemError('EINVAL', `requested duration (${asked}) exceeds the limit of ${where} (${limit})`);
	}
	const {nslots, nnodes, coresPerSlot, gpusPerSlot} = requestOf(jobspec);
	// Without a number of nodes a job gets any.
	const asked = {
		...(nnodes === null ? {} : {nnodes}),
		ncores: nslots * coresPerSlot,
		ngpus: nslots * gpusPerSlot,
	};
	for (const [name, count] of Object.entries(asked) as [keyof SizeLimits, number][]) {
		const [least = 0, most = Infinity] = [sizeMin[name], sizeMax[name]];
		if (count > most) {
			throw new SystemError('EINVAL', `requested ${name} (${count}) exceeds the limit of ${where} (${most})`);
		}
		if (count < least) {
			throw new SystemError(
				'EINVAL',
				`requested ${name} (${count}) is below the limit of ${where} (${least})`,
			);
		}
	}
}
