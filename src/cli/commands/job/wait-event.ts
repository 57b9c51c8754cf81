/** `coppice job wait-event`: waits until a job's eventlog has an event, and prints it. */
import {EVENT_STYLES} from '../../../formats/event-text.ts';
import type {EventlogEvent} from '../../../formats/eventlog.ts';
import {stringifyJson} from '../../../formats/json.ts';
import {followEvents} from '../../attach/follow-events.ts';
import type {CommandModule} from '../../command.ts';
import {CommandError, explain, UsageError} from '../../command-error.ts';
import {eventlogPath} from '../../eventlog-path.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {durationOption, flagOption, integerOption, operands, textOption} from '../../option-value.ts';
import {patienceOf, RECONNECT_OPTION} from '../../reconnect-option.ts';
import {deferred} from '../../deferred.ts';
import {eventPrinter} from './eventlog.ts';

export const waitEvent: CommandModule = {
	name: 'job wait-event',
	describe: "Waits until a job's eventlog has an event, and prints it.",
	operands: 'ID EVENT',
	example: 'coppice job wait-event -t 30s $(coppice job last) finish',
	builder: yargs =>
		yargs
			.option('timeout', {alias: 't', type: 'string', describe: 'give up after this duration'})
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
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'print the events before it, too'})
			.option('quiet', {alias: 'q', type: 'boolean', describe: 'print nothing'})
			.option('match-context', {
				alias: 'm',
				type: 'string',
				describe: 'only with this KEY=VALUE in its context',
			})
			.option('count', {alias: 'c', type: 'string', describe: 'the COUNT-th such event; default 1'})
			.option('path', {alias: 'p', type: 'string', default: 'eventlog', describe: 'eventlog, exec or output'})
			.option('reconnect-timeout', RECONNECT_OPTION),
	handler: async (argv, context) => {
		const [text = '', name = ''] = operands(argv, ['ID', 'EVENT']);
		const id = parseJobid(text);
		const path = eventlogPath(textOption(argv, 'path')!);
		const timeoutS = durationOption(argv, 'timeout');
		const count = integerOption(argv, 'count', {min: 1}) ?? 1;
		const matches = contextMatcher(textOption(argv, 'match-context'));
		const print = flagOption(argv, 'quiet') ? async () => {} : eventPrinter(argv, context);
		const search = async (): Promise<boolean> => {
			let found = 0;
			for await (const event of followEvents(context.session(patienceOf(argv)), {id, path})) {
				const isHit = event.name === name && matches(event);
				if (isHit) found += 1;
				if ((isHit && found === count) || flagOption(argv, 'verbose')) await print(event);
				if (found === count) return true;
			}
			return false;
		};
		const expired = deferred<'expired'>();
		const timer =
			timeoutS === undefined || timeoutS === Infinity
				? null
				: context.clock.setTimer(timeoutS * 1000, () => expired.resolve('expired'));
		const searching = search();
		searching.catch(() => undefined); // It loses the race when the time is up.
		try {
			const result = await Promise.race([searching, expired.promise]);
			if (result === true) return;
			const who = jobidText(id, context.env);
			if (result === 'expired') throw new CommandError(`${who}: ETIMEDOUT: timeout on event '${name}'`);
			throw new CommandError(`${who}: ENODATA: event '${name}' was never received`);
		} catch (error) {
			throw explain(jobidText(id, context.env), error);
		} finally {
			timer?.cancel();
		}
	},
};

function contextMatcher(assignment: string | undefined): (event: EventlogEvent) => boolean {
	if (assignment === undefined) return () => true;
	const equals = assignment.indexOf('=');
	if (equals <= 0) throw new UsageError(`option --match-context: '${assignment}' is not KEY=VALUE`);
	const key = assignment.slice(0, equals);
	const value = assignment.slice(equals + 1);
	return ({context}) => {
		const member = context?.[key];
		if (member === undefined) return false;
		// A text may be given with or without its quotes; numbers and booleans as in JSON.
		return stringifyJson(member) === value || member === value;
	};
}
