#!/bin/sh
# throughput: messages a second into a server of one's own on this machine, by connections, size and pipelining.  Not a test.
#	tests/load/throughput.sh [MESSAGES]	(5000)
# The store is a folder below TMPDIR: set that to the file system that is to be measured.
set -eu

cd "$(dirname "$0")/../.."
n=${1:-5000}
load=build/obj/$(cat build/variant)/tests/load/load
scratch=$(mktemp -d)
chmod 711 "$scratch"
port=$((21000 + $$ % 9000))
server=
finish() {
	[ -z "$server" ] || { kill "$server"; wait "$server" || true; }
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir "$scratch/state" "$scratch/directory" "$scratch/mail"
[ "$(id -u)" != 0 ] || chown nobody "$scratch/state" "$scratch/mail"
cat >"$scratch/conf" <<END
hostname = "mx.test.example"
user = "nobody"
state_dir = "$scratch/state"
directory = "$scratch/directory"
listener "mx" { address = {"127.0.0.1:$port"} }
limits { connections_per_ip = 0 }
store "maildir" { path = "$scratch/mail" }
log { level = "warn" }
END
awk 'BEGIN { for (i = 0; i < 1000; i++) print "u" i "@example.org" }' | build/bin/letterplate-mailboxes -d "$scratch/directory" load - >/dev/null
build/bin/letterplate -c "$scratch/conf" &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	if "$load" -p "$port" -n 1 -s 1000 >/dev/null 2>&1; then break; fi
	sleep 0.3
done
# Each mailbox's folders are made at its first message; that is not what is measured.
"$load" -p "$port" -n 2000 -c 64 -s 100 >/dev/null
for c in ${CONNECTIONS:-1 16 64 256}; do
	"$load" -p "$port" -n "$n" -c "$c"
done
"$load" -p "$port" -n "$n" -c 64 -P
"$load" -p "$port" -n "$n" -c 64 -m 1
"$load" -p "$port" -n $((n / 20)) -c 20 -s 1048576
