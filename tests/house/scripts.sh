#!/bin/sh
# scripts.sh: what shellcheck, pyflakes and mandoc say of scripts and man pages: nothing.  Lines of TAP; a tool that is
# not installed is skipped.  `make lint-scripts` is this file.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

# try NAME TOOL COMMAND...: one line; COMMAND prints nothing when all is well.
try() {
	name=$1 tool=$2
	shift 2
	if ! command -v "$tool" >/dev/null; then
		echo "skip scripts: $name: no $tool here: tools/install-deps check"
	elif said=$("$@" 2>&1) && [ -z "$said" ]; then
		echo "ok scripts: $name"
	else
		echo "not ok scripts: $name"
		echo "$said" | head -20 | sed 's/^/# /'
		failed=1
	fi
}

# begins REGEX: the files that are no .py and begin with such a line.
begins() {
	grep -rIlE -m1 "$1" --exclude-dir=build --exclude-dir=.git --exclude='*.md' --exclude='*.py' .
}

# A page of ours that another names is not installed yet, nor need be one of Debian's.
# shellcheck disable=SC2317
man_pages() {
	mandoc -T lint man/*.[1-9] 2>/dev/null | grep -v 'referenced manual not found'
	true
}

# A quotation inside another one: .Ql holds all that follows on its line.
# shellcheck disable=SC2317
nested_quotes() {
	for page in man/*.[1-9]; do
		mandoc -T utf8 "$page" | grep -n "’’" | sed "s|^|$page: |"
	done
	true
}

# A line comes a moment after the reply that it tells of: a test that looks once fails on a busy machine.
# shellcheck disable=SC2317
looks_once() {
	grep -rnE --include='*.py' 'check\(.* in [a-z]+\.log\(\)' tests | grep -vE 'not in|lambda'
	true
}

python=$(find tests tools examples -name '*.py'; begins '^#!/usr/bin/env (-S )?python3')
# shellcheck disable=SC2046
try 'shell scripts' shellcheck shellcheck $(begins '^#!/bin/(ba)?sh')
# shellcheck disable=SC2086
try 'Python scripts' pyflakes3 pyflakes3 $python
try 'tests wait for a line of the log: says(), lines()' grep looks_once
try 'man pages' mandoc man_pages
try 'quotations in man pages' mandoc nested_quotes
exit $failed
