/** From a start message to the prolog and epilog of its part. Pure. */
import {encodeJobid} from '../../formats/jobid.ts';
import type {LaunchSpec} from '../../ports/process-host.ts';
import type {StartMessage} from './messages.ts';

/** All that a prolog or epilog can rely on: nothing of the job's own environment, and nothing of the broker's. */
const SCRIPT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ScriptPlace {
	readonly uri: string;
	readonly rank: number;
	readonly names: {
		readonly name: string;
		readonly nnodes: number;
		readonly ntasks: number;
		readonly host: string;
	};
}

export function scriptsOf(
	{id, attempt, userid, perilog}: StartMessage,
	{uri, rank, names}: ScriptPlace,
): Pick<LaunchSpec, 'prolog' | 'epilog'> {
	if (perilog === undefined) return {};
	const env = {
		PATH: SCRIPT_PATH,
		COPPICE_URI: uri,
		COPPICE_RANK: String(rank),
		COPPICE_HOSTNAME: names.host,
		COPPICE_JOB_ID: encodeJobid(id, 'f58plain'),
		COPPICE_JOB_USERID: String(userid),
		COPPICE_JOB_NAME: names.name.replaceAll('\0', ''),
		COPPICE_JOB_SIZE: String(names.ntasks),
		COPPICE_JOB_NNODES: String(names.nnodes),
		COPPICE_JOB_ATTEMPT: String(attempt),
	};
	const {prolog, epilog} = perilog;
	return {
		...(prolog === undefined ? {} : {prolog: {...prolog, env: {...env, COPPICE_SCRIPT: 'prolog'}}}),
		...(epilog === undefined ? {} : {epilog: {...epilog, env: {...env, COPPICE_SCRIPT: 'epilog'}}}),
	};
}
