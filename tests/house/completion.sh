#!/bin/bash
# completion.sh: what bash completes is what the programs take: every command and long option that their help names.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
say() {
	if [ "$1" = 0 ]; then echo "ok completion: $2"; else echo "not ok completion: $2"; failed=1; fi
}
PATH=$PWD/build/bin:$PATH
# shellcheck source=/dev/null
. contrib/completion/letterplate
say $? "it can be read"

# offered WORD...: what bash offers where the last word ends.
offered() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	local f
	f=$(complete -p "$1" 2>/dev/null | sed -n 's/.*-F \([^ ]*\).*/\1/p')
	[ -n "$f" ] && "$f" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	printf '%s\n' "${COMPREPLY[@]}"
}
# all "WHAT" WANTED... : each is offered; the words before it are in $before.
all() {
	local what=$1 missing='' w
	shift
	for w; do
		offered "${before[@]}" "$w" | grep -qxF -- "$w" || missing="$missing $w"
	done
	[ $# -gt 0 ] && [ -z "$missing" ]
	say $? "$what${missing:+: not offered:$missing}"
}
options() {
	"$@" -h 2>&1 | grep -oE -- '(^|[][ |(])--[a-z][a-z-]*' | grep -oE -- '--[a-z-]+' | sort -u
}
for program in letterplate-mailboxes letterplate-stats letterplate-log letterplate-trace; do
	before=("$program")
	mapfile -t list < <(options "$program")
	all "$program's options" "${list[@]}"
done
before=(letterplate)
all "letterplate's commands" ctl setup
for command in ctl setup; do
	read -ra before <<<"letterplate $command"
	mapfile -t list < <(options letterplate $command)
	all "letterplate $command's options" "${list[@]}"
done
before=(letterplate ctl)
mapfile -t list < <(letterplate ctl -h | sed -n 's/^  \([a-z]*\) .*/\1/p')
all "letterplate ctl's commands" "${list[@]}"
before=(letterplate-mailboxes)
mapfile -t list < <(letterplate-mailboxes -h | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
all "letterplate-mailboxes' commands" "${list[@]}"
before=(letterplate-credentials)
all "letterplate-credentials' commands" add passwd remove list import
[ "$(offered letterplate ctl rel)" = reload ]
say $? "the rest of a word"
offered letterplate -c contrib/deb | grep -qx contrib/debian
say $? "files behind -c"
offered letterplate -c contrib/deb | grep -q -- '^-'
[ $? = 1 ]
say $? "and nothing else there"
# The package takes it along for each of them.
for program in letterplate letterplate-mailboxes letterplate-stats letterplate-log letterplate-trace letterplate-credentials; do
	grep -qE "for p in .*\b$program\b" mk/deb.mk && complete -p "$program" >/dev/null 2>&1
	say $? "$program has one in the package"
done
exit $failed
