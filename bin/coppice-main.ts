/** The process of a command: what bin/coppice runs. */
import {main} from '../src/cli/main.ts';

void main(process.argv.slice(2), {loadRepl: () => import('../src/repl/repl.ts')});
