#!/bin/sh
# forbidden.sh: calls that have no place in the product.  Comments are taken out first.  A line of TAP a call.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

# gcc alone can take comments out of unexpanded source.  A reason for each family.
calls='strcpy stpcpy strcat strncat strncpy sprintf vsprintf gets	writes without a bound, or without an end
strtok ctime asctime localtime gmtime getenv_s readdir_r	keeps its state in a global
atoi atol atoll atof scanf fscanf sscanf vsscanf	can not tell an error from a number
alloca	the stack has no cap that can be named
setjmp longjmp sigsetjmp siglongjmp	leaves owners behind
system popen wordexp vfork	runs a shell
tmpnam tempnam mktemp tmpfile	races for a name
rand srand random srandom drand48	can be foretold: arc4random
access_s faccessat2	asks before it acts
gethostbyname getaddrinfo gethostbyaddr	blocks on the network
usleep	is obsolete, and holds a loop up
bcopy bzero index rindex	forgotten'

# A child that does nothing else may wait, and ends.
allowed='^(reports/lookup|common/conf_later)\.c: .*[^a-z]getaddrinfo[[:space:]]*\('

stripped=$(mktemp) || exit 1
trap 'rm -f "$stripped"' EXIT
for file in $(find common worker master keys reports tools -name '*.[ch]' | sort); do
	gcc -fpreprocessed -dD -E -P -w "$file" 2>/dev/null | sed "s|^|$file: |"
done >"$stripped"
if [ "$(wc -l <"$stripped")" -lt 1000 ]; then
	echo "not ok forbidden: the preprocessor gave next to nothing"
	exit 1
fi

while IFS='	' read -r names why; do
	for name in $names; do
		hits=$(grep -E "[^A-Za-z0-9_>.\"]${name}[[:space:]]*\\(" "$stripped" | grep -vE "$allowed" | head -3 | tr '\n' ' ')
		if [ -z "$hits" ]; then
			echo "ok forbidden: no $name"
		else
			echo "not ok forbidden: $name ($why): $hits"
			failed=1
		fi
	done
done <<EOF
$calls
EOF
exit $failed
