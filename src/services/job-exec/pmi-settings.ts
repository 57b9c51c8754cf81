/** What the tasks of a job find by PMI from the beginning (RFC 13). Pure. */
import {shellOptionsOf} from '../../formats/shell-options.ts';
import type {Jobspec} from '../../formats/jobspec.ts';
import {stringifyJson} from '../../formats/json.ts';
import {encodePmiTaskmap, encodeTaskmap, type Taskmap} from '../../formats/taskmap.ts';
import {PMI_VALUE_LENGTH_MAX} from '../../exec/pmi/pmi-wire.ts';
import type {PmiSettings} from '../../ports/process-host.ts';

export interface PmiJob {
	readonly jobspec: Jobspec;
	readonly ntasks: number;
	readonly taskmap: Taskmap;
}

/** Absent for a job of one task that did not ask for it (`-o pmi`), and for one that does not want it (`-o pmi=off`). */
export function pmiSettingsOf({jobspec, ntasks, taskmap}: PmiJob): {pmi?: PmiSettings} {
	const {pmi} = shellOptionsOf(jobspec);
	if (pmi === 'off' || (pmi === undefined && ntasks === 1)) return {};
	const map = stringifyJson(encodeTaskmap(taskmap));
	const mapping = encodePmiTaskmap(taskmap);
	return {
		pmi: {
			size: ntasks,
			values: {
				// Too long to be told: unknown, as RFC 13 has it.
				PMI_process_mapping: mapping.length > PMI_VALUE_LENGTH_MAX ? '' : mapping,
				...(map.length > PMI_VALUE_LENGTH_MAX ? {} : {'coppice.taskmap': map, 'flux.taskmap': map}),
			},
		},
	};
}
