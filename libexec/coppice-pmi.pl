# How a shim relays PMI-1 (RFC 13) between its task and the job shell: line by line, one request at a time. Loaded by
# coppice-launcher.
#
# Invariant: a request stays pending until its answer was handed to the task; as long as it is, it is sent again, with its
# number, to whoever serves the shell's socket. An answer to another number is dropped.

use strict;

use constant {
	PMI_LINE_BYTES_MAX => 4096,
	PMI_RETRY_S => 0.02,        # Doubling, up to
	PMI_RETRY_S_MAX => 0.5,
	UNIX => 1,                  # AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, MSG_DONTWAIT of Linux.
	STREAM => 1,
	NONBLOCK => 04000,
	DONTWAIT => 0x40,
};

our ($part, $task, $pmi_path);

# Both ends for a task: `near` is the shim's, `far` the task's.
sub pmi_pair {
	socketpair(my $near, my $far, UNIX, STREAM, 0) or die "socketpair: $!";
	return {near => $near, far => $far, input => '', answer => '', number => 0, due => 0, pause => PMI_RETRY_S};
}

# In the task, last before it executes: what it must find. A low descriptor, for a shell knows only those of one digit;
# none but $needed is of use any more.
sub pmi_environment {
	my ($pmi, $size, $needed) = @_;
	my $fd = fileno $needed == 3 ? 4 : 3;
	POSIX::dup2(fileno $pmi->{far}, $fd);
	return (PMI_FD => $fd, PMI_RANK => $task, PMI_SIZE => $size, PMI_SPAWNED => 0);
}

sub pmi_watch {
	my ($pmi, $readable) = @_;
	vec($$readable, fileno $_, 1) = 1 for grep { $_ } @$pmi{'near', 'shell'};
}

# How long a select may take, at most $wait; undef: for ever.
sub pmi_wait {
	my ($pmi, $wait) = @_;
	return $wait if !defined $pmi->{pending} || $pmi->{shell};
	my $left = $pmi->{due} - now_ms(1) / 1000;
	$left = 0.001 if $left < 0.001;
	return defined $wait && $wait < $left ? $wait : $left;
}

sub pmi_step {
	my ($pmi, $readable) = @_;
	return unless $pmi->{near};
	if (vec($readable, fileno $pmi->{near}, 1)) {
		my $got = sysread($pmi->{near}, $pmi->{input}, PMI_LINE_BYTES_MAX, length $pmi->{input});
		return if !defined $got && $!{EINTR};
		return pmi_end($pmi) if !$got || length $pmi->{input} > 2 * PMI_LINE_BYTES_MAX;
	}
	pmi_answer($pmi) if $pmi->{shell} && vec($readable, fileno $pmi->{shell}, 1);
	return unless $pmi->{near};
	if (!defined $pmi->{pending} && $pmi->{input} =~ s/^([^\n]*)\n//) {
		$pmi->{pending} = $1;
		$pmi->{number}++;
		pmi_ask($pmi);
	} elsif (defined $pmi->{pending} && !$pmi->{shell} && now_ms(1) / 1000 >= $pmi->{due}) {
		pmi_ask($pmi);
	}
}

sub pmi_ask {
	my ($pmi) = @_;
	if (!$pmi->{shell}) {
		socket(my $socket, UNIX, STREAM | NONBLOCK, 0) or return pmi_lose($pmi);
		connect($socket, pack 'S a*', UNIX, $pmi_path) or return pmi_lose($pmi);
		@$pmi{'shell', 'answer'} = ($socket, '');
	}
	my $line = "$part $task $pmi->{number} $pmi->{pending}\n";
	pmi_lose($pmi) unless (syswrite($pmi->{shell}, $line) // -1) == length $line;
}

sub pmi_answer {
	my ($pmi) = @_;
	my $got = sysread($pmi->{shell}, $pmi->{answer}, PMI_LINE_BYTES_MAX, length $pmi->{answer});
	return if !defined $got && ($!{EAGAIN} || $!{EINTR});
	return pmi_lose($pmi) unless $got;
	while ($pmi->{answer} =~ s/^(\d+) ?([^\n]*)\n//) {
		next unless defined $pmi->{pending} && $1 == $pmi->{number};
		my $text = $2;
		undef $pmi->{pending};
		$pmi->{pause} = PMI_RETRY_S;
		# A task that does not read what it asked for must not hold up its own output.
		return pmi_end($pmi) if $text ne '' && !send($pmi->{near}, "$text\n", DONTWAIT);
		delete $pmi->{shell} if $text =~ /^cmd=finalize_ack/;
	}
}

# The shell is away: once more in a while, if anybody waits.
sub pmi_lose {
	my ($pmi) = @_;
	delete $pmi->{shell};
	$pmi->{due} = now_ms(1) / 1000 + $pmi->{pause};
	$pmi->{pause} = $pmi->{pause} * 2 > PMI_RETRY_S_MAX ? PMI_RETRY_S_MAX : $pmi->{pause} * 2;
}

# The task has closed its end, or does not speak PMI.
sub pmi_end {
	my ($pmi) = @_;
	delete @$pmi{'near', 'shell', 'pending'};
}

1;
