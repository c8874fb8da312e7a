#!/bin/sh
# store.sh: the Maildir store alone against a plain loop that does the same system calls, turn by turn in one run.
#	tests/load/store.sh [FOLDER [MESSAGES [ROUNDS]]]
# Needs `make unit-programs load-programs`.  Folders are fresh each time: ext4 creates slowly after mass deletes.
set -eu
cd "$(dirname "$0")/../.."
obj=build/obj/$(cat build/variant)/tests
where=${1:-${TMPDIR:-/tmp}}
messages=${2:-4000}
rounds=${3:-3}
base=$(mktemp -d "$where/letterplate-load.XXXXXX")
ledger=$(mktemp -d /dev/shm/letterplate-load.XXXXXX)
trap 'rm -rf "$base" "$ledger"' EXIT

rate() {
	sed -n 's|.* \([0-9]*\)/s$|\1|p'
}

echo "10 KiB messages, 16 mailboxes, messages a second (each line: $rounds rounds, in turn)"
n=0
for c in 1 16 64; do
	# The pool has 16 threads, so more in flight only wait; the plain loop gets a thread for each.
	m=$messages
	[ "$c" != 1 ] || m=$((messages / 4))
	store=''
	plain=''
	for _ in $(seq "$rounds"); do
		n=$((n + 1))
		mkdir "$base/s$n" "$base/p$n"
		sync
		store="$store $("$obj/fault/storedrive" -d "$base/s$n" -l "$ledger/$n" -n "$m" -c "$c" -b 16 -s 10240 | rate)"
		sync
		plain="$plain $("$obj/load/plain" "$base/p$n" "$m" "$c" 10240 16 | rate)"
	done
	echo "in flight $c: store$store; plain loop$plain"
done
echo "10 KiB to 20 recipients, files a second"
for flag in '' -1; do
	n=$((n + 1))
	mkdir "$base/s$n"
	sync
	r=$("$obj/fault/storedrive" -d "$base/s$n" -l "$ledger/$n" -n $((messages / 20)) -c 4 -b 40 -r 20 -s 10240 $flag | rate)
	echo "${flag:+hard-linked: }$((r * 20))"
done
