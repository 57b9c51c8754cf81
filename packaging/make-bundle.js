/**
 * `npm run bundle`, a part of the build: makes of the compiled files one file for each program, `dist/bundle/NAME.cjs`, with
 * V8's code cache beside it. A broker starts in half the time from it, and a client command too. Nothing else needs it:
 * without a bundle, or with one that is older than the compiled files, bin/coppice runs these.
 *
 * `NAME.cjs` is a small loader; the program is `NAME.code.js`, with its source map. The cache is accepted by the very V8 that
 * made it only; another one compiles as it always does.
 */
import {execFileSync} from 'node:child_process';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'dist/bundle');

const PROGRAMS = {
	broker: 'dist/src/broker/real/broker-main.js',
	daemon: 'dist/src/cli/real/daemon-main.js',
	shell: 'dist/src/exec/real/shell-main.js',
	coppice: 'dist/bin/coppice-main.js',
};

/** Finds its parts beside itself; with `--make-cache` it compiles, and runs nothing. */
const loader = name => `'use strict';
const {readFileSync, writeFileSync} = require('node:fs');
const {Script} = require('node:vm');
const path = __dirname + '/${name}.code.js';
let cachedData;
try {
	cachedData = readFileSync(__dirname + '/${name}.cache');
} catch {}
const source = '(function (exports, require, module, __filename, __dirname) {' + readFileSync(path, 'latin1') + '\\n})';
const script = new Script(source, {filename: path, cachedData});
if (process.argv[2] === '--make-cache') writeFileSync(__dirname + '/${name}.cache', script.createCachedData());
else script.runInThisContext()(exports, require, module, path, __dirname);
`;

rmSync(OUT, {recursive: true, force: true});
const esbuild = await import('esbuild').catch(error => {
	if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error;
	return null;
});
if (esbuild === null) {
	console.error('esbuild is not installed: no bundle is made, the compiled files are run as they are');
} else {
	mkdirSync(OUT, {recursive: true});
	for (const [name, entry] of Object.entries(PROGRAMS)) {
		await esbuild.build({
			entryPoints: [join(ROOT, entry)],
			outfile: join(OUT, `${name}.code.js`),
			bundle: true,
			platform: 'node',
			target: 'node20',
			format: 'cjs',
			charset: 'ascii', // One byte a character in memory.
			sourcemap: 'linked',
			sourcesContent: false,
			legalComments: 'none',
			logLevel: 'warning',
			// The one loads its addon by a path relative to itself; the other is large, and only keygen needs it.
			external: ['classic-level', '@peculiar/x509'],
			supported: {'dynamic-import': false}, // A script has no way to import; require does as well.
			define: {COPPICE_BUNDLE: 'true', 'import.meta.url': '__url'},
			banner: {js: "const __url = require('node:url').pathToFileURL(__filename).href;"},
		});
		writeFileSync(join(OUT, `${name}.cjs`), loader(name));
		execFileSync(process.execPath, [join(OUT, `${name}.cjs`), '--make-cache']);
	}
	writeFileSync(join(OUT, 'stamp'), '');
}
