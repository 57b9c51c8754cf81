/**
 * Goal: a task's program is found and started as execvp(3) does it, with the PATH of the task.
 * Method: env(1), which calls execvp, is run beside each task with the same argv, environment and directory.
 */

import {spawnSync} from 'node:child_process';
import {chmodSync, mkdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {exitOf, live, specOf, untilExited} from '../process-host-contract.ts';
import {createRealSite, eachTracking} from './real-site.ts';

function lay(dir: string): void {
	for (const name of ['first', 'second', 'here', 'first/folder']) mkdirSync(`${dir}/${name}`);
	const files: readonly [string, string, number][] = [
		['first/barred', '#!/bin/sh\necho wrong\n', 0o644],
		['second/barred', '#!/bin/sh\necho second barred "$@"\n', 0o755],
		['first/shut', '', 0o644],
		['second/late', '#!/bin/sh\necho late "$0" "$@"\n', 0o755],
		['second/folder', '#!/bin/sh\necho folder\n', 0o755],
		['second/bare', 'echo bare "$0" "$@" $SEEN\n', 0o755],
		['second/broken', '\x7fELF', 0o755],
		['second/lost', '#!/no/such/interpreter\n', 0o755],
		['here/local', '#!/bin/sh\necho local "$0"\n', 0o755],
		['plain', '', 0o644],
	];
	for (const [name, text, mode] of files) {
		writeFileSync(`${dir}/${name}`, text);
		chmodSync(`${dir}/${name}`, mode);
	}
	symlinkSync('round', `${dir}/first/round`);
	writeFileSync(`${dir}/second/round`, '#!/bin/sh\necho round\n', {mode: 0o755});
}

eachTracking('a program is looked for as execvp(3) does it', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const {dir} = site;
	lay(dir);
	const both = `${dir}/none:${dir}/plain:${dir}/first:${dir}/second`;
	// argv, and PATH.
	const cases: readonly [readonly string[], string | undefined][] = [
		[['late', 'a b', ''], both],
		[['barred', 'x'], both],
		[['shut'], both],
		[['folder'], both],
		[['round'], both],
		[['lost'], both],
		[['nowhere'], both],
		[['bare', 'one', 'two words'], both],
		[['broken'], both],
		[['local'], `${dir}/first:`],
		[['local'], `:${dir}/first`],
		[['local'], `${dir}/first::${dir}/second`],
		[['local'], `${dir}/first`],
		[['local'], ''],
		[['./local'], both],
		[['../second/bare'], both],
		[['../first'], both],
		[['echo', 'by default'], undefined],
	];
	for (const [index, [argv, path]] of cases.entries()) {
		const env = {SEEN: 'yes', ...(path === undefined ? {} : {PATH: path})};
		const beside = spawnSync('/usr/bin/env', argv as string[], {env, cwd: `${dir}/here`, encoding: 'utf8'});
		const spec = specOf(BigInt(index + 1), '', {argv, env, cwd: `${dir}/here`});
		life.host.launch(spec);
		await untilExited(site, life, spec);
		const end = exitOf(life, spec)!.tasks[0]!;
		const said = `${argv.join(' ')} with PATH=${path}: ${beside.stderr}`;
		t.is(end.waitStatus, beside.status! << 8, said);
		const {data} = await life.host.readOutput(spec, 0, 'stdout', 0, 1000);
		t.is(new TextDecoder().decode(data), beside.stdout, said);
	}
});
