/**
 * A small PMI-1 client (RFC 13) as the program of a test's tasks: it puts its card, waits at the barrier, gets the cards of all,
 * and does that so many times; each time it has passed a barrier it notes the round in a file of its own.
 */
import {chmodSync, writeFileSync} from 'node:fs';

/** Usage: `pmi-client DIR ROUNDS PAUSE`: exits 0 when all was as RFC 13 has it, else with a reason on stderr. */
const CLIENT = `#!/usr/bin/perl
use strict;
my ($dir, $rounds, $pause) = @ARGV;
my ($rank, $size) = @ENV{qw(PMI_RANK PMI_SIZE)};
open(my $pmi, '+<&=', $ENV{PMI_FD}) or die "PMI_FD: $!";
my $rest = '';
sub ask {
	my ($line, $want) = @_;
	syswrite($pmi, "$line\\n") or die "write: $!";
	while (index($rest, "\\n") < 0) {
		sysread($pmi, $rest, 4096, length $rest) or die "$rank: end of PMI after $line\\n";
	}
	$rest =~ s/^([^\\n]*)\\n//;
	my $answer = $1;
	$answer =~ /$want/ or die "$rank: $line: $answer\\n";
	return $1;
}
sub note { open(my $file, '>>', "$dir/rounds.$rank"); syswrite($file, "$_[0]\\n"); }
ask('cmd=init pmi_version=1 pmi_subversion=1', qr/^cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1$/);
ask('cmd=get_maxes', qr/^cmd=maxes rc=0 kvsname_max=\\d+ keylen_max=\\d+ vallen_max=\\d+$/);
ask('cmd=get_appnum', qr/^cmd=appnum rc=0 appnum=0$/);
ask('cmd=get_universe_size', qr/^cmd=universe_size rc=0 size=$size$/);
my $kvs = ask('cmd=get_my_kvsname', qr/^cmd=my_kvsname rc=0 kvsname=(\\S+)$/);
note('map ' . ask("cmd=get kvsname=$kvs key=PMI_process_mapping", qr/^cmd=get_result rc=0 value=(.*)$/));
for my $round (1 .. $rounds) {
	ask("cmd=put kvsname=$kvs key=card.$round.$rank value=host $rank round $round", qr/^cmd=put_result rc=0$/);
	select(undef, undef, undef, $pause * rand) if $pause;
	note("in $round");
	ask('cmd=barrier_in', qr/^cmd=barrier_out rc=0$/);
	note("out $round");
	for my $peer (0 .. $size - 1) {
		ask("cmd=get kvsname=$kvs key=card.$round.$peer", qr/^cmd=get_result rc=0 value=host $peer round $round$/);
	}
}
ask("cmd=get kvsname=$kvs key=nothing", qr/^cmd=get_result rc=4 /);
ask('cmd=finalize', qr/^cmd=finalize_ack rc=0$/);
print "done $rank\\n";
`;

export function writePmiClient(path: string): void {
	writeFileSync(path, CLIENT);
	chmodSync(path, 0o755);
}
