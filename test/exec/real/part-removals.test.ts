/**
 * Goal: what forgotten parts left on disk goes as soon as it can, and until then nothing of them starts again. Method: a directory
 * where the names of deleted parts are to be written.
 */
import {existsSync, mkdirSync, readFileSync, rmdirSync} from 'node:fs';
import {rankDir, shellLogPath} from '../../../src/exec/part-paths.ts';
import {partName} from '../../../src/ports/process-host.ts';
import {exitOf, live, reportsFor, specOf, untilExited} from '../process-host-contract.ts';
import {createRealSite, eachTracking} from './real-site.ts';

/** More than are deleted in one turn. */
const PARTS = 40;

eachTracking(
	'forgotten parts that can not be deleted stay forgotten, and all go when they can be',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const specs = Array.from({length: PARTS}, (_, i) => specOf(BigInt(i + 1), 'exit 3'));
		for (const spec of specs) life.host.launch(spec);
		for (const spec of specs) await untilExited(site, life, spec);
		const names = `${rankDir(site.site)}/forgotten`;
		mkdirSync(names);
		for (const spec of specs) life.host.forget(spec);
		await site.until('each could not be deleted', () => {
			const log = readFileSync(shellLogPath(site.site), 'utf8');
			return specs.every(spec => log.includes(`part ${partName(spec)}: EISDIR`));
		});
		t.true(specs.every(spec => existsSync(site.dirOf(spec))));

		t.deepEqual((await life.host.inventory()).parts, []);
		const first = specs[0]!;
		life.reports.length = 0;
		life.host.launch(first);
		await untilExited(site, life, first);
		t.like(reportsFor(life, first).at(-2), {kind: 'exception', severity: 1});
		t.like(exitOf(life, first), {tasks: [{task: 0, waitStatus: null}]});

		rmdirSync(names);
		await site.until('all are deleted', () => specs.every(spec => !existsSync(site.dirOf(spec))));
		t.deepEqual(readFileSync(names, 'utf8').trim().split('\n').sort(), specs.map(partName).sort());
	},
);
