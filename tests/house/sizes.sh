#!/bin/sh
# sizes.sh: a file has at most 800 lines, a function at most 100, and nine of ten at most 40.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1

find common worker master keys reports tools tests \( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' \) -exec wc -l {} + |
	awk '$2 != "total" && $1 > 800 { print "not ok sizes: " $2 " has " $1 " lines"; bad = 1 }
		$2 != "total" { n++ }
		END { if (!bad) print "ok sizes: " n " files of at most 800 lines"; exit bad }'
failed=$?

# A function's body stands between { and } in the first column; its name on the line before.
# shellcheck disable=SC2016
find common worker master keys reports tools -name '*.c' | sort | xargs awk '
	FNR == 1 { inside = 0; name = "" }
	/^[a-z_][A-Za-z0-9_]*\(/ { name = $0; sub(/\(.*/, "", name) }
	/^\{/ { inside = FNR }
	/^\}/ && inside && name != "" { print FNR - inside + 1, FILENAME, name; inside = 0; name = "" }
' | sort -n | awk '
	{ n++; len[n] = $1; if ($1 > 100) { print "not ok sizes: " $2 ": " $3 " has " $1 " lines"; bad = 1 } }
	END {
		if (n < 50) { print "not ok sizes: only " n " functions found"; exit 1 }
		p = len[int(n * 0.9)]
		if (!bad)
			print "ok sizes: " n " functions of at most " len[n] " lines"
		print (p <= 40 ? "ok" : "not ok") " sizes: nine of ten have at most " p " lines"
		exit bad || p > 40
	}' || failed=1
exit $failed
