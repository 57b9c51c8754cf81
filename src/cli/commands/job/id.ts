/** `coppice job id`: a job id in another form. Asks no broker. */
import {encodeJobid, JOBID_FORMS, type JobIdForm} from '../../../formats/jobid.ts';
import type {CommandModule} from '../../command.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {textOption} from '../../option-value.ts';

export const id: CommandModule = {
	name: 'job id',
	describe: 'Converts job ids, those that are named or those on standard input, one a line.',
	operands: '[ID…]',
	example: 'coppice job id --to=hex f2xC4BKSq4J',
	builder: yargs =>
		yargs.option('to', {
			choices: JOBID_FORMS,
			default: 'dec',
			describe: 'the form; f58 as the locale shows it',
		}),
	handler: async (argv, context) => {
		const form = textOption(argv, 'to') as JobIdForm;
		const texts =
			argv._.length > 0 ? argv._ : (await context.world.readInput()).split(/\s+/).filter(text => text !== '');
		for (const text of texts) {
			const value = parseJobid(text);
			await context.print(`${form === 'f58' ? jobidText(value, context.env) : encodeJobid(value, form)}\n`);
		}
	},
};
