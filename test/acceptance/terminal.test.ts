/**
 * Goal: a program of a job has a real terminal, which is that of whoever is attached, and which nothing but its shim's death ends.
 * Method: a Perl program gives the command a terminal of its own, types what the test says, and can change its size.
 */
import test, {type ExecutionContext} from 'ava';
import {startedInstance, type Instance, type Role} from '../chaos/instance.ts';
import type {CoppiceCommand} from '../chaos/coppice-command.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

/**
 * ROWS COLUMNS PROGRAM ARG…: runs it on a new terminal of that size. What comes on stdin is typed; a line that begins with
 * NUL is `ROWS COLUMNS` for the terminal. Tells at the end whether the terminal is as it was (canonical, with echo).
 */
const TERMINAL = String.raw`
use strict; use Fcntl; use POSIX ();
my ($rows, $columns, @line) = @ARGV;
sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY) or die;
my ($number, $zero) = (pack('I', 0), pack('I', 0));
ioctl($master, 0x40045431, $zero) && ioctl($master, 0x80045430, $number) or die;
my $path = '/dev/pts/' . unpack('I', $number);
sysopen(my $slave, $path, O_RDWR | O_NOCTTY) or die;
sub size { my $size = pack('S4', @_, 0, 0); ioctl($master, 0x5414, $size) }
size($rows, $columns);
my $pid = fork;
if ($pid == 0) {
	POSIX::setsid();
	ioctl($slave, 0x540e, 0);
	POSIX::dup2(fileno($slave), $_) for 0, 1, 2;
	exec @line;
}
my $typed = '';
while (1) {
	my $set = '';
	vec($set, fileno($_), 1) = 1 for *STDIN, $master;
	select($set, undef, undef, 0.05);
	if (vec($set, fileno($master), 1)) { syswrite(STDOUT, $_) if sysread($master, $_, 65536) }
	if (vec($set, 0, 1)) {
		sysread(STDIN, $typed, 65536, length $typed) or last;
		while ($typed =~ s/^\0(\d+) (\d+)\n//) { size($1, $2); kill 'WINCH', $pid }
		syswrite($master, $typed) if $typed ne '' && $typed !~ /^\0/;
		$typed = '' unless $typed =~ /^\0/;
	}
	if (waitpid($pid, POSIX::WNOHANG) == $pid) {
		my $status = $?;
		fcntl($master, F_SETFL, O_NONBLOCK);
		while (sysread($master, $_, 65536)) { syswrite(STDOUT, $_) }
		my $termios = POSIX::Termios->new;
		$termios->getattr(fileno $slave);
		my $flags = $termios->getlflag;
		print STDOUT ($flags & &POSIX::ICANON) && ($flags & &POSIX::ECHO) ? "<as it was>" : "<raw>";
		exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
	}
}
`;

/** Somebody at a terminal. */
class Person {
	readonly command: CoppiceCommand;

	constructor(instance: Instance, argv: readonly string[]) {
		this.command = instance.spawn(argv, {
			stdin: 'pipe',
			prefix: ['perl', '-e', TERMINAL, '33', '101'],
			env: {TERM: 'xterm', PS1: '$ ', ENV: ''},
			timeoutMs: 200_000,
		});
	}

	type(text: string): void {
		this.command.child.stdin!.write(text);
	}

	resize(rows: number, columns: number): void {
		this.type(`\0${rows} ${columns}\n`);
	}

	/** Waits for a line, after those that were seen before. */
	async sees(line: string): Promise<void> {
		await this.shows(line, stdout => stdout.includes(`${line}\r`));
	}

	async shows(what: string, isThere: (stdout: string) => boolean): Promise<void> {
		const {command} = this;
		await until(`the terminal shows ${what}`, () => isThere(command.stdout), {timeoutMs: 60_000}).catch(
			(error: unknown) => {
				throw new Error(`${(error as Error).message}; it shows ${JSON.stringify(command.stdout)}`);
			},
		);
	}
}

async function kill(instance: Instance, roles: readonly Role[]): Promise<void> {
	await instance.kill(roles.map(role => instance.find(role)).filter(name => name !== null));
}

/** A shell on a terminal, which answers. */
async function shellOn(t: ExecutionContext): Promise<{instance: Instance; person: Person}> {
	const instance = await startedInstance(t);
	const person = new Person(instance, ['run', '-o', 'pty.interactive', 'sh', '-i']);
	person.type('echo ready-$((1+1))\n');
	await person.sees('ready-2');
	return {instance, person};
}

test.serial(
	'a shell of a job has a terminal with the size and the type of its client, and ^C and ^D do what they do',
	async t => {
		const {instance, person} = await shellOn(t);
		person.type('tty; stty size; echo $TERM\n');
		await person.sees('33 101');
		await person.sees('xterm');
		t.regex(person.command.stdout, /\n\/dev\/pts\/\d+\r\n33 101/);
		person.resize(40, 120);
		await until(
			'it has the new size',
			() => {
				person.type('stty size\n');
				return person.command.stdout.includes('\n40 120\r');
			},
			{pollMs: 500, timeoutMs: 60_000},
		);
		person.type("sh -c 'echo sleeping-$((1+1)); exec sleep 1000'\n");
		await person.sees('sleeping-2');
		person.type('\u0003');
		person.type('echo status-$?\n');
		await person.sees('status-130');
		person.type('echo to the last >&2; exec sh -c "cat; exit 9"\n');
		await person.sees('to the last');
		person.type('through cat\n');
		await person.shows('what cat says', stdout => stdout.split('through cat\r').length > 2);
		person.type('\u0004');
		const {status, stdout} = await person.command.finished;
		t.is(status, 9);
		t.true(stdout.endsWith('<as it was>'));
		t.is((await instance.jobs())[0]!.returncode, 9);
	},
);

test.serial(
	'a session goes on while broker, shell, launcher and daemon are killed, and no key is lost',
	async t => {
		const {instance, person} = await shellOn(t);
		for (const roles of [['broker'], ['shell'], ['launcher'], ['broker', 'shell', 'launcher']] as const) {
			await kill(instance, roles);
			const word = `after-${roles.join('-')}`;
			person.type(`echo ${word}-$((20+22))\n`);
			await person.sees(`${word}-42`);
		}
		person.type('exit 4\n');
		t.is((await person.command.finished).status, 4);
		await proveLog(t, instance);
	},
);

test.serial(
	'who leaves by Ctrl-] or dies comes back to the same session, and sees what was printed since',
	async t => {
		const {instance, person} = await shellOn(t);
		person.type('X=kept\n(sleep 1; echo later-$((40+2))) &\n');
		person.type('\u001d');
		const {status, stdout} = await person.command.finished;
		t.is(status, 0);
		t.true(stdout.endsWith('<as it was>'));
		const [job] = await instance.jobs();
		t.is(job!.state, 'RUN');
		const back = new Person(instance, ['job', 'attach', job!.f58]);
		await back.shows('what was printed since', stdout => stdout.includes('later-42'));
		back.type('echo $X-$((1+1))\n');
		await back.sees('kept-2');
		back.command.child.kill('SIGKILL');
		await back.command.finished;
		t.is((await instance.jobs())[0]!.state, 'RUN');
		const again = new Person(instance, ['job', 'attach', job!.f58]);
		again.type('exit 5\n');
		t.is((await again.command.finished).status, 5);
		const after = await instance.run(['job', 'attach', job!.f58]);
		t.true(after.stdout.includes('kept-2'), 'what it printed is kept');
	},
);

test.serial(
	'without a client a program has a terminal of the usual size; its output is one stream',
	async t => {
		const instance = await startedInstance(t);
		const script = 'test -t 0 -a -t 1 -a -t 2 && stty size; echo err >&2; exit 6';
		const {status, stdout, stderr} = await instance.run([
			'run',
			'-n2',
			'-o',
			'pty',
			'-l',
			'sh',
			'-c',
			script,
		]);
		t.deepEqual(
			[status, stderr, stdout.split('\r\n').sort()],
			[6, '', ['0: 24 80', '0: err', '1: 24 80', '1: err', ''].sort()],
		);
		const one = await instance.run([
			'run',
			'-n2',
			'-l',
			'-o',
			'pty.ranks=1',
			'sh',
			'-c',
			'test -t 1; echo $?',
		]);
		t.deepEqual(one.stdout.replaceAll('\r', '').split('\n').sort(), ['', '0: 1', '1: 0']);
		const piped = instance.spawn(['run', '-o', 'pty.interactive', 'cat'], {stdin: 'pipe'});
		piped.child.stdin!.end('abc\n');
		t.like(await piped.finished, {status: 0, stdout: 'abc\r\nabc\r\n'});
		t.regex(
			(await instance.run(['run', '-o', 'pty.ranks=some', 'true'])).stderr,
			/EINVAL: shell option pty.ranks/,
		);
	},
);
