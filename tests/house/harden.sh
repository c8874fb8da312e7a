#!/bin/sh
# harden.sh: do the built programs carry all that the compiler and the linker can do for them?  Asked of the
# programs, not of the Makefile.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
variant=$(cat build/variant)

case $variant in
*-*)
	echo "skip harden: a build with a sanitizer is for tests"
	exit 0 ;;
esac

ok() { # ok STATUS TEXT
	if [ "$1" = 0 ]; then
		echo "ok harden: $2"
	else
		echo "not ok harden: $2"
		failed=1
	fi
}

has() { # has TEXT PATTERN
	printf '%s\n' "$1" | grep -qE -- "$2"
}

for name in letterplate letterplate-worker letterplate-mailboxes letterplate-stats letterplate-log letterplate-trace; do
	program=build/bin/$name
	if [ ! -x "$program" ]; then
		ok 1 "$program is there"
		continue
	fi
	dynamic=$(readelf -dW "$program")
	segments=$(readelf -lW "$program")
	calls=$(readelf --dyn-syms -W "$program")

	{ readelf -hW "$program" | grep -q 'Type:.*DYN' && has "$dynamic" 'FLAGS_1.*PIE'; }
	ok $? "$name is position-independent"
	{ has "$segments" GNU_RELRO && has "$dynamic" 'FLAGS\).*BIND_NOW'; }
	ok $? "$name has its relocations read-only before main"
	has "$segments" 'GNU_STACK.* RW '
	ok $? "$name has no executable stack"
	! has "$segments" 'LOAD.* RWE '
	ok $? "$name has no segment that is writable and executable"
	! has "$dynamic" 'TEXTREL|RPATH|RUNPATH'
	ok $? "$name has no text relocation and no library path of its own"
	has "$calls" '__stack_chk_fail'
	ok $? "$name has stack canaries"
	has "$calls" '__(mem|str|v?s?n?printf|fprintf|v?asprintf|dprintf|read|recv|fd|poll)[a-z]*_chk'
	ok $? "$name has fortified calls: $(printf '%s\n' "$calls" | grep -oE '__[a-z_]+_chk@' | sort -u | wc -l) kinds"
done

# The linker drops the mark of a program when one object lacks it, as the C library's start files in Debian 12 do;
# so the marks of our own objects are asked.
case $(uname -m) in
x86_64)
	bad=''
	n=0
	for o in $(find common worker master keys reports tools -name '*.c' | sed "s|\(.*\)\.c|build/obj/$variant/\1.o|"); do
		n=$((n + 1))
		readelf -nW "$o" 2>/dev/null | grep -q 'IBT, SHSTK' || bad="$bad $o"
	done
	[ -z "$bad" ]
	ok $? "$n objects are made for indirect branch tracking and shadow stacks$bad" ;;
*) echo "skip harden: CET is of x86-64" ;;
esac

# What the compiler refused is said, not hidden.
refused=$(sed -n 's/^# refused by [^:]*: *//p' "build/obj/$variant/flags.mk")
if [ -z "$refused" ]; then
	echo "ok harden: $variant took all flags that were probed"
else
	echo "skip harden: $variant does not know $refused"
fi
exit $failed
