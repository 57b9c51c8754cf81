/** What a daemon has written down of its brokers, for its successor and for whoever waits for a start. Damage reads as nothing. */
import {brokersRecordPath, type BrokersRecord} from '../../broker/daemon-protocol.ts';
import {readSmallFile} from '../../broker/real/small-file.ts';

/** Null: there is none. @throws {SystemError} when it can't be read. */
export async function readBrokersRecord(rundir: string): Promise<BrokersRecord | null> {
	const text = await readSmallFile(brokersRecordPath(rundir));
	return text === null ? null : parseBrokersRecord(text);
}

function parseBrokersRecord(text: string): BrokersRecord | null {
	try {
		const value = JSON.parse(text) as Partial<BrokersRecord> | null;
		return Array.isArray(value?.brokers) ? (value as BrokersRecord) : null;
	} catch (error) {
		if (error instanceof SyntaxError) return null;
		throw error;
	}
}
