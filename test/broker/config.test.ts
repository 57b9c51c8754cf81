/**
 * Goal: a person who mistypes a key or a value is told the file and the line; what is accepted has its unit and default.
 * Method: a table of faults, each planted at a known line between sound ones.
 */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {parseConfig} from '../../src/broker/config.ts';
import {isConfigArgument, type ConfigInput} from '../../src/broker/config-source.ts';

const file = (text: string, path = '/etc/c.toml'): ConfigInput => ({kind: 'file', path, text});
const argument = (text: string): ConfigInput => ({kind: 'argument', text});
const messageOf = (inputs: readonly ConfigInput[]): string => {
	try {
		parseConfig(inputs);
	} catch (error) {
		if (error instanceof SystemError && error.code === 'EINVAL') return error.message;
		throw error;
	}
	return 'accepted';
};

test('no configuration at all gives the documented defaults', t => {
	const config = parseConfig([]);
	t.deepEqual(config.tbon, {
		topo: 'kary:32',
		torpidMs: 5000,
		lostTimeoutMs: 30_000,
		keepaliveMs: 1000,
		reconnectMsMax: 2000,
	});
	t.deepEqual(config.resource, {cores: null, gpus: null, noverify: false, properties: {}, exclude: ''});
	t.is(config.exec.killTimeoutMs, 5000);
	t.is(config.exec.leaseMs, null);
	t.deepEqual(config.log, {retentionFacts: 1_000_000, snapshotFacts: 5000});
	t.deepEqual(config.jobManager, {inactiveAgeMs: null, inactiveNum: null});
	t.deepEqual(config.queues, {});
	t.deepEqual(config.policy, {});
});

test('every key is read with its unit', t => {
	const text = `
[bootstrap]
hosts = ["n[0-2]", "m"]
key = "/etc/coppice/key"
ports = 9000
[bootstrap.parents]
n2 = "n1"
[tbon]
topo = "kary:2"
torpid = "500ms"
lost-timeout = "1.5m"
keepalive = 0.1
reconnect-max = "1s"
[resource]
cores = 4
gpus = 0
noverify = true
exclude = "0"
properties = {fast = "0-1", any = 3}
[exec]
kill-timeout = "10s"
lease = "1h"
prolog = "/bin/true"
epilog = ["/bin/sh", "-c", "true"]
prolog-timeout = "1.5m"
epilog-timeout = "inf"
output-limit = "10M"
[log]
retention = 5000
snapshot-interval = 100
[job-manager]
inactive-age-limit = "30d"
inactive-num-limit = 1000
[queues.batch]
requires = ["fast"]
duration-max = "8h"
[queues.batch.policy.limits]
job-size = {max = {nnodes = 2}, min = {ncores = 2}}
[policy]
limits.duration = "inf"
jobspec.defaults.system = {duration = "1h", queue = "debug"}
[queues.debug]
`;
	t.deepEqual(parseConfig([file(text)]), {
		bootstrap: {
			hosts: ['n0', 'n1', 'n2', 'm'],
			key: '/etc/coppice/key',
			ports: [9000],
			parents: {n2: 'n1'},
		},
		tbon: {topo: 'kary:2', torpidMs: 500, lostTimeoutMs: 90_000, keepaliveMs: 100, reconnectMsMax: 1000},
		resource: {cores: 4, gpus: 0, noverify: true, properties: {fast: '0-1', any: '3'}, exclude: '0'},
		exec: {
			killTimeoutMs: 10_000,
			leaseMs: 3_600_000,
			prolog: ['/bin/true'],
			epilog: ['/bin/sh', '-c', 'true'],
			prologTimeoutMs: 90_000,
			epilogTimeoutMs: null,
			outputBytesMax: 10 * 1024 * 1024,
			shellTimeoutMs: 30_000,
		},
		log: {retentionFacts: 5000, snapshotFacts: 100},
		jobManager: {inactiveAgeMs: 30 * 86_400_000, inactiveNum: 1000},
		policy: {durationMsMax: null, durationMsDefault: 3_600_000, queueDefault: 'debug'},
		queues: {
			batch: {
				requires: ['fast'],
				durationMsMax: 8 * 3_600_000,
				policy: {sizeMax: {nnodes: 2}, sizeMin: {ncores: 2}},
			},
			debug: {requires: [], durationMsMax: null},
		},
	});
});

const faults: readonly (readonly [text: string, message: RegExp])[] = [
	[
		'[tbon]\n# said\n\ntorpidd = "5s"',
		/^\/etc\/c\.toml:4: tbon\.torpidd: unknown key, must be one of topo, torpid/,
	],
	['\n[tobn]\ntorpid = "5s"', /^\/etc\/c\.toml:2: tobn: unknown key, must be one of bootstrap, tbon/],
	[
		'[policy.limits]\njob-size.max.nodes = 1',
		/:2: policy\.limits\.job-size\.max\.nodes: unknown key, must be one of nnodes/,
	],
	['[queues.a.policy]\njobspec.defaults.system.queue = "a"', /:2: .*unknown key, must be one of duration/],
	[
		'[policy]\njobspec.defaults.system.queue = "a"',
		/policy\.jobspec\.defaults\.system\.queue: there is no queue a/,
	],
	['top = 1', /^\/etc\/c\.toml:1: top: unknown key/],
	['tbon = 5', /^\/etc\/c\.toml:1: tbon: must be a table, is 5$/],
	['[tbon]\ntorpid = "soon"', /^\/etc\/c\.toml:2: tbon\.torpid: must be a duration .* is "soon"$/],
	['[tbon]\ntorpid = 0', /:2: tbon\.torpid: must be a duration/],
	['[tbon]\ntorpid = -1', /:2: tbon\.torpid: must be a duration/],
	['[tbon]\ntorpid = inf', /:2: tbon\.torpid: must be a duration/],
	['[tbon]\ntorpid = "200000d"\nlost-timeout = "inf"', /:2: tbon\.torpid: must be .* at most/],
	['[tbon]\ntopo = "kary:0"', /:2: tbon\.topo: must be kary:N/],
	['[tbon]\nkeepalive = "9s"', /:2: tbon\.keepalive: must be shorter than tbon\.torpid/],
	['[tbon]\n\nlost-timeout = "4s"', /:3: tbon\.torpid: must be shorter than tbon\.lost-timeout/],
	['[resource]\ncores = 0', /:2: resource\.cores: must be an integer from 1/],
	['[resource]\ncores = 1.5', /:2: resource\.cores: must be an integer/],
	['[resource]\ncores = "4"', /:2: resource\.cores: must be an integer/],
	['[resource]\nnoverify = 1', /:2: resource\.noverify: must be true or false/],
	['[resource]\nexclude = "3-1"', /:2: resource\.exclude: /],
	['[resource]\nexclude = 1979-05-27', /:2: resource\.exclude: must be an idset/],
	['[resource.properties]\na = "0"\nb = "x"', /:3: resource\.properties\.b: /],
	['[exec]\nprolog = [\n  "/bin/x",\n  3,\n]', /:2: exec\.prolog\.1: must be a string/],
	['[exec]\nepilog = []', /:2: exec\.epilog: must be a program/],
	['[exec]\noutput-limit = "10 MB"', /:2: exec\.output-limit: must be a number of bytes/],
	['[queues.a]\n[queues.b]\nrequire = []', /:3: queues\.b\.require: unknown key, must be one of requires/],
	['[bootstrap]\nhosts = "n[0-"', /:2: bootstrap\.hosts: /],
	['[bootstrap]\nports = [1, 70000]', /:2: bootstrap\.ports\.1: must be an integer from 1 to 65535/],
	['[bootstrap]\nhosts = "n[0-2]"\nports = [1, 2]', /:3, .*:2: bootstrap\.ports: .* 2 ports for 3 hosts/],
	[
		'[bootstrap]\nhosts = "n[0-2]"\n[bootstrap.parents]\nn1 = "n9"',
		/:4: bootstrap\.parents\.n1: n9 is not one/,
	],
	[
		'[bootstrap]\nhosts = "n[0-2]"\n[bootstrap.parents]\nn1 = "n2"\nn2 = "n1"',
		/:4: bootstrap\.parents\.n1: a cycle, which never reaches the root: n1, n2, n1$/,
	],
	['[bootstrap]\nhosts = "n[0-2]"\n[bootstrap.parents]\nn0 = "n2"', /:4: .*the first host is the root/],
	[
		'[tbon]\ntopo = "kary:2"\n[bootstrap]\nhosts = "n[0-6]"\n[bootstrap.parents]\nn5 = "n4"\n\nn1 = "n3"',
		/:8: bootstrap\.parents\.n1: a cycle, which never reaches the root: n1, n3, n1$/,
	],
	[
		'[bootstrap]\nhosts = "n[0-2]"\n[bootstrap.parents]\nn9 = "n1"',
		/:4: bootstrap\.parents\.n9: n9 is not one/,
	],
	['[bootstrap]\nhosts = "n[0-2]"\n[bootstrap.parents]\nn1 = "n1"', /:4: .*n1: a cycle, .*: n1, n1$/],
	[
		'[bootstrap]\n\nhosts = [\n  "n[0-2]",\n  "m,n1",\n]',
		/:3: bootstrap\.hosts: n1 is there twice, as rank 1 and as rank 4$/,
	],
	['[bootstrap]\nhosts = ["n 1"]', /:2: bootstrap\.hosts: /],
	[
		'[bootstrap]\nhosts = "n[0-2],m/x"',
		/:2: bootstrap\.hosts: "m\/x" is neither a host's name nor its address$/,
	],
	['[bootstrap]\nhosts = "n[0-20000]"\nkey = "k"', /:2: bootstrap\.hosts: at most 16384 hosts, are 20001$/],
	['[bootstrap]\nhosts = "n[0-2]"', /:2: bootstrap\.key: 3 hosts need a key, and the same one: .*keygen/],
	[
		'[bootstrap]\nport = 8050',
		/:2: bootstrap\.port: unknown key, must be one of hosts, key, ports, parents$/,
	],
	['[bootstrap]\nports = 0', /:2: bootstrap\.ports: must be an integer from 1 to 65535, is 0$/],
	['[bootstrap]\nports = []', /:2: bootstrap\.ports: must be a port/],
	['[tbon]\ntorpid = = 1', /^\/etc\/c\.toml:2: not TOML: /],
	['[tbon]\ntorpid = 1\ntorpid = 2', /^\/etc\/c\.toml:3: not TOML: /],
	['__proto__ = 1', /^\/etc\/c\.toml:1: /],
];

for (const [text, message] of faults) {
	test(`a fault is named with file and line: ${JSON.stringify(text)}`, t => {
		t.regex(messageOf([file('[log]\nretention = 1', '/etc/sound.toml'), file(text)]), message);
	});
}

test('a fault is found on its line wherever it stands', t => {
	const lines = ['', '# a comment', 'topo = "kary:2"', 'lost-timeout = "1h"', 'reconnect-max = """\n1s"""'];
	fc.assert(
		fc.property(fc.shuffledSubarray(lines), fc.nat(5), (sound, at) => {
			const text = ['[tbon]', ...sound.slice(0, at), 'torpid = true', ...sound.slice(at)].join('\n');
			const line = text.slice(0, text.indexOf('torpid = true')).split('\n').length;
			t.regex(messageOf([file(text)]), new RegExp(`^/etc/c\\.toml:${line}: tbon\\.torpid`));
		}),
		{numRuns: 50},
	);
});

test('a later input wins key by key, and tables of names are merged', t => {
	const config = parseConfig([
		file('[tbon]\ntorpid = "2s"\nlost-timeout = "20s"\n[queues.a]\n[resource]\nproperties = ["x"]', '/a'),
		file('[tbon]\ntorpid = "3s"\n[queues.b]', '/b'),
		argument('tbon.lost-timeout=40s'),
		argument('resource.properties.y=0-1'),
	]);
	t.is(config.tbon.torpidMs, 3000);
	t.is(config.tbon.keepaliveMs, 600);
	t.is(config.tbon.lostTimeoutMs, 40_000);
	t.deepEqual(Object.keys(config.queues), ['a', 'b']);
	t.deepEqual(config.resource.properties, {x: null, y: '0-1'});
});

test('the value of an argument is TOML if it parses as such, else a string', t => {
	const of = (...texts: string[]) => parseConfig(texts.map(argument));
	t.is(of('resource.cores=8').resource.cores, 8);
	t.is(of('resource.noverify=true').resource.noverify, true);
	t.is(of('tbon.torpid=2s').tbon.torpidMs, 2000);
	t.is(of('tbon.torpid="2s"').tbon.torpidMs, 2000);
	t.is(of('tbon.lost-timeout=inf').tbon.lostTimeoutMs, Infinity);
	t.is(of('exec.lease=inf').exec.leaseMs, null);
	t.deepEqual(of('exec.prolog=["/bin/a b", "c"]').exec.prolog, ['/bin/a b', 'c']);
	t.deepEqual(of('exec.prolog=/bin/a "b').exec.prolog, ['/bin/a "b']);
	t.deepEqual(of('bootstrap.hosts=n[0-1]', 'bootstrap.key=k').bootstrap.hosts, ['n0', 'n1']);
	t.deepEqual(
		of('bootstrap.hosts=["a.x","b.x"]', 'bootstrap.parents."b.x"=a.x', 'bootstrap.key=k').bootstrap.parents,
		{'b.x': 'a.x'},
	);
});

test('a fault in an argument names the argument', t => {
	t.regex(messageOf([argument('tbon.torpid=soon')]), /^--conf tbon\.torpid=soon: tbon\.torpid: must be/);
	t.regex(messageOf([argument('tbon.x=1')]), /^--conf tbon\.x=1: tbon\.x: unknown key/);
	t.regex(messageOf([argument('nonsense')]), /^--conf nonsense: must be key=value/);
	t.true(isConfigArgument('a.b=c') && !isConfigArgument('/etc/a=b') && !isConfigArgument('x.toml'));
});
