#!/bin/sh
# layers.sh: who may include whom.  The rules stand in docs/ARCHITECTURE.md; a line of TAP a source file.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

# pattern PATH...: what a file may include, as one extended regular expression on the included path.
ground='common/(span|ip|buf|arena|decimal|date|scan|crc32c|quota|field)\.h'
pure='common/(span|ip|buf|arena|decimal|date|scan|crc32c|quota|field|addr|reply|xtext)\.h'
may_include() {
	case $1 in
	common/span.* | common/ip.* | common/decimal.* | common/date.* | common/scan.* | common/buf.* | common/arena.* | common/crc32c.* | common/quota.* | common/field.*) echo "$ground" ;;
	common/addr.* | common/reply.* | common/xtext.*) echo "$pure" ;;
	common/norm.*) echo "$pure|common/norm\.h" ;;
	common/*) echo 'common/.*' ;;
	worker/smtp/*) echo "$pure|worker/smtp/.*" ;;
	worker/net/*) echo 'common/.*|worker/net/.*' ;;
	worker/store/*) echo 'common/.*|worker/store/.*|worker/smtp/(txn|trace)\.h' ;;
	worker/milter/packet.* | worker/milter/state.* | worker/milter/fields.*)
		echo "$pure|worker/milter/(packet|state|fields)\.h" ;;
	worker/milter/*) echo 'common/.*|worker/(net|milter)/.*|worker/handlers/handler\.h|worker/smtp/(txn|edit)\.h' ;;
	worker/handlers/table.*) echo 'common/.*|worker/handlers/.*|worker/milter/milter\.h|worker/smtp/txn\.h' ;;
	worker/handlers/credentials.*)
		echo 'common/.*|worker/handlers/.*|worker/net/loop\.h|worker/smtp/sasl\.h' ;;
	worker/handlers/*) echo 'common/.*|worker/handlers/.*|worker/net/(loop|dns)\.h|worker/smtp/(txn|edit)\.h' ;;
	worker/sandbox.* | worker/landlock.* | worker/seccomp.*)
		echo 'common/(log|sanitized)\.h|worker/(sandbox|landlock|seccomp)\.h' ;;
	worker/bound.*) echo 'common/.*|worker/.*' ;; # the sum of everybody's bounds
	worker/*) echo 'common/.*|worker/(net|smtp|store|handlers)/.*|worker/[a-z_]*\.h' ;;
	reports/*)
		echo 'common/.*|reports/.*|worker/sandbox\.h|worker/store/store\.h' ;;
	auth/*) echo 'common/.*|auth/.*|worker/sandbox\.h' ;;
	keys/*) echo 'common/.*|keys/.*|worker/sandbox\.h' ;;
	master/*) echo 'common/.*|master/.*' ;;
	tools/*/*)
		tool=${1#tools/}
		echo "common/.*|tools/${tool%%/*}/.*" ;;
	*) echo 'nothing' ;;
	esac
}

# Headers of ours that belong to one module, and of others that one module alone knows: HEADER, then who may have it.
private='worker/smtp/engine\.h	worker/smtp/
worker/landlock\.h	worker/(sandbox|landlock)\.c
worker/seccomp\.h	worker/(sandbox|seccomp)\.c
common/conf_priv\.h	common/conf
sys/epoll\.h	worker/net/loop\.[ch]
seccomp\.h	worker/seccomp\.c|tools/stats/confine\.c
linux/landlock\.h	worker/landlock\.c|tools/stats/confine\.c
lmdb\.h	common/mdb|tools/mailboxes/
confuse\.h	common/conf
jansson\.h	tools/
openssl/.*	worker/net/tls|keys/|auth/|reports/relay_tls\.|common/(pem|credential_hash)\.
ares\.h	worker/net/dns
idn2\.h	common/norm\.c
uni(str|case|norm|types|ctype)\.h	common/'

for file in $(find common worker master auth keys reports tools -name '*.[ch]' | sort); do
	bad=$(sed -n 's/^#[[:space:]]*include "\([^"]*\)".*/\1/p' "$file" | grep -vxE "$(may_include "$file")")
	angled=$(sed -n 's/^#[[:space:]]*include [<"]\([^">]*\)[>"].*/\1/p' "$file")
	while IFS='	' read -r header owner; do
		hit=$(printf '%s\n' "$angled" | grep -xE "$header")
		if [ -n "$hit" ] && ! printf '%s\n' "$file" | grep -qE "^($owner)"; then
			bad="$bad $hit"
		fi
	done <<-EOF
		$private
	EOF
	if [ -z "$(echo "$bad" | tr -d ' \n')" ]; then
		echo "ok layers: $file"
	else
		echo "not ok layers: $file: may not include $(echo "$bad" | tr '\n' ' ')"
		failed=1
	fi
done
exit $failed
