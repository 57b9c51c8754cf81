/** `coppice resource dead`: the word of an admin that nodes that are out of contact will not come back as they were. */
import type {CommandModule} from '../../command.ts';
import {numberField} from '../../fields.ts';
import {operands} from '../../option-value.ts';

export const dead: CommandModule = {
	name: 'resource dead',
	describe:
		'Declares nodes dead that are out of contact: what ran there is over, and its jobs fail, or run again ' +
		'if they were submitted with --requeue. What turns up there later is killed.',
	operands: 'TARGETS [REASON…]',
	example: 'coppice resource dead node[3,7] power supply',
	builder: yargs => yargs,
	handler: async (argv, context) => {
		const [targets = '', ...reason] = operands(argv, ['TARGETS…']);
		const payload = {targets, reason: reason.join(' ')};
		const topic = 'job-manager.node-dead';
		const answer = await context.session().call(topic, payload, {idempotent: true});
		await context.print(`${numberField(answer, 'count', topic)} part(s) of jobs are over\n`);
	},
};
