# What shims do where no cgroup holds a part together: its processes carry a mark, and what a task leaves behind becomes a
# child of its shim. Loaded by coppice-launcher.
#
# Invariant: the exit record says that nothing is left only when the kernel knows of no child of the shim any more; and then
# nothing that the task has started is alive, whatever session, parent or environment it gave itself.

use strict;

use constant {
	PR_SET_CHILD_SUBREAPER => 36,
	SFD_CLOEXEC_NONBLOCK => 02004000,
	SIGNALFD_BYTES => 128,
};

our ($part, $task);

# System call numbers by machine: prctl(2), signalfd4(2).
my %ADOPTION = (
	x86_64      => [157, 289],
	aarch64     => [167, 74],
	riscv64     => [167, 74],
	loongarch64 => [167, 74],
	ppc64le     => [171, 313],
	s390x       => [172, 322],
);
my ($SYS_PRCTL, $SYS_SIGNALFD4) = @{$ADOPTION{(POSIX::uname())[4]}};

# Makes this shim the parent of whatever its task leaves behind. Undef where it has a cgroup, or the kernel can't: then
# nobody is waited for. `fd` is readable when a child has ended, `children` true as long as any may be left.
sub adopt_orphans {
	my ($launch) = @_;
	return unless $launch->{cgroup} eq '';
	syscall($SYS_PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 or return;
	POSIX::sigprocmask(POSIX::SIG_BLOCK, POSIX::SigSet->new(POSIX::SIGCHLD));
	my $mask = pack 'Q', 1 << (POSIX::SIGCHLD - 1);
	my $fd = syscall($SYS_SIGNALFD4, -1, $mask, length $mask, SFD_CLOEXEC_NONBLOCK);
	return $fd >= 0 ? {fd => $fd, children => 1} : undef;
}

# Collects the children that have ended. Returns the wait status of $pid if it is one of them.
sub reap_orphans {
	my ($orphans, $pid) = @_;
	1 while (POSIX::read($orphans->{fd}, my $info, SIGNALFD_BYTES) // 0) > 0;
	my ($got, $status);
	while (($got = waitpid(-1, POSIX::WNOHANG)) > 0) {
		$status = $? if $got == $pid;
	}
	$orphans->{children} = $got == 0;
	return $status;
}

# Where output of the task may still be open: what its cgroup lists; without cgroup, any process of this user.
sub pids_of_payload {
	my ($launch) = @_;
	return split /\n/, slurp("$launch->{cgroup}/payload/cgroup.procs") if $launch->{cgroup} ne '';
	opendir(my $dir, '/proc') or return;
	return grep { /^\d+$/ && $_ != $$ && -o "/proc/$_" } readdir $dir;
}

1;
