/** Keys for the tests of this folder. */
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {readInstanceKey, type InstanceKey} from '../../../src/net/real/instance-key.ts';
import {makeInstanceKey} from '../../../src/net/real/make-instance-key.ts';

export const INSTANCE = '7d444840-9dc0-11d1-b245-5ffdce74fad2';

/** A new key, whose file is gone again. */
export async function newKey(instance = INSTANCE): Promise<InstanceKey> {
	const directory = await mkdtemp(join(tmpdir(), 'coppice-key-'));
	try {
		const path = join(directory, 'key');
		await makeInstanceKey(path, instance);
		return await readInstanceKey(path);
	} finally {
		await rm(directory, {recursive: true});
	}
}
