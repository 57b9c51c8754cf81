/** Reads the files that `--conf` names. */
import {readFile} from 'node:fs/promises';
import {isAbsolute, resolve} from 'node:path';
import {asSystemError} from '../../formats/errno.ts';
import {parseConfig, type BrokerConfig} from '../config.ts';
import {isConfigArgument, type ConfigInput} from '../config-source.ts';

/**
 * The configuration that the values of `--conf` make together, in their order.
 *
 * @throws {SystemError} EINVAL as `parseConfig` does; ENOENT, EACCES, EISDIR for a file that can't be read.
 */
export async function readConfig(confs: readonly string[]): Promise<BrokerConfig> {
	const inputs = confs.map(async (conf): Promise<ConfigInput> => {
		if (isConfigArgument(conf)) return {kind: 'argument', text: conf};
		try {
			return {kind: 'file', path: conf, text: await readFile(conf, 'utf8')};
		} catch (error) {
			throw asSystemError(error, 'EIO', `--conf ${conf}`);
		}
	});
	return parseConfig(await Promise.all(inputs));
}

/** A value of `--conf` that means the same from any working directory. */
export function absoluteConf(conf: string, cwd: string): string {
	return isConfigArgument(conf) || isAbsolute(conf) ? conf : resolve(cwd, conf);
}
