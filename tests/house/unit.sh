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
# Who has which address is nobody else's business.  systemd's own StateDirectory would give the folder its mode and no group.
if [ "$(id -u)" != 0 ] || ! command -v systemd-tmpfiles >/dev/null; then
	echo "skip unit: the folders' owners: needs root and systemd-tmpfiles"
else
	mkdir -p "$dir/root/etc"
	echo root:x:0:0::/:/bin/sh >"$dir/root/etc/passwd"
	echo letterplate:x:64990:64991::/:/bin/sh >>"$dir/root/etc/passwd"
	printf 'root:x:0:\nletterplate:x:64991:\n' >"$dir/root/etc/group"
	systemd-tmpfiles --create --root="$dir/root" "$PWD/contrib/letterplate.tmpfiles" >"$dir/out" 2>&1
	for want in '64990 64991 700 mail/letterplate' '0 64991 750 lib/letterplate'; do
		got=$(cd "$dir/root/var" && stat -c '%u %g %a %n' "${want##* }" 2>/dev/null)
		if [ "$got" != "$want" ]; then
			echo "not ok unit: folders: '$got', not '$want'; $(cat "$dir/out")"
			exit 1
		fi
	done
	if grep -q '^StateDirectory' contrib/letterplate.service; then
		echo "not ok unit: StateDirectory sets the folder's mode anew at each start"
		exit 1
	fi
	echo "ok unit: the folders for mail and mailbox list are the server's alone"
fi
# It needs neither root nor a capability; the address that it listens on is what is left.
if out=$(systemd-analyze security --offline=true --no-pager --threshold=15 "$dir/letterplate-stats.service" 2>&1); then
	echo "ok unit: $(echo "$out" | tail -1 | sed 's/.*level for/exposure of/')"
else
	echo "not ok unit: $(echo "$out" | tail -1)"
	exit 1
fi
