/** `--dependency` and `--begin-time`: what a job waits for before it stands in the queue. */
import type {Argv} from 'yargs';
import {parseDependency, type Dependency} from '../../formats/dependency.ts';
import {SystemError} from '../../formats/errno.ts';
import {parseMoment} from '../../formats/moment.ts';
import type {ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {textOption, textOptions} from '../option-value.ts';

export function withDependencyOptions(yargs: Argv): Argv {
	return yargs
		.option('dependency', {
			type: 'string',
			array: true,
			describe:
				'wait for afterok:ID, afternotok:ID, afterany:ID, afterstart:ID, afterexcept:ID, singleton or begin-time:WHEN; several are all waited for',
		})
		.option('begin-time', {
			type: 'string',
			describe: 'not before: +1h, "2026-11-23 10:00", "tomorrow 10:00", epoch seconds',
		});
}

/**
 * @param nowS epoch seconds, from which relative times count
 * @throws {UsageError} naming the option.
 */
export function readDependencies(argv: ParsedArguments, nowS: number): readonly Dependency[] {
	const begin = textOption(argv, 'begin-time');
	return [
		...textOptions(argv, 'dependency').map(text => readDependency(text, nowS)),
		...(begin === undefined ? [] : [beginTime(begin, nowS, '--begin-time')]),
	];
}

function readDependency(text: string, nowS: number): Dependency {
	const dependency = named('--dependency', () => parseDependency(text));
	return dependency.scheme === 'begin-time' ? beginTime(dependency.value, nowS, '--dependency') : dependency;
}

function beginTime(text: string, nowS: number, option: string): Dependency {
	const seconds = named(option, () => parseMoment(text, nowS));
	return {scheme: 'begin-time', value: String(Math.max(0, Math.round(seconds * 1000) / 1000))};
}

function named<T>(option: string, read: () => T): T {
	try {
		return read();
	} catch (error) {
		if (error instanceof SystemError) throw new UsageError(`option ${option}: ${error.message}`);
		throw error;
	}
}
