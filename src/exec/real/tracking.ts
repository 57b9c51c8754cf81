/** How a rank tells the processes of its parts from others: chosen once for new parts, and kept by each to its end. */

import type {Clock} from '../../ports/clock.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import {parsePartDir, partCgroup, partDir, rankCgroup, taskName, type RankSite} from '../part-paths.ts';
import {CgroupProcesses} from './cgroup-processes.ts';
import {childCgroups} from './cgroup.ts';
import type {PartProcesses} from './part-processes.ts';
import {SessionTracking} from './session-tracking.ts';

/** The value of the attribute `process-tracking`. */
export type TrackingName = 'cgroup2' | 'session';

export function trackingOf({cgroupBase}: Pick<RankSite, 'cgroupBase'>): TrackingName {
	return cgroupBase === '' ? 'session' : 'cgroup2';
}

export interface TrackingOptions {
	readonly site: RankSite;
	readonly clock: Clock;
	readonly log: (text: string) => void;
}

export class Tracking {
	readonly #site: RankSite;
	readonly #sessions: SessionTracking;

	constructor(options: TrackingOptions) {
		this.#site = options.site;
		this.#sessions = new SessionTracking(options);
	}

	/** The processes of a part: as it was launched, whatever new ones get. */
	of({key, cgroup, tasks}: {key: PartKey; cgroup: string; tasks: readonly number[]}): PartProcesses {
		if (cgroup !== '') return new CgroupProcesses(cgroup);
		const [first = 0] = tasks;
		// A prolog or epilog has processes of its own.
		const name = first < 0 ? `${partName(key)}.${taskName(first)}` : partName(key);
		return this.#sessions.of({name, dir: partDir(this.#site, key), tasks});
	}

	/** Those of a part of which no directory tells. */
	ofUnknown(key: PartKey): PartProcesses {
		return this.of({key, cgroup: partCgroup(this.#site, key), tasks: []});
	}

	/** As `SessionTracking.remember`; a cgroup remembers by itself. */
	remember(isUrgent: boolean): void {
		this.#sessions.remember(isUrgent);
	}

	/** The parts of which processes or cgroups are there. */
	found(): PartKey[] {
		if (this.#site.cgroupBase === '') return this.#sessions.livingParts();
		return childCgroups(rankCgroup(this.#site))
			.map(parsePartDir)
			.filter(key => key !== undefined);
	}
}
