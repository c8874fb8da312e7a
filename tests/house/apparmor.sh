#!/bin/sh
# apparmor.sh: the AppArmor profile by its own parser, and by the kernel where that has AppArmor.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
command -v apparmor_parser >/dev/null || { echo "skip apparmor: no apparmor_parser"; exit 0; }
profile=contrib/letterplate.apparmor
out=$(apparmor_parser -QK "$profile" 2>&1) || { echo "not ok apparmor: it can be parsed: $out"; exit 1; }
echo "ok apparmor: it can be parsed"
failed=0
# Each program that the server starts is one that the profile lets it start.
for program in letterplate-worker letterplate-keys letterplate-auth letterplate-reports; do
	if grep -q "/usr/bin/$program mrix," "$profile"; then
		echo "ok apparmor: it starts $program"
	else
		echo "not ok apparmor: it starts $program"
		failed=1
	fi
done
# Only where nobody has one of that name loaded: a test that runs beside a server must leave its profile alone.
if [ "$(id -u)" != 0 ] || [ ! -w /sys/kernel/security/apparmor/.load ] || grep -q '^letterplate ' /sys/kernel/security/apparmor/profiles; then
	echo "skip apparmor: it is loaded: no AppArmor in this kernel, no root, or it is there already"
elif out=$(apparmor_parser -aK "$profile" 2>&1); then
	echo "ok apparmor: it is loaded"
	apparmor_parser -R "$profile"
else
	echo "not ok apparmor: it is loaded: $out"
	failed=1
fi
exit $failed
