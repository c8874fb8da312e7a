#!/bin/sh
# check: no (tests/e2e/sandbox.py runs it)
# check: no
# inspect.sh: looks at the workers of a running server through /proc: who they are, on every thread, and what
# they hold open.  Lines of TAP.  As another user than root the descriptors can't be seen: skipped out loud.
#   tests/sandbox/inspect.sh MASTERPID
set -u

master=${1:?usage: inspect.sh MASTERPID}
failed=0

# ok CONDITION-STATUS TEXT
ok() {
	if [ "$1" = 0 ]; then
		echo "ok inspect: $2"
	else
		echo "not ok inspect: $2"
		failed=1
	fi
}

is() { # is WHAT HAVE WANT
	[ "$2" = "$3" ]
	ok $? "$1 is $2 (want $3)"
}

field() { # field FILE KEY
	sed -n "s/^$2:[[:space:]]*//p" "$1" | tr '\t' ' '
}

# The two folders that a worker may have files of, out of the config that the master was started with.
config=$(tr '\0' '\n' <"/proc/$master/cmdline" | sed -n '/^-c$/{n;p;}')
case $config in
/*) ;;
*) config=/proc/$master/cwd/$config ;;
esac
setting() { # setting KEY
	sed -n "s/^[^#]*\\b$1[[:space:]]*=[[:space:]]*\"\\([^\"]*\\)\".*/\\1/p" "$config" | head -1
}
store=$(realpath -m "$(setting path)")
directory=$(realpath -m "$(setting directory)")

# A root master leaves its workers the right to empty their bounding set; without root it is worthless (no_new_privs).
bounding=0000000000000000
[ "$(field "/proc/$master/status" Uid | cut -d' ' -f2)" = 0 ] || bounding=$(field "/proc/$master/status" CapBnd)
workers=$(ps -o pid=,args= --ppid "$master" | awk '$2 ~ /letterplate-worker/ { print $1 }')
[ -n "$workers" ]
ok $? "the master has workers: $(echo "$workers" | tr '\n' ' ')"

inodes() { # inodes PID: of its sockets
	find "/proc/$1/fd" -type l -printf '%l\n' 2>/dev/null | sed -n 's/^socket:\[\(.*\)\]$/\1/p'
}

# Inodes of listening sockets: state 0A of TCP, flag 10000 (SO_ACCEPTCON) of unix.
listening=$(awk '$4 == "0A" { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
	awk '$4 == "00010000" { print $7 }' /proc/net/unix)
of_master=$(inodes "$master")

has() { # has LIST WORD
	printf '%s\n' "$1" | grep -qx -- "$2"
}

status_of() { # status_of FILE NAME: one thread
	is "$2 NoNewPrivs" "$(field "$1" NoNewPrivs)" 1
	is "$2 Seccomp" "$(field "$1" Seccomp)" 2
	for set_name in CapInh CapPrm CapEff CapAmb; do
		is "$2 $set_name" "$(field "$1" $set_name)" 0000000000000000
	done
	is "$2 CapBnd" "$(field "$1" CapBnd)" "$bounding"
	ids=$(field "$1" Uid)
	first=${ids%% *}
	is "$2 Uid" "$ids" "$first $first $first $first"
	[ "$first" != 0 ]
	ok $? "$2 Uid is not root's"
	[ "$(field "$1" Gid | cut -d' ' -f1)" != 0 ]
	ok $? "$2 Gid is not root's"
}

limits_of() { # limits_of PID
	is "$1 core limit" "$(awk '/^Max core/ { print $5, $6 }' "/proc/$1/limits")" "0 0"
	is "$1 process limit" "$(awk '/^Max processes/ { print $3, $4 }' "/proc/$1/limits")" "0 0"
}

socket_of() { # socket_of PID INODE
	if has "$listening" "$2"; then
		has "$of_master" "$2"
		ok $? "$1 listens on a socket of the master"
		return
	fi
	! has "$of_master" "$2"
	ok $? "$1 socket $2 is not the master's too"
	for other in $workers; do
		if [ "$other" != "$1" ] && has "$(inodes "$other")" "$2"; then
			ok 1 "$1 socket $2 is also held by $other"
		fi
	done
}

fds_of() { # fds_of PID
	for fd in "/proc/$1/fd/"*; do
		to=$(readlink "$fd") || continue # closed since
		case $to in
		'anon_inode:[eventpoll]' | 'anon_inode:[eventfd]' | 'anon_inode:[signalfd]' | /dev/null) ok 0 "$1 holds $to" ;;
		"$store" | "$store"/* | "$directory"/mailboxes.mdb*) ok 0 "$1 holds $to" ;;
		socket:*) [ "${fd##*/}" = 2 ] || socket_of "$1" "$(echo "$to" | tr -dc 0-9)" ;;
		*)
			[ "${fd##*/}" -le 2 ]
			ok $? "$1 holds $to as ${fd##*/}: the log alone may be elsewhere"
			;;
		esac
	done
}

for pid in $workers; do
	threads=0
	for task in "/proc/$pid/task/"*; do
		status_of "$task/status" "${task##*/}"
		threads=$((threads + 1))
	done
	[ $threads -gt 1 ]
	ok $? "$pid has $threads threads, all looked at"
	limits_of "$pid"
	is "$pid owner of environ (not dumpable)" "$(stat -c %u "/proc/$pid/environ")" 0
	if [ "$(id -u)" = 0 ]; then
		fds_of "$pid"
	else
		echo "skip inspect: descriptors of $pid: not root"
	fi
done
exit $failed
