/**
 * `npm run bundle`, a part of the build: makes of the compiled files one file for each program, `dist/bundle/NAME.cjs`, with
 * V8's code cache beside it. A broker starts in half the time from it, and a client command too. Nothing else needs it:
 * without a bundle, or with one that is older than the compiled files, bin/coppice runs these.
 *
 * `NAME.cjs` is a small loader; the program is `NAME.code.js`, with its source map. The cache is accepted by the very V8 that
 * made it only, with the same flags; another one compiles as it always does.
 */
import {spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {V8_FLAGS} from '../dist/src/ports/real/installation.js';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'dist/bundle');

const PROGRAMS = {
	broker: 'dist/src/broker/real/broker-main.js',
	daemon: 'dist/src/cli/real/daemon-main.js',
	shell: 'dist/src/exec/real/shell-main.js',
	coppice: 'dist/bin/coppice-main.js',
};

/** A command that is typical, and fails for want of a broker. Processes that serve for long are not worth it. */
const SAMPLES = {coppice: [`--uri=local://${OUT}/none`, 'run', '--reconnect-timeout=0.01', 'true']};

/**
 * Finds its parts beside itself. With `--make-cache` it only compiles; with arguments after that it runs with them, so that the cache
 * has what was compiled on the way, too.
 */
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
if (process.argv[2] === '--check-cache') process.exit(script.cachedDataRejected === false ? 0 : 1);
const makesCache = process.argv[2] === '--make-cache';
const writeCache = () => writeFileSync(__dirname + '/${name}.cache', script.createCachedData());
if (makesCache && process.argv.splice(2, 1) && process.argv.length > 2) process.once('exit', writeCache);
else if (makesCache) writeCache();
if (!makesCache || process.argv.length > 2) script.runInThisContext()(exports, require, module, path, __dirname);
`;

/**
 * yargs measures text with string-width, which compiles regular expressions for every emoji as it loads: a fifth of what a short command
 * costs. Here it is loaded for the first text that is not plain ASCII.
 */
const lazyStringWidth = {
	name: 'lazy-string-width',
	setup(build) {
		const own = 'lazy-string-width';
		build.onResolve({filter: /^string-width$/}, async ({resolveDir, kind, pluginData}) => {
			if (pluginData === own) return undefined;
			const {path, errors} = await build.resolve('string-width', {resolveDir, kind, pluginData: own});
			return errors.length > 0 ? {errors} : {path, namespace: own};
		});
		build.onLoad({filter: /.*/, namespace: own}, ({path}) => ({
			contents: `export default (text, options) =>
				typeof text === 'string' && /^[ -~]*$/.test(text) ? text.length : require(${JSON.stringify(path)}).default(text, options);`,
			resolveDir: ROOT,
		}));
	},
};

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
			plugins: [lazyStringWidth],
			banner: {js: "const __url = require('node:url').pathToFileURL(__filename).href;"},
		});
		writeFileSync(join(OUT, `${name}.cjs`), loader(name));
		// V8 takes a cache only with the flags that it was made with: those by which programCommand starts it.
		const args = [...(name === 'coppice' ? [] : V8_FLAGS[name]), join(OUT, `${name}.cjs`)];
		spawnSync(process.execPath, [...args, '--make-cache', ...(SAMPLES[name] ?? [])], {timeout: 30_000});
		if (!existsSync(join(OUT, `${name}.cache`))) throw new Error(`no cache was made: node ${args.join(' ')}`);
		const {status} = spawnSync(process.execPath, [...args, '--check-cache'], {timeout: 30_000});
		if (status !== 0) throw new Error(`its cache is refused: node ${args.join(' ')}`);
	}
	writeFileSync(join(OUT, 'stamp'), '');
}
