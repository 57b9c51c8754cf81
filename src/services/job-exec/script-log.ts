/** What prologs and epilogs write goes line by line to this broker's log (`dmesg`): it is for admins, and no job's output. */
import {encodeJobid} from '../../formats/jobid.ts';
import {asSystemError} from '../../formats/errno.ts';
import {
	partName,
	EPILOG_TASK,
	PROLOG_TASK,
	type PartReport,
	type ProcessHost,
} from '../../ports/process-host.ts';
import type {Core} from '../core.ts';

/** So much of each of its streams is read, from the start; what is beyond is in the part's directory until that goes. */
const LOGGED_BYTES_MAX = 16 * 1024;
const LINES_MAX = 100;

/** Does nothing for a report that is not of an end. */
export function logScript(site: {readonly core: Core; readonly host: ProcessHost}, report: PartReport): void {
	if (report.kind === 'prolog-ended') void log(site, {report, name: 'prolog', task: PROLOG_TASK});
	if (report.kind === 'exited' && report.epilog !== undefined) {
		void log(site, {report, name: 'epilog', task: EPILOG_TASK});
	}
}

/** Never rejects. */
async function log(
	{core, host}: {readonly core: Core; readonly host: ProcessHost},
	{report, name, task}: {readonly report: PartReport; readonly name: string; readonly task: number},
): Promise<void> {
	for (const stream of ['stdout', 'stderr'] as const) {
		try {
			const {data} = await host.readOutput(report, task, stream, 0, LOGGED_BYTES_MAX);
			const lines = Buffer.from(data).toString('utf8').split('\n').filter(Boolean);
			const head = `${encodeJobid(report.id, 'f58plain')}: ${name}: ${stream}`;
			for (const line of lines.slice(0, LINES_MAX)) {
				core.log(stream === 'stderr' ? 'err' : 'info', `${head}: ${line}`);
			}
			const rest = lines.length - LINES_MAX;
			if (rest > 0) core.log('notice', `${head}: ${rest} more line(s) in job-${partName(report)}`);
		} catch (error) {
			core.log(
				'warning',
				`output of the ${name} of part ${partName(report)}: ${asSystemError(error).toString()}`,
			);
		}
	}
}
