/** What a batch job was given, as the configuration of the instance for its script. */
import {ResourceSet} from '../formats/resource-set.ts';
import type {JobId} from '../formats/jobid.ts';
import type {CliContext} from './context.ts';
import {textField} from './fields.ts';
import {RECONNECT_TIMEOUT_MS} from './broker-session.ts';

const TOPIC = 'job-info.lookup';

/** Values of `--conf`. The broker is asked, and waited for where it is being restarted. */
export async function batchResources(context: CliContext, id: JobId): Promise<readonly string[]> {
	const session = context.session({reconnectTimeoutMs: RECONNECT_TIMEOUT_MS, waitForSocket: true});
	const answer = await session.call(TOPIC, {id, keys: ['R'], flags: 0}, {idempotent: true});
	session.close();
	const {coreCount, gpuCount} = ResourceSet.parse(JSON.parse(textField(answer, 'R', TOPIC)));
	return [`resource.cores=${coreCount}`, ...(gpuCount > 0 ? [`resource.gpus=${gpuCount}`] : [])];
}
