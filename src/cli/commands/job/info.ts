/** `coppice job info`: a document of a job as it is kept. */
import type {CommandModule} from '../../command.ts';
import {explain, UsageError} from '../../command-error.ts';
import {textField} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {flagOption, operands} from '../../option-value.ts';

const KEYS = ['eventlog', 'jobspec', 'R', 'J', 'guest.exec.eventlog', 'guest.output'];
/** Apply what later events changed. */
const FLAG_CURRENT = 2;

export const info: CommandModule = {
	name: 'job info',
	describe: "Prints a job's eventlog, jobspec or R.",
	operands: 'ID KEY',
	example: 'coppice job info $(coppice job last) jobspec',
	builder: yargs =>
		yargs
			.option('original', {type: 'boolean', describe: 'the jobspec as it was submitted'})
			.option('base', {type: 'boolean', describe: 'the jobspec or R before later changes'}),
	handler: async (argv, context) => {
		const [text = '', key = ''] = operands(argv, ['ID', 'KEY']);
		if (!KEYS.includes(key)) throw new UsageError(`KEY: '${key}' is none of ${KEYS.join(', ')}`);
		const id = parseJobid(text);
		const isBase = flagOption(argv, 'base') || flagOption(argv, 'original');
		try {
			const request = {id, keys: [key], flags: isBase ? 0 : FLAG_CURRENT};
			const answer = await context.session().call('job-info.lookup', request, {idempotent: true});
			const value = textField(answer, key, 'job-info.lookup');
			await context.print(value.endsWith('\n') ? value : `${value}\n`);
		} catch (error) {
			throw explain(jobidText(id, context.env), error);
		}
	},
};
