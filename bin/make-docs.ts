/** `npm run docs`: writes the pages that are made from code. */
import {writeFileSync} from 'node:fs';
import {describeMachines} from '../src/machines/describe-machine.ts';

writeFileSync('docs/machines.md', describeMachines());
