/**
 * The program of the jobs under test. Invariant: whatever a task does, its ledger `LEDGERS/<job id>.<task>` says it
 * first: `start PID START_TICKS EPOCH`, then `end STATUS EPOCH` (`end sigN EPOCH` before it ends itself by a signal).
 * So two `start` lines are a task that ran twice, and a ledger without `end` is a task that was ended from outside.
 */
import {chmodSync, writeFileSync} from 'node:fs';

/**
 * Usage: `task LEDGERS exit STATUS | gate FIFO STATUS | sleep SECONDS STATUS | signal SECONDS N | count LINES SECONDS
 * STATUS | trap FIFO STATUS | digest STATUS | repeat LINES STATUS | meet ROUNDS SECONDS STATUS`. `digest` and `repeat` read their
 * stdin. STATUS is an arithmetic expression over the environment. A gated task waits without using the processor until its gate is
 * opened (`Gate`). Tasks that meet exchange cards over so many PMI barriers; one that gets a wrong card ends with 97, and
 * without an end in its ledger.
 */
const SCRIPT = `#!/bin/sh
ledger="$1/$COPPICE_JOB_ID.$COPPICE_TASK_RANK"
read -r stat < "/proc/$$/stat"
started() { shift 19; echo "start $$ $1 $(date +%s.%N)" >> "$ledger"; }
finish() { echo "end $1 $(date +%s.%N)" >> "$ledger"; }
leave() { finish "$1"; exit "$1"; }
started \${stat##*) }
shift
case $1 in
exit) leave $(($2));;
gate) read -r line < "$2"; leave $(($3));;
sleep) sleep "$2"; leave $(($3));;
signal) sleep "$2"; finish "sig$3"; kill -"$3" $$; sleep 5;;
trap) trap 'leave $(($3))' TERM; while :; do read -r line < "$2"; done;;
count)
	i=0
	while [ $i -lt "$2" ]; do
		i=$((i + 1))
		echo $i
		echo e$i >&2
		sleep "$3"
	done
	leave $(($4));;
digest)
	sha256sum
	leave $(($2));;
repeat)
	i=0
	while [ $i -lt "$2" ] && read -r line; do
		i=$((i + 1))
		echo "got $line"
	done
	leave $(($3));;
meet)
	ask() { echo "cmd=$1" >&$PMI_FD; read -r answer <&$PMI_FD; }
	ask 'init pmi_version=1 pmi_subversion=1'
	ask get_my_kvsname
	kvs="kvsname=\${answer##*kvsname=}"
	next=$(((PMI_RANK + 1) % PMI_SIZE))
	i=0
	while [ $i -lt "$2" ]; do
		i=$((i + 1))
		ask "put $kvs key=$i.$PMI_RANK value=card $i $PMI_RANK"
		sleep "$3"
		ask barrier_in
		[ "$answer" = 'cmd=barrier_out rc=0' ] || exit 97
		ask "get $kvs key=$i.$next"
		[ "\${answer##*value=}" = "card $i $next" ] || exit 97
	done
	ask finalize
	leave $(($4));;
*) leave 99;;
esac
`;

export function writeTaskScript(path: string): void {
	writeFileSync(path, SCRIPT);
	chmodSync(path, 0o755);
}
