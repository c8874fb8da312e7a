#!/bin/sh
# unit.sh: the systemd unit by systemd itself: it can be read, and its exposure does not grow.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v systemd-analyze >/dev/null || { echo "skip unit: no systemd-analyze"; exit 0; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
for unit in letterplate letterplate-stats; do
	sed -e 's|@BINDIR@|/bin|g' -e 's|@SYSCONFDIR@|/etc|g' contrib/$unit.service >"$dir/$unit.service"
done
# 20: what is left is root, the capabilities to become another user, and the network.
if out=$(systemd-analyze security --offline=true --no-pager --threshold=20 "$dir/letterplate.service" 2>&1); then
	echo "ok unit: $(echo "$out" | tail -1 | sed 's/.*level for/exposure of/')"
else
	echo "not ok unit: $(echo "$out" | tail -1)"
	exit 1
fi
# The journal asks /proc/sys for the boot's id; tests/fault/server_unit.py shows, as root, what comes of it.
if grep -q '^ProcSubset=pid' contrib/letterplate.service; then
	echo "not ok unit: ProcSubset=pid hides the boot's id"
	exit 1
fi
echo "ok unit: the boot's id can be read"
# It needs neither root nor a capability; the address that it listens on is what is left.
if out=$(systemd-analyze security --offline=true --no-pager --threshold=15 "$dir/letterplate-stats.service" 2>&1); then
	echo "ok unit: $(echo "$out" | tail -1 | sed 's/.*level for/exposure of/')"
else
	echo "not ok unit: $(echo "$out" | tail -1)"
	exit 1
fi
