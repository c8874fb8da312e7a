#!/bin/sh
# text.sh: white space at line ends, line ends, and what a file says of itself at its top.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

# say NAME BAD: one line for a property; BAD is empty or the files that lack it.
say() {
	if [ -z "$2" ]; then
		echo "ok text: $1"
	else
		echo "not ok text: $1: $(echo "$2" | head -5 | tr '\n' ' ')"
		failed=1
	fi
}

# The files that people write; data for parsers may be as odd as it likes.
files=$(find . -path ./build -prune -o -path ./.git -prune -o -path ./tests/fuzz/corpus -prune -o -path ./tests/conf/bad -prune \
	-o -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.md' -o -name '*.mk' -o -name Makefile \
	-o -name '*.[1-9]' -o -name '*.service' -o -name '*.socket' \) -print)

# shellcheck disable=SC2086
say 'no white space at line ends' "$(grep -lE '[[:space:]]+$' $files)"
# shellcheck disable=SC2086
say 'no carriage returns' "$(grep -l "$(printf '\r')" $files)"
say 'every file ends with a line end' "$(for f in $files; do
	[ "$(tail -c1 "$f" | od -An -tx1 | tr -d ' ')" = 0a ] || echo "$f"
done)"
sources=$(find common worker master keys reports tools tests -name '*.[ch]' | grep -v '^tests/fuzz/corpus' | sort)
say 'every .c and .h opens with a comment' "$(for f in $sources; do
	head -c2 "$f" | grep -q '^/\*' || echo "$f"
done)"
say 'the comment of a file of the product begins with its name' "$(for f in $(echo "$sources" | grep -v ^tests/); do
	name=$(basename "$f" | sed 's/[._].*//') # or the program's
	head -2 "$f" | tr '\n' ' ' | grep -qE "^/\*[ *]*(${name}[a-z_]*|letterplate-[a-z]+)( \(|[:,])" || echo "$f"
done)"
say 'every header has a guard named by its path' "$(for f in $(find common worker master keys reports tools tests -name '*.h' | sort); do
	guard=$(echo "$f" | tr 'a-z/.-' 'A-Z___')_
	grep -q "^#ifndef $guard\$" "$f" || echo "$f"
done)"
say 'every script says what it is' "$(for f in $(find tools tests -type f -perm -u+x | grep -v '\.pyc$'); do
	if head -1 "$f" | grep -q '^#!'; then
		head -3 "$f" | grep -qE '^("""|# )[a-z0-9_.-]+: ' || echo "$f"
	fi
done)"
exit $failed
