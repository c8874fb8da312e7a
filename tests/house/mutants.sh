#!/bin/sh
# mutants.sh: does each mutant still apply?  One that does not proves nothing, and `make check-mutants` is too long to say so in time.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
for p in tests/mutants/*.patch; do
	if patch -p1 -s -f --dry-run <"$p" >/dev/null 2>&1; then
		echo "ok mutants: $p"
	else
		echo "not ok mutants: $p does not apply: make its change anew and take the diff"
		failed=1
	fi
done
exit $failed
