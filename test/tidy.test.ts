/**
 * Goal: the layout of DESIGN section 5 and the rules of the house hold in every file. Method: every source is parsed by the
 * TypeScript compiler; a fault names file, line, and what to write instead.
 */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join, normalize} from 'node:path';
import test from 'ava';
import ts from 'typescript';

/** Lower folders know nothing of higher ones; those of one line nothing of each other. */
const LAYERS: readonly (readonly string[])[] = [
	['formats', 'ports'],
	['machines'],
	['store', 'net', 'exec'],
	['services'],
	['broker'],
	['cli', 'repl', 'sim'],
	['bin'],
];

const PACKAGES = new Set(['level', '@msgpack/msgpack', '@peculiar/x509', 'xstate', 'smol-toml', 'yargs']);

/** What code outside the real ports may not say, and what to say instead. */
const BANNED: Readonly<Record<string, string>> = {
	'Date.now': 'clock.epochMs() of the Clock port',
	'new Date()': 'clock.epochMs() of the Clock port',
	'performance.now': 'clock.monotonicMs() of the Clock port',
	'process.hrtime': 'clock.monotonicMs() of the Clock port',
	setTimeout: 'clock.setTimer() of the Clock port',
	setInterval: 'clock.setTimer() of the Clock port, armed again each time',
	setImmediate: 'clock.defer() of the Clock port',
	'Math.random': 'random.float() of the Random port',
	randomBytes: 'random.bytes() of the Random port',
	randomUUID: 'random.uuid() of the Random port',
	randomInt: 'random.float() of the Random port',
	'node:net': 'the Transport port (real: src/net/real/)',
	'node:tls': 'the Transport port (real: src/net/real/)',
	'node:dgram': 'the Transport port (real: src/net/real/)',
	'node:http': 'the Transport port (real: src/net/real/)',
	'node:fs': 'the Store port, or a file of a folder named real/',
	'node:fs/promises': 'the Store port, or a file of a folder named real/',
	'node:child_process': 'the ProcessHost port (real: src/exec/real/)',
	'node:timers': 'the Clock port',
	'node:timers/promises': 'the Clock port',
	'node:worker_threads': 'no threads',
};

/** The simulated clock drains promises by it; no time passes. */
const EXCUSED: Readonly<Record<string, readonly string[]>> = {'src/sim/clock.ts': ['setImmediate']};

const FUNCTION_LINES_MAX = 70;
/** Functions that were longer when the rule came: they may shrink, not grow. */
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};

const FILE_LINES_MAX = 500;

/** Run by name, imported by nobody. */
const ENTRY_POINTS = new Set([
	'src/cli/main.ts',
	'src/broker/real/broker-main.ts',
	'src/cli/real/daemon-main.ts',
	'src/exec/real/shell-main.ts',
	'src/repl/repl.ts', // By bin/coppice, when the REPL is used.
]);

interface Source {
	readonly path: string;
	readonly text: string;
	readonly tree: ts.SourceFile;
	readonly imports: readonly {readonly name: string; readonly line: number}[];
}

const everything = ['src', 'bin', 'test']
	.flatMap(folder => filesIn(folder, ['.ts']))
	.map(path => parse(path));
const product = everything.filter(({path}) => !path.startsWith('test/'));
const texts = [...filesIn('docs', ['.md']), ...filesIn('libexec', [''])].map(path => ({
	path,
	text: read(path),
}));

test('imports go down the layers, and not sideways', t => {
	const faults = product.flatMap(source => {
		const from = layerOf(source.path);
		return relativeImports(source).flatMap(({to, line}) => {
			const target = layerOf(to);
			if (target.folder === from.folder || target.level < from.level) return [];
			return [`${source.path}:${line} imports ${to}: ${from.folder} may not know ${target.folder}`];
		});
	});
	t.deepEqual(faults, []);
});

test('no import leads from the product to its tests', t => {
	const faults = product.flatMap(source =>
		relativeImports(source)
			.filter(({to}) => to.startsWith('test/'))
			.map(({to, line}) => `${source.path}:${line} imports ${to}`),
	);
	t.deepEqual(faults, []);
});

test('time, randomness, network, disk and processes come through ports', t => {
	const faults = product
		.filter(({path}) => !path.includes('/real/') && !path.startsWith('bin/'))
		.flatMap(source =>
			worldlyNames(source)
				.filter(({name}) => !EXCUSED[source.path]?.includes(name))
				.map(({name, line}) => `${source.path}:${line} uses ${name}: write ${BANNED[name]}`),
		);
	t.deepEqual(faults, []);
});

test('packages are those of DESIGN section 5', t => {
	const faults = product.flatMap(({path, imports}) =>
		imports
			.filter(({name}) => !name.startsWith('.') && !name.startsWith('node:'))
			.filter(
				({name}) =>
					!PACKAGES.has(
						name
							.split('/')
							.slice(0, name.startsWith('@') ? 2 : 1)
							.join('/'),
					),
			)
			.map(({name, line}) => `${path}:${line} imports ${name}`),
	);
	t.deepEqual(faults, []);
});

test('relative imports end in .ts and lead to a file', t => {
	const faults = everything.flatMap(source =>
		relativeImports(source)
			.filter(({to}) => !to.endsWith('.ts') || !existsSync(to))
			.map(({to, line}) => `${source.path}:${line} imports ${to}`),
	);
	t.deepEqual(faults, []);
});

test(`functions have at most ${FUNCTION_LINES_MAX} lines`, t => {
	const lengths = new Map(product.flatMap(functionLengths));
	const faults = [...lengths]
		.filter(([name, lines]) => lines > (LONG_FUNCTIONS[name] ?? FUNCTION_LINES_MAX))
		.map(([name, lines]) => `${name} has ${lines} lines: let it control, and move leaves into functions`);
	t.deepEqual(faults, []);
	for (const [name, lines] of Object.entries(LONG_FUNCTIONS)) {
		t.is(lengths.get(name), lines, `${name}: enter how long it is now, or take it off the list`);
	}
});

test(`files have at most ${FILE_LINES_MAX} lines`, t => {
	const faults = [...everything, ...texts.filter(({path}) => path.startsWith('libexec/'))]
		.map(({path, text}) => ({path, lines: text.split('\n').length - 1}))
		.filter(({lines}) => lines > FILE_LINES_MAX)
		.map(({path, lines}) => `${path} has ${lines} lines: split it by concept`);
	t.deepEqual(faults, []);
});

test('files are named in kebab-case, and none is a drawer for everything', t => {
	const faults = everything
		.map(({path}) => path)
		.filter(path => {
			const name = path.split('/').at(-1)!;
			return (
				!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name) ||
				/^(utils?|common|misc|helpers?|index)\./.test(name)
			);
		});
	t.deepEqual(faults, []);
});

test('every file of the product is used by another one, or is run by name', t => {
	const used = new Set(everything.flatMap(source => relativeImports(source).map(({to}) => to)));
	const faults = product
		.map(({path}) => path)
		.filter(path => path.startsWith('src/') && !used.has(path) && !ENTRY_POINTS.has(path));
	t.deepEqual(faults, []);
	for (const path of ENTRY_POINTS) t.true(existsSync(path), `${path} is gone: take it off the list`);
});

test('nothing is left to be done later, and nothing points into the code of others', t => {
	const patterns = [
		new RegExp(`\\b(${['FIX', 'TO'].join('|').replace('FIX', 'FIXME').replace('TO', 'TODO')})\\b`),
		/\b(src\/(modules|common|shell|cmd|bindings)|job-manager\/[a-z-]+\.c|lib[a-z]+\/[a-z_-]+\.[ch])\b/,
	];
	const faults = [...everything, ...texts].flatMap(({path, text}) =>
		text
			.split('\n')
			.flatMap((line, index) =>
				patterns.some(pattern => pattern.test(line)) && path !== 'test/tidy.test.ts'
					? [`${path}:${index + 1}: ${line.trim()}`]
					: [],
			),
	);
	t.deepEqual(faults, []);
});

test('a file says first what it owns', t => {
	const faults = product
		.filter(({text}) => !/^(#!.*\n)?\s*\/(\*|\/)/.test(text))
		.map(({path}) => `${path} begins without a comment`);
	t.deepEqual(faults, []);
});

test('links of the docs lead somewhere', t => {
	const pages = [...filesIn('docs', ['.md']), ...['README.md'].filter(path => existsSync(path))];
	const faults = pages.flatMap(path =>
		[...read(path).matchAll(/\]\(([^)\s]+)\)/g)]
			.map(([, link]) => link!)
			.filter(link => !/^[a-z]+:/.test(link))
			.filter(link => {
				const [file = '', anchor] = link.split('#');
				const target = file === '' ? path : normalize(join(dirname(path), file));
				if (!existsSync(target)) return true;
				return anchor !== undefined && !anchorsOf(read(target)).has(anchor);
			})
			.map(link => `${path} links to ${link}`),
	);
	t.deepEqual(faults, []);
});

test('the rules see what they are there for', t => {
	const source = parse(
		'src/broker/x.ts',
		[
			"import {connect} from 'node:net';",
			"import {randomBytes} from 'node:crypto';",
			"import {a} from '../cli/a.ts';",
			"const later = async () => import('./b.ts');",
			"export type {C} from './c.ts';",
			'const now = () => Date.now() + performance.now() + Math.random();',
			'setTimeout(() => new Date(), 1); globalThis.setInterval(now, 1); process.hrtime.bigint();',
			'// setImmediate(Date.now) in a comment, and new Date(5), which is no clock',
			'const day = new Date(5); clock.setTimeout(1);',
		].join('\n'),
	);
	t.deepEqual(
		worldlyNames(source).map(({name, line}) => `${line} ${name}`),
		[
			'1 node:net',
			'2 randomBytes',
			'6 Date.now',
			'6 performance.now',
			'6 Math.random',
			'7 setTimeout',
			'7 new Date()',
			'7 setInterval',
			'7 process.hrtime',
		],
	);
	t.deepEqual(
		relativeImports(source).map(({to}) => to),
		['src/cli/a.ts', 'src/broker/b.ts', 'src/broker/c.ts'],
	);
	const long = `function long() {\n${'\n'.repeat(70)}}\nclass A { m = () => {\n}; }`;
	t.deepEqual(functionLengths(parse('src/x.ts', long)), [
		['src/x.ts long', 72],
		['src/x.ts m', 2],
	]);
});

function read(path: string): string {
	return readFileSync(path, 'utf8');
}

function filesIn(folder: string, endings: readonly string[]): string[] {
	if (!existsSync(folder)) return [];
	return readdirSync(folder, {recursive: true, withFileTypes: true})
		.filter(entry => entry.isFile() && endings.some(ending => entry.name.endsWith(ending)))
		.map(entry => join(entry.parentPath, entry.name))
		.filter(path => !path.includes('/recordings/'))
		.sort();
}

function parse(path: string, text = read(path)): Source {
	const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
	const imports: {name: string; line: number}[] = [];
	walk(tree, node => {
		const specifier =
			ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
				? node.moduleSpecifier
				: ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
					? node.arguments[0]
					: ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
						? node.argument.literal
						: undefined;
		if (specifier !== undefined && ts.isStringLiteral(specifier)) {
			imports.push({name: specifier.text, line: lineOf(tree, specifier)});
		}
	});
	return {path, text, tree, imports};
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
	visit(node);
	ts.forEachChild(node, child => walk(child, visit));
}

function lineOf(tree: ts.SourceFile, node: ts.Node): number {
	return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}

function relativeImports({path, imports}: Source): {to: string; line: number}[] {
	return imports
		.filter(({name}) => name.startsWith('.'))
		.map(({name, line}) => ({to: normalize(join(dirname(path), name)), line}));
}

function layerOf(path: string): {readonly folder: string; readonly level: number} {
	const parts = path.split('/');
	const folder = (parts[0] === 'src' ? parts[1] : parts[0]) ?? '';
	const level = LAYERS.findIndex(layer => layer.includes(folder));
	if (level === -1) throw new Error(`${path}: '${folder}' has no layer; enter it in LAYERS`);
	return {folder, level};
}

/** The banned names that a source uses, in order. */
function worldlyNames({tree, imports}: Source): {name: string; line: number}[] {
	const found = imports.filter(({name}) => Object.hasOwn(BANNED, name)).map(({name, line}) => ({name, line}));
	walk(tree, node => {
		const name = worldlyName(node);
		if (name !== null) found.push({name, line: lineOf(tree, node)});
	});
	return found;
}

function worldlyName(node: ts.Node): string | null {
	if (ts.isNewExpression(node) && node.expression.getText() === 'Date') {
		return (node.arguments ?? []).length === 0 ? 'new Date()' : null;
	}
	if (ts.isPropertyAccessExpression(node)) {
		const name = node.getText().replace(/\s/g, '');
		return !name.startsWith('globalThis.') && Object.hasOwn(BANNED, name) ? name : null;
	}
	if (!ts.isIdentifier(node) || !Object.hasOwn(BANNED, node.text)) return null;
	const {parent} = node;
	const isMember = ts.isPropertyAccessExpression(parent) && parent.name === node;
	if (isMember && parent.expression.getText() !== 'globalThis') return null;
	if (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent))
		return null;
	return node.text;
}

/** Name and lines of each function that has a name, its own or that of what it is assigned to. */
function functionLengths({path, tree}: Source): [string, number][] {
	const lengths: [string, number][] = [];
	walk(tree, node => {
		if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
		const named = node.name ?? ('name' in node.parent ? node.parent.name : undefined);
		const name = ts.isConstructorDeclaration(node) ? 'constructor' : (named?.getText(tree) ?? '(unnamed)');
		const last = tree.getLineAndCharacterOfPosition(node.getEnd()).line + 1;
		lengths.push([`${path} ${name}`, last - lineOf(tree, node) + 1]);
	});
	return lengths.sort((a, b) => a[1] - b[1]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** GitHub's names of the headings. */
function anchorsOf(markdown: string): Set<string> {
	return new Set(
		[...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
			heading!
				.toLowerCase()
				.replace(/[^\p{L}\p{N}\s_-]/gu, '')
				.trim()
				.replace(/\s/g, '-'),
		),
	);
}
