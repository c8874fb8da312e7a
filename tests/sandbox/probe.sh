#!/bin/sh
# probe.sh: runs the sandbox probe as whoever calls, and as root also as a plain user without and with a
# capability, as an init system may give one.  Lines of TAP; needs `make probe` before.
#   tests/sandbox/probe.sh [PROGRAM]
set -u
cd "$(dirname "$0")/../.." || exit 1

probe=${1:-build/obj/$(cat build/variant)/tests/sandbox/probe}
if [ ! -x "$probe" ]; then
	echo "not ok sandbox: $probe is missing: make probe"
	exit 1
fi
failed=0

"$probe" nobody || failed=1

if [ "$(id -u)" != 0 ]; then
	echo "skip sandbox: as another user: not root"
	exit $failed
fi
# The checkout may lie where only its owner can go.
copy=$(mktemp -d) || exit 1
trap 'rm -rf "$copy"' EXIT
install -m 755 "$probe" "$copy/probe" && chmod 755 "$copy"
for caps in -all +net_bind_service; do
	echo "# as nobody with capabilities $caps"
	setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --inh-caps=$caps --ambient-caps=$caps \
		"$copy/probe" || failed=1
done
exit $failed
