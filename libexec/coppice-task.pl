# What the fork of a shim does: it turns into the task, or says why it can't. Loaded by coppice-launcher.
#
# Each page that is written to between fork and exec is copied for it, which is most of what a short task costs: so there is
# little code here, and %ENV is left alone.

use strict;
use Errno qw(EACCES ENODEV ENOENT ENOEXEC ENOTDIR ESTALE ETIMEDOUT);
use Fcntl qw(SEEK_SET);
use POSIX ();

our ($machine, $rank, $part, $task, $NONE);

# System call numbers by machine: execve(2), prlimit64(2).
my %BECOMING = (
	x86_64      => [59, 302],
	aarch64     => [221, 261],
	riscv64     => [221, 261],
	loongarch64 => [221, 261],
	ppc64le     => [11, 325],
	s390x       => [11, 334],
);
my ($SYS_EXECVE, $SYS_PRLIMIT64) = @{$BECOMING{$machine}};

sub become_task {
	my ($job, $why, $in, $out, $err) = @_;
	my ($launch, $local, $claim, $terminal, $pmi) = @{$job}{qw(launch local claim terminal pmi)};
	POSIX::dup2(fileno $in, 0) if $in;
	POSIX::dup2(fileno $out, 1);
	POSIX::dup2(fileno $err, 2);
	my @refused = ($why, $launch->{node});
	$launch->{cgroup} eq '' or move_into("$launch->{cgroup}/payload") or refuse(@refused, 126, "cgroup payload: $!");
	POSIX::setsid();
	$0 = 'coppice-task ' . unit() . "/$task $rank" if $launch->{cgroup} eq '';    # Until it is executed, and has its mark.
	POSIX::sigprocmask(POSIX::SIG_SETMASK, $NONE);
	my ($start_ms, $monotonic_ms) = (now_ms(0), now_ms(1));
	my $who = sprintf '%d %d %.0f %.3f', $$, start_ticks(), $start_ms, $monotonic_ms;
	my $pipes = $terminal ? '0 0' : join ' ', (stat $out)[1], (stat $err)[1];
	sysseek($claim, CLAIM_LINE_BYTES(), SEEK_SET);
	syswrite($claim, wide("task $who $pipes", CLAIM_LINE_BYTES()));
	say_event('start', $who);
	# Of the session that begins here, and so not before it.
	$terminal && (take_terminal($out) or refuse(@refused, 126, "controlling terminal: $!"));
	my $input = path_of_task($launch->{input}, $local);
	$input eq '' or read_from($input) or refuse(@refused, 126, "input: $input: $!");
	for (split / /, $launch->{rlimits}) {
		limit(split /:/) or refuse(@refused, 126, "resource limit $_: $!");
	}
	chdir $launch->{cwd} or refuse(@refused, 126, "cwd $launch->{cwd}: $!");
	my %own = (
		is_script() ? () : (COPPICE_TASK_RANK => $task, COPPICE_TASK_LOCAL_ID => $local),
		# The mark by which the job's processes are found. One that its submitter had is that of another job.
		COPPICE_PART => $launch->{cgroup} eq '' ? "$rank/" . unit() : undef,
		$pmi ? pmi_environment($pmi, $launch->{pmi}, $why) : (),
	);
	execute($launch->{argv}, $launch->{env}, \%own);
	my $code = $! == ENOENT || $! == ENOTDIR ? 127 : 126;
	my $program = $launch->{argv}[0];
	refuse(@refused, $code, "$program: " . interpreter_of($program) . $!);
}

sub refuse {
	my ($why, $node, $code, $text) = @_;
	syswrite($why, substr($text, 0, ERROR_CHARS_MAX()));
	syswrite(STDERR, "coppice: task $task" . ($node && " on $node") . ": $text\n");
	POSIX::_exit($code);
}

# execvpe(3): returns only when it failed, with $!. What $own names replaces what $env has of that name; undef: without it.
sub execute {
	my ($argv, $env, $own) = @_;
	my @own = map { "$_=$own->{$_}" } grep { defined $own->{$_} } keys %$own;
	# Addresses of strings, up to NULL: they must not move before the call.
	my $environment = pack 'p*', @own, (grep { !exists $own->{substr $_, 0, index $_, '='} } @$env), undef;
	my $arguments = pack 'p*', @$argv, undef;
	my ($name, $denied) = $argv->[0];
	for my $directory (index($name, '/') >= 0 ? '' : search_path($env)) {
		my $file = $directory eq '' ? $name : "$directory/$name";
		syscall($SYS_EXECVE, $file, $arguments, $environment);
		if ($! == ENOEXEC) {
			my @script = ('/bin/sh', $file, @$argv[1 .. $#$argv]);
			syscall($SYS_EXECVE, $script[0], pack('p*', @script, undef), $environment);
			return;
		}
		$denied = 1 if $! == EACCES;
		return unless grep { $! == $_ } EACCES, ENOENT, ENOTDIR, ENODEV, ESTALE, ETIMEDOUT;
	}
	$! = EACCES if $denied;
}

# An empty directory is the present one.
sub search_path {
	my ($env) = @_;
	for (@$env) {
		return length > 5 ? split /:/, substr($_, 5), -1 : '' if substr($_, 0, 5) eq 'PATH=';
	}
	return ('/bin', '/usr/bin');
}

# What exec(2) did not find of a script that is there; $! is kept. Only then: to open a FIFO would wait for a writer.
sub interpreter_of {
	my ($program) = @_;
	my $start = '';
	$! == ENOENT && -f $program or return '';
	local $!;
	open(my $file, '<', $program) or return '';
	read($file, $start, 256);
	return $start =~ /^#!\s*(\S+)/ && !-e $1 ? "its interpreter $1: " : '';
}

# Sets a soft limit, at most the hard one; -1 is RLIM_INFINITY, the largest unsigned value.
sub limit {
	my ($resource, $soft) = @_;
	my $limits = "\0" x 16;
	syscall($SYS_PRLIMIT64, 0, $resource + 0, 0, $limits) == 0 or return;
	my ($before, $hard) = unpack 'QQ', $limits;
	my $wanted = $soft < 0 ? ~0 : $soft + 0;
	$wanted = $hard if $wanted > $hard;
	return 1 if $wanted == $before;
	$limits = pack 'QQ', $wanted, $hard;
	return syscall($SYS_PRLIMIT64, 0, $resource + 0, $limits, 0) == 0;
}

1;
