/** The man page of a command, in the macros of man(7). */
import type {CommandPage, PageOption} from './command-page.ts';
import {describeOption} from './help-text.ts';

/** The file's name without its section: `coppice-job-attach`. */
export function manPageName(name: string): string {
	return name === '' ? 'coppice' : `coppice-${name.replaceAll(/[ +]/g, '-')}`;
}

/** @param brief one line for apropos(1). */
export function manPage(page: CommandPage, brief: string): string {
	return document(manPageName(page.name), [
		section('NAME', `${escapeRoff(manPageName(page.name))} \\- ${escapeRoff(brief)}`),
		section(
			'SYNOPSIS',
			`\\fBcoppice ${escapeRoff(page.name)}\\fR [\\fIOPTIONS\\fR]${escapeRoff(page.operands)}`,
		),
		section('DESCRIPTION', escapeRoff(page.describe)),
		...(page.options.length === 0 ? [] : [section('OPTIONS', page.options.map(optionItem).join('\n'))]),
		section('EXIT STATUS', exitStatus(page.name)),
		section('ENVIRONMENT', ENVIRONMENT),
		section('EXAMPLES', ['.nf', ...page.examples.map(escapeRoff), '.fi'].join('\n')),
		section('SEE ALSO', '.BR coppice (1)'),
	]);
}

export interface BriefCommand {
	readonly name: string;
	readonly describe: string;
}

/** The page of `coppice` itself. */
export function overviewManPage(commands: readonly BriefCommand[]): string {
	const items = commands.map(
		({name, describe}) => `.TP\n\\fBcoppice ${escapeRoff(name)}\\fR\n${escapeRoff(describe)}`,
	);
	return document('coppice', [
		section('NAME', 'coppice \\- a resource manager that cannot lose a job'),
		section(
			'SYNOPSIS',
			'\\fBcoppice\\fR [\\fB\\-\\-uri\\fR=\\fIURI\\fR] [\\fB\\-v\\fR] \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARG\\fR...]',
		),
		section(
			'DESCRIPTION',
			'Options end at the first argument that is none; what follows belongs to the command. Every command has ' +
				'\\fB\\-\\-help\\fR, and a page of its own, such as \\fBcoppice\\-submit\\fR(1).',
		),
		section(
			'OPTIONS',
			[
				'.TP\n\\fB\\-\\-uri\\fR=\\fIURI\\fR\nthe instance, such as local:///run/coppice/local',
				'.TP\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR\nsay what happens, on stderr',
				'.TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nprint the version',
			].join('\n'),
		),
		section('COMMANDS', items.join('\n')),
		section('EXIT STATUS', exitStatus('')),
		section('ENVIRONMENT', ENVIRONMENT),
	]);
}

const ENVIRONMENT = [
	'.TP\n\\fBCOPPICE_URI\\fR\nthe instance, when \\fB\\-\\-uri\\fR does not say',
	'.TP\n\\fBCOPPICE_F58_FORCE_ASCII\\fR\nwith 1, job ids begin with f in every locale',
	'.TP\n\\fBNO_COLOR\\fR\nno colors',
].join('\n');

function exitStatus(name: string): string {
	const isJob = /^(run|submit|bulksubmit|batch|job attach|job status)$/.test(name);
	return isJob
		? 'The highest exit code of the tasks, 128 plus the number of a signal, 142 at the time limit, 1 when the job did not ' +
				'start, was canceled, or ended in an unknown way, 2 for a mistake on the command line, and 125 when the instance ' +
				'stayed out of reach. Commands that do not wait for a job exit with 0 or 1.'
		: '0 for success, 1 for a failure, 2 for a mistake on the command line.';
}

function optionItem(option: PageOption): string {
	const {flags, value} = option;
	const names = flags.map(flag => `\\fB${escapeRoff(flag)}\\fR`).join(', ');
	const isLong = flags.at(-1)!.startsWith('--');
	const shown = value === null ? names : `${names}${isLong ? '=' : ' '}\\fI${escapeRoff(value)}\\fR`;
	return `.TP\n${shown}\n${escapeRoff(describeOption(option))}`;
}

function section(title: string, body: string): string {
	return `.SH ${title}\n${body}\n`;
}

function document(name: string, sections: readonly string[]): string {
	return `.\\" Made by npm run docs; not to be edited.\n.TH ${name.toUpperCase()} 1 "" Coppice "Coppice manual"\n${sections.join('')}`;
}

/** Text as it shall be read: no escapes, no requests at the begin of a line. */
function escapeRoff(text: string): string {
	return text
		.replaceAll('\\', '\\e')
		.replaceAll('-', '\\-')
		.replaceAll('…', '...')
		.replaceAll('^', '\\(ha')
		.replaceAll('~', '\\(ti')
		.replaceAll('`', '\\(ga')
		.replace(/^([.'])/gm, '\\&$1');
}
