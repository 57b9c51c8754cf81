/** `npm run docs`: writes the pages that are made from code. */
import {mkdirSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {makeManPages} from '../src/cli/make-man-pages.ts';
import {describeMachines} from '../src/machines/describe-machine.ts';

writeFileSync('docs/machines.md', describeMachines());

const pages = await makeManPages();
mkdirSync('docs/man', {recursive: true});
for (const name of readdirSync('docs/man')) if (!pages.has(name)) rmSync(`docs/man/${name}`);
for (const [name, text] of pages) writeFileSync(`docs/man/${name}`, text);
