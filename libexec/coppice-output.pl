# What shims do with the output of their tasks: from pipes to spools, or to files of the user's. Loaded by coppice-launcher.
#
# Invariant: a byte that was read from a pipe is in its file, or in `held.*` until its line is whole, or is counted as dropped
# or lost, before the next one is read.

use strict;

use constant {
	LINE_BYTES_MAX => 1 << 20,    # Without a line feed so much is a line.
	APPEND => O_WRONLY | O_CREAT | O_APPEND,
};

our $task;

sub open_outputs {
	my ($launch, $local, $again) = @_;
	my @paths = ($launch->{stdout}, $launch->{stderr});
	my @shared = map { $_ ne '' && !/\{\{task(?:id|\.id|\.index)\}\}/ } @paths;
	my %names = ('id' => $task, '.id' => $task, '.index' => $local);
	s/\{\{task(id|\.id|\.index)\}\}/$names{$1}/g for @paths;
	my $lock;
	my $first = 0;
	if (!$again && ($shared[0] || $shared[1])) {
		# One file for several tasks is emptied once, by whoever comes first, before anybody writes.
		sysopen($lock, 'part', O_RDONLY) && flock($lock, LOCK_EX) or die "lock: $!\n";
		$first = sysopen(my $marker, 'opened', O_WRONLY | O_CREAT | O_EXCL, 0600);
	}
	my @files = map {
		my $name = (qw(stdout stderr))[$_];
		# A spool is made for its first byte: most tasks write none, and a file costs as much as all the rest of a shim.
		my $file;
		my $empties = !$again && !$launch->{append} && ($shared[$_] ? $first && $launch->{truncate} : 1);
		$paths[$_] eq '' or sysopen($file, $paths[$_], APPEND | ($empties ? O_TRUNC : 0), 0666)
			or die "$name: $paths[$_]: $!\n";
		my $stream = {name => $name, file => $file, path => $paths[$_], spool => $paths[$_] eq '', lost => 0};
		if ($stream->{spool}) {
			@$stream{'path', 'limit', 'dropped'} = ("$name.$task", $launch->{limit}, $again ? undef : 0);
		} elsif (my $mode = substr $launch->{lines} // '', $_, 1) {
			$stream->{label} = $mode eq 'l' ? "$task: " : '';
			$stream->{held} = $again ? slurp("held.$name.$task") // '' : '';
		}
		$stream;
	} 0, 1;
	flock($lock, LOCK_UN) if $lock;
	return @files;
}

# Moves what is there from a pipe to its file; false at its end.
sub copy {
	my ($stream) = @_;
	my $got = sysread($stream->{pipe}, my $bytes, COPY_BYTES);
	return 1 if !defined $got && ($!{EINTR} || $!{EAGAIN});
	if ($stream->{error}) {
		${$stream->{error}} .= $bytes;
		return $got;
	}
	return 0 unless $got || defined $stream->{held};
	$bytes = whole_lines($stream, $bytes, !$got) if defined $stream->{held};
	$bytes = within_limit($stream, $bytes) if $stream->{limit};
	store($stream, $bytes);
	return $got;
}

# Lines of several tasks must not mix in one file. What is no line yet is kept in a file too, for a rescue; it is rare.
sub whole_lines {
	my ($stream, $bytes, $is_last) = @_;
	my $all = $stream->{held} . $bytes;
	my $end = $is_last || length $all > LINE_BYTES_MAX ? length $all : rindex($all, "\n") + 1;
	my $rest = substr($all, $end);
	if ($rest ne $stream->{held} && sysopen(my $file, "held.$stream->{name}.$task", O_WRONLY | O_CREAT | O_TRUNC, 0600)) {
		syswrite($file, $rest);
	}
	$stream->{held} = $rest;
	my $lines = substr($all, 0, $end);
	if ($stream->{label} ne '' && $lines ne '') {
		$lines .= "\n" if $is_last && $lines !~ /\n\z/;
		$lines =~ s/^/$stream->{label}/mg;
	}
	return $lines;
}

# What a spool takes of this: nothing beyond its limit, where a line says so. What was dropped is counted in a file.
sub within_limit {
	my ($stream, $bytes) = @_;
	my $room = $stream->{limit} - ($stream->{stored} //= -s $stream->{path} || 0);
	$stream->{stored} += length $bytes;
	return $bytes if length $bytes <= $room;
	$stream->{dropped} //= slurp("dropped.$stream->{name}.$task") // 0;
	my $kept = $room > 0 ? substr($bytes, 0, $room) : '';
	$stream->{dropped} += length($bytes) - length $kept;
	if (sysopen(my $file, "dropped.$stream->{name}.$task", O_WRONLY | O_CREAT, 0600)) {
		syswrite($file, $stream->{dropped});
	}
	# A spool beyond its limit has this line already.
	return $room < 0 ? '' : "$kept\ncoppice: output limit of $stream->{limit} bytes reached: what follows is dropped\n";
}

# A file that can't be written loses bytes, but neither blocks nor ends the task.
sub store {
	my ($stream, $bytes) = @_;
	my $got = length $bytes;
	my $done = 0;
	while ($done < $got) {
		$stream->{file} //= make_spool($stream) // last;
		my $put = syswrite($stream->{file}, $bytes, $got - $done, $done);
		next if !defined $put && $!{EINTR};
		last unless $put;
		$done += $put;
	}
	if ($done < $got) {
		$stream->{lost} += $got - $done;
		$stream->{reason} = "$!";
	}
}

sub make_spool {
	my ($stream) = @_;
	sysopen(my $file, $stream->{path}, APPEND, 0600) or return;
	return $file;
}

# Says at the end of a spool what is not in it. Not for a rescuer, which is not always the last one: the job shell says it then.
sub note_dropped {
	my ($stream) = @_;
	store($stream, "coppice: $stream->{dropped} bytes of $stream->{name} were dropped\n") if $stream->{dropped};
}

# Says at the end of a file that bytes of it are lost. A spool's last bytes give way for that if they must.
sub note_loss {
	my ($stream) = @_;
	return unless $stream->{lost};
	my $note = "\ncoppice: $stream->{lost} bytes of output were lost: $stream->{reason}\n";
	return unless $stream->{file};    # Not even that could be made.
	my $put = syswrite($stream->{file}, $note) // 0;
	return if $put == length $note || !$stream->{spool};
	sysopen(my $file, $stream->{path}, O_WRONLY) or return;
	my $size = -s $file;
	sysseek($file, $size > length $note ? $size - length $note : 0, SEEK_SET);
	syswrite($file, $note);
}

# Which streams are complete: one digit each for stdout and stderr.
sub flags {
	my ($pipes, @streams) = @_;
	return join '', map { $pipes->{fileno $_->{pipe}} ? 0 : 1 } @streams;
}

1;
