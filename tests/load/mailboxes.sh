#!/bin/sh
# mailboxes.sh: loading a mailbox directory and looking up in it; figures, no judgement.
#	tests/load/mailboxes.sh [MILLIONS]...	(default: 1 10)
# Needs `make all load-programs` and about 1 GiB in TMPDIR for 10 million entries.
set -eu
cd "$(dirname "$0")/../.."
tool=build/bin/letterplate-mailboxes
lookups=build/obj/$(cat build/variant)/tests/load/lookups
where=$(mktemp -d "${TMPDIR:-/tmp}/letterplate-load.XXXXXX")
trap 'rm -rf "$where"' EXIT
[ $# -gt 0 ] || set -- 1 10

# In an order that is neither sorted nor backwards: i * P mod N, for a prime P.
list() {
	awk -v n="$1" -v end="$2" 'BEGIN {
		for (i = 0; i < n; i++) {
			u = (i * 7368787) % n
			printf "user%08d@d%03d.example.org%s\n", u, u % 1000, end
		}
	}'
}

load() {
	python3 - "$1" "$tool" -d "$where/d" load "$where/list" <<'X'
import resource, subprocess, sys, time
n, began = int(sys.argv[1]), time.monotonic()
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
took, use = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print("load: %.2f s, %d entries a second, %.2f s of CPU, %d MiB at the most" %
      (took, n / took, use.ru_utime + use.ru_stime, use.ru_maxrss >> 10))
X
}

mkdir "$where/d"
for millions; do
	n=$((millions * 1000000))
	echo "== $n mailboxes, not in order"
	list $n "" >"$where/list"
	load $n
	"$lookups" "$where/d" $n 1000000
	stat -c 'the snapshot: %s octets' "$where/d/mailboxes.mdb"
done
n=1000000
echo "== $n with a quota each"
list $n " quota=1GiB" >"$where/list"
load $n
echo "== one add to $n"
python3 - "$tool" -d "$where/d" add new@d000.example.org <<'X'
import subprocess, sys, time
began = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print("add: %.3f s" % (time.monotonic() - began))
X
