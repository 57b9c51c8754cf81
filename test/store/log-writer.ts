/** A process of its own for the tests: appends to the log in `argv[2]` for ever and says what passed the gate. */
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';
import {openLog} from './log-fixtures.ts';

const log = await openLog(new LevelStoreDir(process.argv[2]!));
for (let n = log.appendedSeq + 1; ; n += 1) {
	log.append([{type: 'fact', n}], {durable: true});
	await new Promise<void>(resolve => log.whenDurable(resolve));
	process.send?.(n);
}
