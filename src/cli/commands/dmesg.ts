/** `coppice dmesg`: the lines that a broker keeps of its log. */
import {parseLogLine, SEVERITY_NAMES, type LogRecord} from '../../formats/rfc5424.ts';
import {SystemError} from '../../formats/errno.ts';
import {UsageError} from '../command-error.ts';
import type {CommandModule} from '../command.ts';
import type {CliContext} from '../context.ts';
import {strftime} from '../format/strftime.ts';
import {flagOption, operands} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';

export const dmesg: CommandModule = {
	name: 'dmesg',
	describe: "Prints a broker's log.",
	example: 'coppice dmesg -H -f',
	builder: yargs =>
		yargs
			.option('follow', {alias: 'f', type: 'boolean', describe: 'go on with lines as they come'})
			.option('new', {alias: 'n', type: 'boolean', describe: 'only new lines, with --follow'})
			.option('human', {alias: 'H', type: 'boolean', describe: 'times to the line before'})
			.option('read-clear', {alias: 'c', type: 'boolean', describe: 'forget the lines when they are printed'})
			.option('clear', {alias: 'C', type: 'boolean', describe: 'forget the lines, print nothing'})
			.option('json', {type: 'boolean', describe: 'a line of JSON each'})
			.option('rank', RANK_OPTION),
	handler: async (argv, context) => {
		operands(argv, []);
		const [isCleared, isFollowed] = [flagOption(argv, 'clear'), flagOption(argv, 'follow')];
		const isReadCleared = flagOption(argv, 'read-clear');
		if ((isCleared || isReadCleared) && isFollowed)
			throw new UsageError('--follow goes neither with --clear nor with --read-clear');
		const session = context.session();
		const clear = () => session.call('log.clear', {}, {...rankOption(argv), idempotent: true});
		if (isCleared) {
			await clear();
			return;
		}
		const request = {follow: flagOption(argv, 'follow'), nobacklog: flagOption(argv, 'new')};
		const print = flagOption(argv, 'json')
			? jsonPrinter(context)
			: linePrinter(context, {isHuman: flagOption(argv, 'human')});
		for await (const line of session.stream('log.dmesg', request, rankOption(argv))) {
			if (typeof line !== 'string') throw new SystemError('EPROTO', 'log.dmesg: a line is not a string');
			await print(parseLogLine(line));
		}
		if (isReadCleared) await clear();
	},
};

function jsonPrinter(context: CliContext): (record: LogRecord) => Promise<void> {
	return ({severity, atMs, rank, appname, message}) =>
		printJson(context, {time: atMs / 1000, severity: SEVERITY_NAMES[severity], rank, name: appname, message});
}

function linePrinter(
	context: CliContext,
	{isHuman}: {readonly isHuman: boolean},
): (record: LogRecord) => Promise<void> {
	const {world} = context;
	let minute = '';
	let beforeS = 0;
	const humanTime = (seconds: number): string => {
		const now = strftime('%b%d %R', seconds, world.utcOffsetMinutes(seconds));
		const isSame = now === minute;
		const shown = isSame ? `+${Math.max(0, seconds - beforeS).toFixed(6)}`.padStart(11) : now;
		minute = now;
		beforeS = isSame ? beforeS : seconds;
		return `[${shown}]`;
	};
	return ({severity, atMs, rank, appname, message}) => {
		if (isHuman) return context.print(`${humanTime(atMs / 1000)} ${appname}[${rank}]: ${message}\n`);
		const micros = String(Math.floor((atMs * 1000) % 1e6)).padStart(6, '0');
		const time = `${strftime('%FT%T', atMs / 1000, 0)}.${micros}Z`;
		return context.print(`${time} ${appname}.${SEVERITY_NAMES[severity]}[${rank}]: ${message}\n`);
	};
}
