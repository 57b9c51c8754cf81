/** `coppice startlog`: when the instance was started and stopped, crashes marked, panics with their reason. */
import type {CommandModule} from '../command.ts';
import type {CliContext} from '../context.ts';
import {listField, numberField, objectOf} from '../fields.ts';
import {briefDuration} from '../format/brief-duration.ts';
import {strftime} from '../format/strftime.ts';
import {flagOption, operands} from '../option-value.ts';
import {printJson} from '../print-json.ts';
import {RANK_OPTION, rankOption} from '../rank-option.ts';

const TOPIC = 'broker.startlog';

export const startlog: CommandModule = {
	name: 'startlog',
	describe: "Prints the instance's starts and ends, crashes marked.",
	example: 'coppice startlog',
	builder: yargs =>
		yargs
			.option('check', {type: 'boolean', describe: 'exit 1 when the start before this one ended in a crash'})
			.option('quiet', {alias: 'q', type: 'boolean', describe: 'with --check: print nothing'})
			.option('rank', {...RANK_OPTION, describe: 'of this rank; default: the root, and so the instance'})
			.option('json', {type: 'boolean', describe: 'one document: {"periods": […]}'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const answer = await context
			.session()
			.call(TOPIC, {}, {nodeid: 0, ...rankOption(argv), idempotent: true});
		const periods = listField(answer, 'periods', TOPIC).map(period => objectOf(period, TOPIC));
		const crashed = periods.at(-2)?.['crashed'] === true;
		if (!flagOption(argv, 'quiet')) {
			if (flagOption(argv, 'json')) await printJson(context, {periods});
			else for (const period of periods) await context.print(`${lineOf(period, context)}\n`);
		}
		return flagOption(argv, 'check') && crashed ? 1 : 0;
	},
};

function lineOf(period: object, {world}: CliContext): string {
	const minute = (seconds: number) => strftime('%F %R', seconds, world.utcOffsetMinutes(seconds));
	const {end, crashed, panic} = period as {end?: unknown; crashed?: unknown; panic?: unknown};
	const start = numberField(period, 'start', TOPIC);
	if (typeof end === 'number') return `${minute(start)} - ${minute(end)} (${briefDuration(end - start)})`;
	if (crashed === true) {
		const reason = typeof panic === 'string' ? panic.split('\n', 1)[0] : '';
		return `${minute(start)} - crashed${reason === '' ? '' : `: ${reason}`}`;
	}
	return `${minute(start)} - running (${briefDuration(world.clock.epochMs() / 1000 - start)})`;
}
