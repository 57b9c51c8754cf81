/** `coppice job taskmap`: which tasks of a job run on which of its nodes (RFC 34). */
import {SystemError} from '../../../formats/errno.ts';
import {parseJson, stringifyJson} from '../../../formats/json.ts';
import {parseJobspec} from '../../../formats/jobspec.ts';
import {ResourceSet} from '../../../formats/resource-set.ts';
import {
	encodePmiTaskmap,
	encodeRawTaskmap,
	parseTaskmap,
	tasksByNode,
	type Taskmap,
} from '../../../formats/taskmap.ts';
import {taskmapOf} from '../../../services/job-manager/job-taskmap.ts';
import type {Json} from '../../../machines/job.ts';
import type {CommandModule, ParsedArguments} from '../../command.ts';
import {CommandError, explain, UsageError} from '../../command-error.ts';
import type {CliContext} from '../../context.ts';
import {textField} from '../../fields.ts';
import {jobidText, parseJobid} from '../../jobid-text.ts';
import {integerOption, operands, textOption} from '../../option-value.ts';

interface Placed {
	readonly map: Taskmap;
	/** By node id; empty when a map was given instead of a job. */
	readonly hosts: readonly string[];
}

const FORMS = ['raw', 'pmi', 'multiline', 'hosts'];

export const taskmap: CommandModule = {
	name: 'job taskmap',
	describe: 'Prints which tasks of a job run where; of a map given as text, what it means.',
	operands: 'ID|TASKMAP',
	example: 'coppice job taskmap --to=hosts $(coppice job last)',
	builder: yargs =>
		yargs
			.option('taskids', {type: 'string', describe: 'the tasks of a node, by its position in the job'})
			.option('ntasks', {type: 'string', describe: 'the number of tasks of a node'})
			.option('nodeid', {type: 'string', describe: 'the node of a task'})
			.option('hostname', {type: 'string', describe: 'the host of a task'})
			.option('to', {type: 'string', describe: `another form: ${FORMS.join(', ')}`}),
	handler: async (argv, context) => {
		const [text = ''] = operands(argv, ['ID|TASKMAP']);
		const query = queryOf(argv);
		await context.print(`${query(await placedTasks(context, text))}\n`);
		return 0;
	},
};

/** What was asked for, as a function of the map. */
function queryOf(argv: ParsedArguments): (placed: Placed) => string {
	const given = ['taskids', 'ntasks', 'nodeid', 'hostname', 'to'].filter(name => argv[name] !== undefined);
	if (given.length > 1) throw new UsageError(`options --${given[0]} and --${given[1]} exclude each other`);
	const number = integerOption(argv, given[0] === 'to' ? 'nodeid' : (given[0] ?? 'nodeid'), {min: 0});
	switch (given[0]) {
		case 'taskids':
			return ({map}) => tasksOfNode(map, number!).toString();
		case 'ntasks':
			return ({map}) => String(tasksOfNode(map, number!).count);
		case 'nodeid':
			return ({map}) => String(nodeOf(map, number!));
		case 'hostname':
			return ({map, hosts}) => hostOf(hosts, nodeOf(map, number!));
		default:
			return encoderOf(textOption(argv, 'to'));
	}
}

function encoderOf(form: string | undefined): (placed: Placed) => string {
	switch (form) {
		case undefined:
			return ({map}) => stringifyJson(map);
		case 'raw':
			return ({map}) => encodeRawTaskmap(map);
		case 'pmi':
			return ({map}) => encodePmiTaskmap(map);
		case 'multiline':
			return ({map}) =>
				tasksByNode(map)
					.map((ids, node) => `${node}: ${ids.toString()}`)
					.join('\n');
		case 'hosts':
			return ({map, hosts}) =>
				tasksByNode(map)
					.map((ids, node) => `${hostOf(hosts, node)}: ${ids.toString()}`)
					.join('\n');
		default:
			throw new UsageError(`option --to: '${form}' is none of ${FORMS.join(', ')}`);
	}
}

async function placedTasks(context: CliContext, text: string): Promise<Placed> {
	const isMap = /^\s*[[{]|;/.test(text);
	if (isMap) return {map: parseTaskmap(/;/.test(text) ? text : parseJson(text)), hosts: []};
	const id = parseJobid(text);
	const name = jobidText(id, context.env);
	try {
		const request = {id, keys: ['jobspec', 'R'], flags: 0};
		const answer = await context.session().call('job-info.lookup', request, {idempotent: true});
		const of = (key: string) => parseJson(textField(answer, key, 'job-info.lookup')) as Json;
		const [jobspec, R] = [parseJobspec(of('jobspec')), of('R')];
		return {
			map: taskmapOf({jobspec, R}),
			hosts: [...ResourceSet.parse(R).ranks.values()].map(({host}) => host),
		};
	} catch (error) {
		throw error instanceof SystemError ? explain(name, error) : error;
	}
}

function tasksOfNode(map: Taskmap, node: number) {
	const ids = tasksByNode(map)[node];
	if (ids === undefined) throw new CommandError(`ENOENT: there is no node ${node} in the task map`);
	return ids;
}

function nodeOf(map: Taskmap, task: number): number {
	const node = tasksByNode(map).findIndex(ids => ids.has(task));
	if (node === -1) throw new CommandError(`ENOENT: there is no task ${task} in the task map`);
	return node;
}

function hostOf(hosts: readonly string[], node: number): string {
	const host = hosts[node];
	if (host === undefined) throw new CommandError(`ENOENT: the host of node ${node} is not known`);
	return host;
}
