/**
 * The jobs that one command line makes: a copy for each id of `--cc` or `--bcc`, with `{cc}` in options and command replaced.
 * Invariant: every one is checked before the first is sent.
 */
import {Idset} from '../../formats/idset.ts';
import {SystemError} from '../../formats/errno.ts';
import type {ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {textOption} from '../option-value.ts';
import {prepareSubmission} from './prepare-submission.ts';
import type {Copy, Submission} from './submission.ts';

/** The most jobs of one command line; more are a mistake rather than a wish. */
export const BULK_JOBS_MAX = 1_000_000;

export interface BulkJob {
	readonly submission: Submission;
	readonly copy: Copy | null;
	/** Of the input that it is for. Absent: it is for none. */
	readonly sequence?: number;
	/** `--log` and `--log-stderr`. */
	readonly logPath?: string;
	readonly errorLogPath?: string;
}

/** The jobs of one command line. @throws {UsageError} naming the option. */
export async function bulkJobsOf(argv: ParsedArguments, context: CliContext): Promise<BulkJob[]> {
	const copies = copiesOf(argv) ?? [null];
	const perCopy = new Set(Object.keys(argv).filter(name => name !== '_' && hasCopyMark(argv[name])));
	const isShared = [...perCopy].every(name => LOG_OPTIONS.has(name));
	const shared = isShared ? await prepareSubmission(argv, context) : null;
	const jobs: BulkJob[] = [];
	for (const copy of copies) {
		const own = copy === null || perCopy.size === 0 ? argv : withCopy(argv, String(copy.cc));
		const logPath = textOption(own, 'log');
		const errorLogPath = textOption(own, 'log-stderr');
		jobs.push({
			submission: shared ?? (await prepareSubmission(own, context)),
			copy,
			...(logPath === undefined ? {} : {logPath}),
			...(errorLogPath === undefined ? {} : {errorLogPath}),
		});
	}
	return jobs;
}

/** Applies `change` to every text among the options and operands. */
export function mapTexts(argv: ParsedArguments, change: (text: string) => string): ParsedArguments {
	const mapped = (value: unknown): unknown => {
		if (typeof value === 'string') return change(value);
		return Array.isArray(value) ? value.map(mapped) : value;
	};
	return Object.fromEntries(
		Object.entries(argv).map(([name, value]) => [name, mapped(value)]),
	) as unknown as ParsedArguments;
}

const COPY_MARK = '{cc}';
/** They make no difference to the jobspec. */
const LOG_OPTIONS = new Set(['log', 'log-stderr', 'logStderr']);

function hasCopyMark(value: unknown): boolean {
	return Array.isArray(value)
		? value.some(hasCopyMark)
		: typeof value === 'string' && value.includes(COPY_MARK);
}

function withCopy(argv: ParsedArguments, cc: string): ParsedArguments {
	return mapTexts(argv, text => text.replaceAll(COPY_MARK, cc));
}

function copiesOf(argv: ParsedArguments): Copy[] | null {
	const cc = textOption(argv, 'cc');
	const bcc = textOption(argv, 'bcc');
	if (cc !== undefined && bcc !== undefined)
		throw new UsageError('options --cc and --bcc exclude each other');
	const text = cc ?? bcc;
	if (text === undefined) return null;
	try {
		const ids = Idset.parse(text);
		if (ids.isEmpty) throw new SystemError('EINVAL', 'the idset is empty');
		if (ids.count > BULK_JOBS_MAX)
			throw new SystemError('E2BIG', `${ids.count} copies, more than ${BULK_JOBS_MAX}`);
		return [...ids].map(id => ({cc: id, isVisible: cc !== undefined}));
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new UsageError(`option --${cc === undefined ? 'bcc' : 'cc'}: ${error.message}`);
	}
}
