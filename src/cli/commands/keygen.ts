/** `coppice keygen`: the key with which the brokers of an instance know one another between hosts. */
import {resolve} from 'node:path';
import {makeInstanceKey} from '../../net/real/make-instance-key.ts';
import type {CommandModule} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {operands, textOption} from '../option-value.ts';

export const keygen: CommandModule = {
	name: 'keygen',
	describe:
		"Makes the instance's key for TLS between hosts, with mode 0600: one key, the same file on every host, kept secret. It " +
		'does not expire. A file that is there is never overwritten.',
	operands: 'FILE',
	example: 'coppice keygen /etc/coppice/key',
	builder: yargs =>
		yargs.option('instance', {
			type: 'string',
			describe: "the id of an instance that is to get a new key; default: a new instance's",
		}),
	handler: async (argv, context) => {
		const [file = ''] = operands(argv, ['FILE']);
		const instance = textOption(argv, 'instance') ?? context.world.random.uuid();
		if (!UUID.test(instance))
			throw new UsageError(`option --instance: '${instance}' is not an instance's id`);
		await makeInstanceKey(resolve(context.world.cwd, file), instance);
	},
};

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
