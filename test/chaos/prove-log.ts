/** What must hold of every log, whatever was killed or damaged before. */
import type {ExecutionContext} from 'ava';
import type {Instance} from './instance.ts';

/** The chain holds, no fact is illegal, and a replay reaches the digest of the live state. */
export async function proveLog(t: ExecutionContext, instance: Instance): Promise<void> {
	t.like(await instance.json('log', 'verify'), {ok: true, illegal: 0, problems: []});
	const replay = await instance.json<{match: boolean; digest: string; live_digest: string}>('log', 'replay');
	t.true(replay.match);
	t.is(replay.digest, replay.live_digest);
}

/** The same of a dead instance's directory: it is read from a copy. */
export async function proveDeadLog(t: ExecutionContext, instance: Instance): Promise<void> {
	t.like(await instance.json('log', 'verify', instance.statedir), {ok: true, illegal: 0, problems: []});
}
