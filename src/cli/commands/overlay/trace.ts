/** `coppice overlay trace`: messages between a broker and its neighbours, as they pass. */
import {errnoName} from '../../../formats/errno.ts';
import {stringifyJson} from '../../../formats/json.ts';
import type {CommandModule, ParsedArguments} from '../../command.ts';
import {UsageError} from '../../command-error.ts';
import type {CliContext} from '../../context.ts';
import {numberField, objectOf, scalarText, textField} from '../../fields.ts';
import {strftime} from '../../format/strftime.ts';
import {flagOption, integerOption, textOption} from '../../option-value.ts';
import {printJson, withTextIds} from '../../print-json.ts';
import {RANK_MAX} from '../../rank-option.ts';

const TOPIC = 'overlay.trace';
const TYPES: Readonly<Record<string, number>> = {request: 1, response: 2, event: 4, control: 8};
const LETTERS: Readonly<Record<number, string>> = {0: '-', 1: '>', 2: '<', 4: 'e', 8: 'c'};

export const trace: CommandModule = {
	name: 'overlay trace',
	describe:
		'Prints messages between a broker and its neighbours as they pass, and changes of the neighbours, until interrupted. A line: time, ' +
		'tx or rx, neighbour, > request, < response, e event or c control, topic, bytes of payload.',
	operands: '[TOPIC-GLOB]',
	example: `coppice overlay trace -t request --at 1 'job-exec.*'`,
	builder: yargs =>
		yargs
			.option('full', {alias: 'f', type: 'boolean', describe: 'with payloads'})
			.option('rank', {alias: 'r', type: 'string', describe: 'only this neighbour'})
			.option('types', {alias: 't', type: 'string', describe: `of ${Object.keys(TYPES).join(',')}`})
			.option('at', {
				type: 'string',
				describe: 'the rank whose links are watched; default: the broker that is asked',
			})
			.option('json', {type: 'boolean', describe: 'a line of JSON each'}),
	handler: async (argv, context) => {
		const [glob = '*', ...others] = argv._;
		if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
		const at = integerOption(argv, 'at', {min: 0, max: RANK_MAX});
		const request = {
			typemask: typemaskOf(argv),
			topic_glob: glob,
			nodeid: integerOption(argv, 'rank', {min: 0, max: RANK_MAX}) ?? -1,
			full: flagOption(argv, 'full'),
		};
		const entries = context.session().stream(TOPIC, request, at === undefined ? {} : {nodeid: at});
		for await (const entry of entries) {
			if (flagOption(argv, 'json')) await printJson(context, objectOf(entry, TOPIC));
			else await context.print(lineOf(entry, context));
		}
	},
};

function typemaskOf(argv: ParsedArguments): number {
	const text = textOption(argv, 'types');
	const names = text === undefined ? Object.keys(TYPES) : text.split(',');
	return names.reduce((mask, name) => {
		const bit = TYPES[name];
		if (bit === undefined)
			throw new UsageError(`option --types: '${name}' is none of ${Object.keys(TYPES).join(', ')}`);
		return mask | bit;
	}, 0);
}

function lineOf(entry: unknown, {world}: CliContext): string {
	const seconds = numberField(entry, 'timestamp', TOPIC);
	const millis = String(Math.floor((seconds * 1000) % 1000)).padStart(3, '0');
	const time = `${strftime('%FT%T', seconds, world.utcOffsetMinutes(seconds))}.${millis}`;
	const letter = LETTERS[numberField(entry, 'type', TOPIC)] ?? '?';
	const errnum = numberField(entry, 'errnum', TOPIC);
	const {rank, payload, errstr} = objectOf(entry, TOPIC);
	const error = errnum === 0 ? scalarText(errstr) : `${errnoName(errnum)}: ${scalarText(errstr)}`;
	const head = `${time} ${textField(entry, 'prefix', TOPIC)} ${scalarText(rank)} ${letter}`;
	const size = numberField(entry, 'payload_size', TOPIC);
	const shown = payload === null || payload === undefined ? '' : `\n  ${stringifyJson(withTextIds(payload))}`;
	return `${head} ${textField(entry, 'topic', TOPIC)} [${size}]${error === '' ? '' : ` ${error}`}${shown}\n`;
}
