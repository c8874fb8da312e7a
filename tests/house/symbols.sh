#!/bin/sh
# symbols.sh: an external symbol begins with the name of its file, of a header beside it, or of its folder, so that a
# reader knows where to look.
# Looks at the objects of the variant that was built last; a line of TAP an object.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
objects=build/obj/$(cat build/variant)

for file in $(find common worker master keys reports tools -name '*.c' | sort); do
	o=$objects/${file%.c}.o
	if [ ! -e "$o" ]; then
		echo "not ok symbols: $o is missing: make"
		failed=1
		continue
	fi
	dir=${file%/*}
	module=
	for h in "$dir"/*.h; do
		h=${h##*/}
		module="$module${h%.h}|"
	done
	base=${file##*/}
	base=${base%.c}
	module="$module$base|${base%%_*}|${dir##*/}"
	case $file in
	common/xtext.c) module="$module|path" ;;   # path_encode: of a Maildir's path, beside its siblings
	worker/asks.c) module="$module|ask" ;;     # one of them
	worker/hooks.c) module="$module|handler" ;; # handlers/handler.h's functions, which need the session
	worker/smtp/edit.c) module="$module|edits" ;; # one of them, and all of a message
	worker/store/maildir_spot.c) module="$module|spot" ;; # what is done to one
	worker/smtp/*) module="$module|say" ;;     # the engine's replies, rows of one table over several files
	esac
	bad=$(nm -g --defined-only "$o" | awk '$2 !~ /^[wWuVv]$/ { print $3 }' |
		grep -vE "^(main|($module)(_.*)?)\$|^__(a|t|ub)san|^__odr" | tr '\n' ' ')
	if [ -z "$bad" ]; then
		echo "ok symbols: $file"
	else
		echo "not ok symbols: $file defines $bad"
		failed=1
	fi
done
exit $failed
