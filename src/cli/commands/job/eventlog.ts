/** `coppice job eventlog`: a job's events, those so far or as they happen. */
import {EVENT_STYLES, eventFormatter, type EventStyle} from '../../../formats/event-text.ts';
import {encodeEvent, parseEventlog, type EventlogEvent} from '../../../formats/eventlog.ts';
import {followEvents} from '../../attach/follow-events.ts';
import type {CommandModule, ParsedArguments} from '../../command.ts';
import {explain} from '../../command-error.ts';
import type {CliContext} from '../../context.ts';
import {eventlogPath} from '../../eventlog-path.ts';
import {textField} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {flagOption, operands, textOption} from '../../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';

export const eventlog: CommandModule = {
	name: 'job eventlog',
	describe: "Prints a job's events.",
	operands: 'ID',
	example: 'coppice job eventlog -H -F $(coppice job last)',
	builder: yargs =>
		yargs
			.option('format', {
				alias: 'f',
				choices: ['text', 'json'],
				default: 'text',
				describe: 'how to print an event',
			})
			.option('time-format', {
				alias: 'T',
				choices: EVENT_STYLES,
				default: 'raw',
				describe: 'how to print its time',
			})
			.option('human', {alias: 'H', type: 'boolean', describe: 'as --time-format=human'})
			.option('follow', {alias: 'F', type: 'boolean', describe: 'go on until no event can follow'})
			.option('path', {alias: 'p', type: 'string', default: 'eventlog', describe: 'eventlog, exec or output'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const [text = ''] = operands(argv, ['ID']);
		const id = parseJobid(text);
		const path = eventlogPath(textOption(argv, 'path')!);
		const print = eventPrinter(argv, context);
		try {
			if (flagOption(argv, 'follow')) {
				for await (const event of followEvents(context.session(patienceOf(argv)), {id, path}))
					await print(event);
				return;
			}
			const request = {id, keys: [path], flags: 0};
			const answer = await context.session().call('job-info.lookup', request, {idempotent: true});
			for (const event of parseEventlog(textField(answer, path, 'job-info.lookup'))) await print(event);
		} catch (error) {
			throw explain(jobidText(id, context.env), error);
		}
	},
};

/** `--format`, `--time-format` and `--human`. */
export function eventPrinter(
	argv: ParsedArguments,
	context: CliContext,
): (event: EventlogEvent) => Promise<void> {
	if (textOption(argv, 'format') === 'json') return event => context.print(encodeEvent(event));
	const style = flagOption(argv, 'human') ? 'human' : (textOption(argv, 'time-format') as EventStyle);
	const format = eventFormatter({style, utcOffsetMinutes: epochS => context.world.utcOffsetMinutes(epochS)});
	return event => context.print(`${format(event)}\n`);
}
