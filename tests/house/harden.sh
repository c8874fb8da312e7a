#!/bin/sh
# harden.sh: do the built programs carry all that the compiler and the linker can do for them?  Asked of the
# programs, not of the Makefile.  Lines of TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
variant=$(cat build/variant)

ok() { # ok STATUS TEXT
	if [ "$1" = 0 ]; then
		echo "ok harden: $2"
	else
		echo "not ok harden: $2"
		failed=1
	fi
}

case $variant in
*-cfi)
	for program in build/bin/letterplate*; do
		readelf --dyn-syms -W "$program" | grep -q ' __cfi_check$' && nm "$program" | grep -q '\.cfi$'
		ok $? "$program checks its calls by pointers"
	done
	exit $failed ;;
*-*)
	echo "skip harden: a build with a sanitizer is for tests"
	exit 0 ;;
esac

has() { # has TEXT PATTERN
	printf '%s\n' "$1" | grep -qE -- "$2"
}

# What a program and a module have alike.
image() { # image FILE NAME
	dynamic=$(readelf -dW "$1")
	segments=$(readelf -lW "$1")
	{ has "$segments" GNU_RELRO && has "$dynamic" 'FLAGS\).*BIND_NOW'; }
	ok $? "$2 has its relocations read-only before it runs"
	has "$segments" 'GNU_STACK.* RW '
	ok $? "$2 has no executable stack"
	! has "$segments" 'LOAD.* RWE '
	ok $? "$2 has no segment that is writable and executable"
	! has "$dynamic" 'TEXTREL|RPATH|RUNPATH'
	ok $? "$2 has no text relocation and no library path of its own"
	made_with "$1" "$2"
}

# gcc writes down what each part was made with, and clang does not.
made_with() { # made_with FILE NAME
	case $variant in gcc*) ;; *) return ;; esac
	parts=$(readelf -wi --dwarf-depth=1 "$1" 2>/dev/null | grep 'DW_AT_producer.*GNU C')
	without=''
	for flag in $(sed -n 's/^HARDEN :=//p' "build/obj/$variant/flags.mk") -O2; do
		case $flag in -fno-strict-overflow | -fno-plt) continue ;; esac
		printf '%s\n' "$parts" | grep -qvF -- " $flag" && without="$without $flag"
	done
	[ -n "$parts" ] && [ -z "$without" ]
	ok $? "$2: its $(printf '%s\n' "$parts" | wc -l) parts are made with all that the compiler takes$without"
}

for program in build/bin/letterplate*; do
	name=${program#build/bin/}
	image "$program" "$name"
	calls=$(readelf --dyn-syms -W "$program")
	{ readelf -hW "$program" | grep -q 'Type:.*DYN' && has "$dynamic" 'FLAGS_1.*PIE'; }
	ok $? "$name is position-independent"
	has "$calls" '__stack_chk_fail'
	ok $? "$name has stack canaries"
	has "$calls" '__(mem|str|v?s?n?printf|fprintf|v?asprintf|dprintf|read|recv|fd|poll)[a-z]*_chk'
	ok $? "$name has fortified calls: $(printf '%s\n' "$calls" | grep -oE '__[a-z_]+_chk@' | sort -u | wc -l) kinds"
done

for module in build/modules/*.so; do
	image "$module" "${module#build/}"
done

# Which level of fortification it is stands nowhere but in the command.
make -n V=1 -W common/arena.c "build/obj/$variant/common/arena.o" CC="${variant%%-*}" | grep -q -- '-D_FORTIFY_SOURCE=3'
ok $? "$variant is made with _FORTIFY_SOURCE=3"
all=$(sed -n 's/^PROGRAMS := //p' Makefile | wc -w)
[ "$(find build/bin -name 'letterplate*' | wc -l)" = "$all" ]
ok $? "all $all programs were looked at"

# The linker drops the mark of a program when one object lacks it, as the C library's start files in Debian 12 do;
# so the marks of our own objects are asked.
case $(uname -m) in
x86_64)
	bad=''
	n=0
	for o in $(find common worker master keys auth reports tools -name '*.c' | sed "s|\(.*\)\.c|build/obj/$variant/\1.o|"); do
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
