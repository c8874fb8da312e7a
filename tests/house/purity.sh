#!/bin/sh
# purity.sh: does what calls itself PURE keep its word?  No descriptor, no clock, no malloc, no globals, no log:
# the linker knows.  Looks at the objects of the variant that was built last; a line of TAP an object.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
variant=$(cat build/variant 2>/dev/null)
objects=build/obj/$variant

case $variant in
*-*)
	echo "skip purity: a sanitizer adds calls of its own"
	exit 0 ;;
esac

# From the C library: octets, strings, formatting into memory, the end of a broken invariant, and what the compiler adds.
library='mem(cpy|move|set|cmp|chr|rchr|mem)|str(len|nlen|cmp|ncmp|chr|spn|cspn|str)|strlcpy|explicit_bzero|v?snprintf
abort|__assert_fail|__errno_location|qsort|bsearch|bcmp|inet_pton
__stack_chk_fail|__(memcpy|memmove|memset|snprintf|vsnprintf|explicit_bzero|strlcpy)_chk|_GLOBAL_OFFSET_TABLE_|__cpu_model'
library=$(printf '%s' "$library" | tr '\n' '|')
memory='malloc|calloc|realloc|free'

pure="common/span common/ip common/buf common/arena common/crc32c common/field common/addr common/date common/reply common/xtext $(
	find worker/smtp worker/milter/packet.c worker/milter/state.c worker/milter/fields.c worker/handlers/policy/request.c worker/handlers/policy/answer.c \
		reports/relay_reply.c \
		-name '*.c' | sed 's/\.c$//' | sort
)"
list=''
for o in $pure; do
	if [ ! -e "$o.c" ]; then
		continue # a header alone
	fi
	if [ ! -e "$objects/$o.o" ]; then
		echo "not ok purity: $objects/$o.o is missing: make"
		failed=1
		continue
	fi
	list="$list $o"
done
# What they define among themselves may be used.
ours=$(for o in $list; do nm -g --defined-only "$objects/$o.o"; done | awk '{ print $3 }' | tr '\n' '|')

for o in $list; do
	allowed="$library|${ours%|}"
	case $o in
	common/buf | common/arena) allowed="$allowed|$memory" ;;
	esac
	bad=$(nm -u "$objects/$o.o" | awk '{ print $2 }' | grep -vxE "$allowed" | tr '\n' ' ')
	# Writable data; tables of pointers, which the loader fills once, are in .data.rel.ro.
	globals=$(size -A "$objects/$o.o" | awk '$1 ~ /^\.(data|bss|tdata|tbss)$/ { n += $2 } END { print n + 0 }')
	if [ -z "$bad" ] && [ "$globals" = 0 ]; then
		echo "ok purity: $o"
	else
		echo "not ok purity: $o: calls [$bad], $globals octets of globals"
		failed=1
	fi
done
exit $failed
