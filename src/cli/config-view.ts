/** A broker's configuration as people write it: names and durations of the TOML file instead of the broker's own. */
import {formatFsd} from '../formats/fsd.ts';
import {isObject} from '../formats/shape.ts';

/** Where a key is not its own name without the unit. */
const NAMES: Readonly<Record<string, string>> = {
	inactiveAgeMs: 'inactive-age-limit',
	inactiveNum: 'inactive-num-limit',
	outputBytesMax: 'output-limit',
	retentionFacts: 'retention',
	snapshotFacts: 'snapshot-interval',
};
/** They hold names of the user's, which are left as they are. */
const TABLES_OF_NAMES = new Set(['queues', 'properties', 'parents']);

/** Keys without a value are left out; a limit that there is not is `inf`. */
export function configView(config: object): Record<string, unknown> {
	const view: Record<string, unknown> = {};
	for (const [key, value] of Object.entries(config)) {
		const isDuration = /Ms(Max)?$/.test(key);
		if (value === null && !isDuration) continue;
		view[configKey(key)] = isDuration ? durationText(value) : viewOf(key, value);
	}
	return view;
}

/** `exec.killTimeoutMs` as `exec.kill-timeout`. */
export function configKey(key: string): string {
	return key
		.split('.')
		.map(
			part =>
				NAMES[part] ??
				part.replace(/Ms(?=Max$|$)/, '').replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`),
		)
		.join('.');
}

function viewOf(key: string, value: unknown): unknown {
	if (!isObject(value)) return value;
	if (!TABLES_OF_NAMES.has(key)) return configView(value);
	return Object.fromEntries(
		Object.entries(value).map(([name, one]) => [name, isObject(one) ? configView(one) : one]),
	);
}

function durationText(value: unknown): unknown {
	return typeof value === 'number' ? formatFsd(value / 1000, 6) : value === null ? 'inf' : value;
}
