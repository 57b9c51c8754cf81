/** `coppice job attach`: shows a job's output from its beginning, waits for its end, exits as it does. */
import {SystemError} from '../../../formats/errno.ts';
import {Idset} from '../../../formats/idset.ts';
import type {JobId} from '../../../formats/jobid.ts';
import type {Jobspec} from '../../../formats/jobspec.ts';
import {parseJson} from '../../../formats/json.ts';
import {attachJob} from '../../attach/attach-job.ts';
import {inputFor} from '../../attach/input-for.ts';
import type {BrokerSession} from '../../broker-session.ts';
import {explain, UsageError} from '../../command-error.ts';
import type {CommandModule} from '../../command.ts';
import type {CliContext} from '../../context.ts';
import {textField} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {flagOption, operands, textOption} from '../../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';

const LOOKUP = 'job-info.lookup';

export const attach: CommandModule = {
	name: 'job attach',
	describe:
		'Shows the output of a job from its beginning, waits for its end, and exits as it does. Standard input goes to its ' +
		'tasks, if they take it (run, or submit --input=all) and it is not /dev/null. Ctrl-] leaves a job that has this ' +
		'terminal (-o pty.interactive).',
	operands: 'ID',
	example: 'coppice job attach -l $(coppice job last)',
	builder: yargs =>
		yargs
			.option('label-io', {
				alias: 'l',
				type: 'boolean',
				describe: 'put the rank of its task before each line',
			})
			.option('show-events', {alias: 'E', type: 'boolean', describe: "show the job's events on stderr"})
			.option('read-only', {
				type: 'boolean',
				describe: 'ctrl-C ends this command and leaves the job alone, and its stdin is not touched',
			})
			.option('stdin-ranks', {
				alias: 'i',
				type: 'string',
				describe: 'the tasks that get standard input, an idset; default: all that take it',
			})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'say what happens, on stderr'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const [text = ''] = operands(argv, ['ID']);
		const session = context.session(patienceOf(argv));
		const id = parseJobid(text);
		const isReadOnly = flagOption(argv, 'read-only');
		const tasks = readTasks(textOption(argv, 'stdin-ranks') ?? 'all');
		const input =
			isReadOnly || context.world.stdin.kind === 'none'
				? undefined
				: inputFor(await fetchJobspec(session, id, context), tasks);
		return attachJob(context, {
			session,
			id,
			...(input === undefined ? {} : {input}),
			isLabeled: flagOption(argv, 'label-io'),
			showsEvents: flagOption(argv, 'show-events'),
			isReadOnly,
		});
	},
};

async function fetchJobspec(session: BrokerSession, id: JobId, {env}: CliContext): Promise<Jobspec> {
	try {
		const found = await session.call(LOOKUP, {id, keys: ['jobspec'], flags: 0}, {idempotent: true});
		return parseJson(textField(found, 'jobspec', LOOKUP)) as unknown as Jobspec;
	} catch (error) {
		const isUnknown = error instanceof SystemError && error.code === 'ENOENT';
		throw isUnknown ? explain(`failed to attach to ${jobidText(id, env)}`, error) : error;
	}
}

/** Null: all. @throws {UsageError} */
function readTasks(text: string): Idset | null {
	try {
		return text === 'all' ? null : Idset.parse(text);
	} catch (error) {
		throw new UsageError(`option --stdin-ranks: ${(error as Error).message}`);
	}
}
