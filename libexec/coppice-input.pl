# What goes into a task: its terminal, and its stdin from the ring of its part (src/exec/input-ring.ts). A part of
# coppice-launcher, which loads it.

use strict;
use Errno qw(EAGAIN EINTR EISDIR);
use Fcntl qw(O_RDONLY O_RDWR O_WRONLY O_CREAT O_NOCTTY O_NONBLOCK F_GETFL F_SETFL SEEK_SET);
use POSIX ();

use constant {
	RING_HEAD_BYTES => 4096,    # Of the file stdin; the ring follows.
	RING_BYTES => 1048576,
	RECORD_HEADER_BYTES_MAX => 512,
	READ_SLOT_BYTES => 32,
	FEED_BYTES => 65536,
	IN_MODIFY => 2,
	IN_FLAGS => 0x80800,        # IN_CLOEXEC, IN_NONBLOCK.
	FEED_POLL_S => 0.05,        # Where there is no inotify left.
};

our ($machine, $task);

# System call numbers by machine: inotify_init1(2), inotify_add_watch(2).
my %INOTIFY = (
	x86_64      => [294, 254],
	aarch64     => [26, 27],
	riscv64     => [26, 27],
	loongarch64 => [26, 27],
	ppc64le     => [318, 276],
	s390x       => [324, 285],
);
my ($SYS_INOTIFY_INIT1, $SYS_INOTIFY_ADD_WATCH) = @{$INOTIFY{$machine}};
# ioctl_tty(2), which differs on POWER: TIOCGPTN, TIOCSPTLCK, TIOCSWINSZ, TIOCSCTTY.
my ($TIOCGPTN, $TIOCSPTLCK, $TIOCSWINSZ, $TIOCSCTTY) = $machine =~ /^ppc/
	? (0x40045430, 0x80045431, 0x80087467, 0x540e)
	: (0x80045430, 0x40045431, 0x5414, 0x540e);

# A path with what only the task's own process knows.
sub path_of_task {
	my ($path, $local) = @_;
	my %names = ('id' => $task, '.id' => $task, '.index' => $local);
	$path =~ s/\{\{task(id|\.id|\.index)\}\}/$names{$1}/g;
	return $path;
}

# Makes a file this process's stdin. A named pipe is waited for here, where a signal ends it.
sub read_from {
	my ($path) = @_;
	sysopen(my $file, $path, O_RDONLY) or return;
	return POSIX::dup2(fileno $file, 0) unless -d $file;
	$! = EISDIR;
	return;
}

# A terminal for this task if "ROWS COLUMNS TASK..." names it, else undef. Dies with the reason where there is none.
sub open_terminal {
	my ($rows, $columns, @tasks) = split / /, $_[0];
	return unless grep { $_ == $task } @tasks;
	sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK) or die "terminal: /dev/ptmx: $!\n";
	my ($number, $unlocked) = (pack('I', 0), pack('I', 0));
	ioctl($master, $TIOCSPTLCK, $unlocked) && ioctl($master, $TIOCGPTN, $number) or die "terminal: $!\n";
	my $path = '/dev/pts/' . unpack 'I', $number;
	sysopen(my $slave, $path, O_RDWR | O_NOCTTY) or die "terminal: $path: $!\n";
	resize($master, $rows, $columns);
	return {master => $master, slave => $slave};
}

# Reads output from, and feeds, the one descriptor of this side. Returns the task's side, three times.
sub join_terminal {
	my ($terminal, $feed, $out, $err) = @_;
	$out->{pipe} = $err->{pipe} = $terminal->{master};
	@{$feed}{qw(out is_terminal)} = ($terminal->{master}, 1) if $feed;
	return ($terminal->{slave}) x 3;
}

sub resize {
	my ($master, $rows, $columns) = @_;
	my $size = pack 'S4', $rows, $columns, 0, 0;
	ioctl($master, $TIOCSWINSZ, $size);
}

# --- stdin ------------------------------------------------------------------------------------------------------

# What passes the ring of the part on to this task if "TASK..." names it, else undef. Dies where it can't be opened.
sub open_feed {
	my ($tasks, $local) = @_;
	return unless grep { $_ == $task } split / /, $tasks;
	my $feed = {local => $local, position => 0, left => 0, bytes => ''};
	sysopen($feed->{ring}, 'stdin', O_RDWR | O_CREAT, 0600) or die "stdin: $!\n";
	sysopen($feed->{slots}, 'stdin.read', O_WRONLY | O_CREAT, 0600) or die "stdin.read: $!\n";
	my $fd = syscall($SYS_INOTIFY_INIT1, IN_FLAGS);
	if ($fd >= 0 && open($feed->{news}, '<&=', $fd)) {
		my $path = "stdin\0";
		syscall($SYS_INOTIFY_ADD_WATCH, $fd, $path, IN_MODIFY) >= 0 or close delete $feed->{news};
	}
	return $feed;
}

# The task's side of a pipe that never blocks on this side. Undef where there is none to be had.
sub feed_pipe {
	my ($feed) = @_;
	pipe(my $in, $feed->{out}) or return;
	fcntl($feed->{out}, F_SETFL, fcntl($feed->{out}, F_GETFL, 0) | O_NONBLOCK);
	return $in;
}

# Adds what the feed waits for; returns how long at most, undef: for as long as it takes.
sub await_feed {
	my ($feed, $readable, $writable) = @_;
	if ($feed->{bytes} ne '') {
		vec($$writable, fileno $feed->{out}, 1) = 1;
		return;
	}
	return FEED_POLL_S unless $feed->{news};
	vec($$readable, fileno $feed->{news}, 1) = 1;
	return;
}

# Moves what is there from the ring to the task. Undef when the task has its end, or wants no more.
sub pass_on {
	my ($feed) = @_;
	1 while $feed->{news} && sysread($feed->{news}, my $ignored, FEED_BYTES);
	while (1) {
		if ($feed->{bytes} ne '') {
			my $put = syswrite($feed->{out}, $feed->{bytes});
			return $!{EINTR} || $!{EAGAIN} ? $feed : end_feed($feed) unless defined $put;
			substr($feed->{bytes}, 0, $put, '');
			return $feed if $feed->{bytes} ne '';
		}
		return end_feed($feed) if $feed->{is_ended};
		take_record($feed) or return $feed;
	}
}

# Reads on in the ring; false: there is nothing new.
sub take_record {
	my ($feed) = @_;
	if ($feed->{left} == 0) {
		my $end = ring_end($feed);
		return 0 unless $end > $feed->{position};
		my $header = ring_read($feed, min(RECORD_HEADER_BYTES_MAX, $end - $feed->{position}));
		my ($tasks, $kind, $length) = $header =~ /^(\S+) ([a-z]) (\d+)\n/ or return $feed->{is_ended} = 1;
		$feed->{position} += $+[0];
		my $is_mine = is_among($tasks);
		if ($kind eq 'd' && $is_mine) {
			$feed->{left} = $length;
		} else {
			my $body = $kind eq 'w' && ring_read($feed, $length);
			$feed->{position} += $length;
			resize($feed->{out}, split / /, $body) if $kind eq 'w' && $is_mine && $feed->{is_terminal};
			end_input($feed) if $kind eq 'e' && $is_mine;
		}
	}
	if ($feed->{left} > 0) {
		$feed->{bytes} = ring_read($feed, min(FEED_BYTES, $feed->{left}));
		return $feed->{is_ended} = 1 if $feed->{bytes} eq '';    # Somebody has cut the file.
		$feed->{left} -= length $feed->{bytes};
		$feed->{position} += length $feed->{bytes};
	}
	tell_position($feed, $feed->{position});
	return 1;
}

# A terminal is told of the end as a person would do it.
sub end_input {
	my ($feed) = @_;
	$feed->{is_ended} = 1;
	$feed->{bytes} .= "\4" if $feed->{is_terminal};
}

# Closes the task's stdin, and says that nothing more is wanted.
sub end_feed {
	my ($feed) = @_;
	tell_position($feed, 'closed');
	close $feed->{out} unless $feed->{is_terminal};
	return;
}

# The bytes of the stream so far. They stand there twice, since a broker may be writing them.
sub ring_end {
	my ($feed) = @_;
	for (1 .. 100) {
		sysseek($feed->{ring}, 0, SEEK_SET);
		sysread($feed->{ring}, my $head, 64) or return 0;
		return $1 + 0 if $head =~ /^(\d+) \1\n/;
	}
	return 0;
}

sub ring_read {
	my ($feed, $length) = @_;
	my $bytes = '';
	while (length $bytes < $length) {
		my $at = ($feed->{position} + length $bytes) % RING_BYTES;
		sysseek($feed->{ring}, RING_HEAD_BYTES + $at, SEEK_SET);
		sysread($feed->{ring}, $bytes, min($length - length $bytes, RING_BYTES - $at), length $bytes) or last;
	}
	return $bytes;
}

sub tell_position {
	my ($feed, $position) = @_;
	sysseek($feed->{slots}, $feed->{local} * READ_SLOT_BYTES, SEEK_SET);
	syswrite($feed->{slots}, wide($position, READ_SLOT_BYTES));
}

# Whether this task is in an idset, or in "all".
sub is_among {
	my ($tasks) = @_;
	return 1 if $tasks eq 'all';
	for (split /,/, $tasks) {
		my ($first, $last) = split /-/;
		return 1 if $task >= $first && $task <= ($last // $first);
	}
	return 0;
}

sub min { $_[0] < $_[1] ? $_[0] : $_[1] }

# Makes the terminal that is open as a descriptor the controlling one of the session that this process leads.
sub take_terminal {
	my ($slave) = @_;
	return ioctl($slave, $TIOCSCTTY, 0);
}

1;
