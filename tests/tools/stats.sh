#!/bin/sh
# letterplate-stats from outside: its forms, its exit codes, what it says of a server that is gone.
# check: timeout=60
# The segment is made by the unit suite, which has a mode for it.
# The functions are called by ok:
# shellcheck disable=SC2317
set -u

top=${LETTERPLATE_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
tool=$top/build/bin/letterplate-stats
maker=$top/build/obj/$(cat "$top/build/variant")/tests/unit/stats
dir=$(mktemp -d)
maker_pid=
trap '[ -z "$maker_pid" ] || kill $maker_pid 2>/dev/null; rm -rf "$dir"' EXIT
failed=0

# ok NAME COMMAND...: COMMAND succeeds
ok() {
	name=$1
	shift
	if "$@" >"$dir/why" 2>&1; then
		echo "ok $name"
	else
		echo "not ok $name: $(head -c 600 "$dir/why" | tr '\n' '|')"
		failed=1
	fi
}

# ends CODE WORDS ARGUMENTS...: the tool ends so, says one line with WORDS on standard error, and nothing else
ends() {
	want=$1 words=$2
	shift 2
	"$tool" "$@" >"$dir/out" 2>"$dir/err"
	code=$?
	[ "$code" = "$want" ] || { echo "status $code"; cat "$dir/err"; return 1; }
	grep -q -- "$words" "$dir/err" || { cat "$dir/err"; return 1; }
	[ ! -s "$dir/out" ] || { echo "something on standard output"; return 1; }
	[ "$want" = 64 ] || [ "$(wc -l <"$dir/err")" = 1 ] || { cat "$dir/err"; return 1; }
}

has() {
	grep -q -- "$1" "$2" || { echo "no '$1' in:"; cat "$2"; return 1; }
}

ok "usage: no -s" ends 64 "-s FILE is missing"
ok "usage: unknown option" ends 64 "try letterplate-stats -h" -s x --nonsense
ok "usage: two forms" ends 64 "exclude each other" -s x --json --prometheus
ok "usage: an operand" ends 64 "operand" -s x y
ok "usage: a bad interval" ends 64 "seconds" -s x --watch never
ok "usage: an interval of 0" ends 64 "seconds" -s x --watch=0
ok "help" sh -c "'$tool' -h | grep -q '^usage: letterplate-stats -s FILE'"
ok "version" sh -c "'$tool' -V | grep -Eq '^letterplate-stats [0-9]+\.[0-9]+\.[0-9]+$'"
ok "no file" ends 66 "stats: no such file: is state_dir right, has the server ever run? One that runs makes a lost one anew within seconds" -s "$dir/none/stats"
ok "no file in the folder" ends 66 "$dir/stats: no such file" -s "$dir"
ok "no file, watched" ends 66 "no such file" -s "$dir/none" --watch
echo "not a segment, but long enough to be read as one head, all of it, and then some" >"$dir/foreign"
ok "a foreign file" ends 65 "is not a stats segment of Letterplate" -s "$dir/foreign"
: >"$dir/empty"
ok "an empty file" ends 65 "is not a stats segment" -s "$dir/empty"
ok "a device" ends 65 "is not a stats segment" -s /dev/null

mkdir "$dir/s"
"$maker" segment "$dir/s" 30 >"$dir/made" &
maker_pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ -s "$dir/made" ] && break
	sleep 0.1
done

if [ "$(id -u)" = 0 ]; then
	echo "skip permission denied: root may read all"
else
	chmod 000 "$dir/s/stats"
	ok "permission denied" ends 77 "permission denied" -s "$dir/s/stats"
	chmod 644 "$dir/s/stats"
fi

cp "$dir/s/stats" "$dir/other"
printf '\003' | dd of="$dir/other" bs=1 seek=7 conv=notrunc 2>/dev/null
ok "another version" ends 65 "was written by another version" -s "$dir/other"
printf '\005' | dd of="$dir/other" bs=1 seek=7 conv=notrunc 2>/dev/null
"$tool" -s "$dir/other" >"$dir/table"
ok "another version that says what stands where" has "^  550  *5 " "$dir/table"
head -c 100000 "$dir/s/stats" >"$dir/short"
ok "a cut file" ends 65 "is damaged" -s "$dir/short"

"$tool" -s "$dir/s" >"$dir/table" 2>&1
ok "table: running" has "running since .* 1 worker" "$dir/table"
ok "table: reply" has "^  550  *5   19\.2 %$" "$dir/table"
ok "table: reason" has "^      5\.1\.1  no-such-mailbox  *5   19\.2 %$" "$dir/table"
ok "table: separators" has "octets (3\.0 GiB)  *3,221,225,472$" "$dir/table"
ok "table: latency" has "from end of data to durable  *20 .* ms .* ms .* ms$" "$dir/table"
ok "table: event" has "sessions ended by a deadline  *3$" "$dir/table"
ok "table: directory" has "1,234,567 entries, made 2023-11-14 22:13:20 UTC" "$dir/table"
ok "table: no colour in a file" sh -c "! grep -q '$(printf '\033')' '$dir/table'"
ok "table: 80 columns" awk 'length > 80 { print; bad = 1 } END { exit bad }' "$dir/table"
ok "a file as well as its folder" sh -c "'$tool' -s '$dir/s/stats' | grep -q no-such-mailbox"

"$tool" -s "$dir/s" --json >"$dir/json" 2>&1
ok "json" python3 - "$dir/json" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
assert s["replies"] == {"250": 20, "354": 1, "550": 5}, s["replies"]
assert {"code": 550, "enhanced": "5.1.1", "reason": "no-such-mailbox", "count": 5} in s["reasons"], s["reasons"]
assert s["messages"] >= 1234 and s["octets"] == 3 << 30, s
assert s["sessions"] == {"open": 2, "total": 40, "refused": 0}, s["sessions"]
assert s["tls"] == {"TLSv1.2": 0, "TLSv1.3": 7}, s["tls"]
h = s["commit_seconds"]
assert h["count"] == 20 and abs(h["sum"] - 0.19) < 1e-9, h
counts = [b["count"] for b in h["buckets"]]
assert counts == sorted(counts) and counts[-1] == 20 and h["buckets"][-1]["le"] == "+Inf", h
assert len(s["workers"]) == 1 and s["workers"][0]["alive"] is True and s["workers"][0]["slot"] == 1, s["workers"]
assert s["running"] is True and abs(s["now"] - s["started"]) < 60, s
assert s["counters"]["timeouts"] == 3 and s["gauges"]["sandbox_level"] == 7, s
for name in "lookup_seconds", "handlers_seconds", "session_seconds", "loop_seconds":
    assert s[name]["count"] == 0, s[name]
PY

"$tool" -s "$dir/s" --prometheus >"$dir/prom" 2>&1
ok "prometheus" python3 - "$dir/prom" <<'PY'
import re, sys
families, samples = {}, {}
for line in open(sys.argv[1]):
    m = re.fullmatch(r"# (HELP|TYPE) (letterplate_[a-z0-9_]+) (.+)\n", line)
    if m:
        kind, name, rest = m.groups()
        assert (kind, name) not in families, "twice: " + line
        families[kind, name] = rest
        last = name
        continue
    m = re.fullmatch(r'(letterplate_[a-z0-9_]+)(\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})? ([0-9.]+)\n', line)
    assert m, "not a sample: " + line
    name, labels, value = m.groups()
    base = re.sub(r"_(bucket|sum|count)$", "", name) if families["TYPE", last] == "histogram" else name
    assert base == last, "outside its family: " + line
    assert (name, labels) not in samples, "twice: " + line
    samples[name, labels] = float(value)
for kind, name in families:
    assert ("HELP", name) in families and ("TYPE", name) in families, name
    if families["TYPE", name] == "counter":
        assert name.endswith("_total"), name
assert samples['letterplate_replies_total', '{code="550"}'] == 5
assert samples['letterplate_reply_reasons_total', '{code="550",enhanced="5.1.1",reason="no-such-mailbox"}'] == 5
assert samples['letterplate_up', None] == 1
b = [(float(k[1][5:-2]), v) for k, v in samples.items() if k[0] == "letterplate_commit_seconds_bucket"]
assert [le for le, _ in b] == sorted(le for le, _ in b) and [n for _, n in b] == sorted(n for _, n in b), b
assert b[-1][1] == samples["letterplate_commit_seconds_count", None] == 20
PY
if command -v promtool >/dev/null; then
	ok "promtool" sh -c "promtool check metrics <'$dir/prom'"
else
	echo "skip promtool: not installed"
fi

# Not a terminal: a block each interval, the second with rates; the segment goes away and comes back meanwhile.
"$tool" -s "$dir/s" --watch 0.4 >"$dir/watch" 2>&1 &
watch_pid=$!
sleep 1
mv "$dir/s/stats" "$dir/s/away"
sleep 0.6
mv "$dir/s/away" "$dir/s/stats"
sleep 0.6
kill -INT "$watch_pid"
wait $watch_pid
ok "watch: ends on INT" test $? = 0
ok "watch: blocks" sh -c "[ \$(grep -c '^server' '$dir/watch') -ge 3 ]"
ok "watch: rates" has "accepted and stored .* [0-9.]* /s$" "$dir/watch"
ok "watch: the segment went away" has "no such file" "$dir/watch"
ok "watch: and came back" sh -c "sed '1,/no such file/d' '$dir/watch' | grep -q '^server'"

ok "watch: the terminal is as before" python3 - "$tool" "$dir/s" <<'PY'
import os, pty, select, sys, termios, time
for key in b"q", b"\x03":
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], ["letterplate-stats", "--watch", "0.2", "-s", sys.argv[2]])
    before, out, deadline, pressed = termios.tcgetattr(fd), b"", time.time() + 10, False
    while time.time() < deadline:
        try:
            if select.select([fd], [], [], 0.1)[0]:
                out += os.read(fd, 65536)
        except OSError:
            break
        if not pressed and out.count(b"\x1b[J") >= 2:
            assert termios.tcgetattr(fd)[3] != before[3], "keys are not read one at a time"
            os.write(fd, key)
            pressed = True
            time.sleep(0.3)
            assert termios.tcgetattr(fd)[3] == before[3], "the terminal was not restored"
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    assert out.startswith(b"\x1b[?1049h") and out.endswith(b"\x1b[?1049l") and out.count(b"\x1b[?25h") == 1, out[-80:]
PY

# The screen that stays open: bars in UTF-8 or ASCII, colours or none, drawn again when the window changes.
ok "watch: the screen" python3 - "$tool" "$dir/s" <<'PY'
import fcntl, os, pty, select, signal, struct, sys, termios, time
def screen(env, rows=60, seconds=2.0, resize=False):
    pid, fd = pty.fork()
    if pid == 0:
        time.sleep(0.1)     # until the window has its size
        os.execve(sys.argv[1], ["letterplate-stats", "--watch", "0.2" if not resize else "60", "-s", sys.argv[2]], env)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
    out, end, sized = b"", time.time() + seconds, False
    while time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            out += os.read(fd, 65536)
        if resize and not sized and b"\x1b[J" in out:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows + 1, 100, 0, 0))
            sized = True
    os.write(fd, b"q")
    end = time.time() + 5
    while time.time() < end:
        try:
            if not os.read(fd, 65536):
                break
        except OSError:
            break
    assert os.waitpid(pid, 0)[1] == 0
    return out
utf = screen({"LC_ALL": "C.UTF-8"})
last = utf.split(b"\x1b[H")[-2].decode()
assert "now" in last and "sessions open" in last and "\u2588" in last, last
assert "replies 5xx" in last and "p99" in last and "q ends" in last, last
assert "\x1b[31m" in last, "no colour on a terminal"
plain = screen({"LC_ALL": "C", "NO_COLOR": "1"}).split(b"\x1b[H")[-2].decode()
assert "\u2588" not in plain and "#" in plain and "\x1b[3" not in plain, plain
small = screen({"LC_ALL": "C"}, rows=10).split(b"\x1b[H")[-2]
assert small.count(b"\n") <= 9, small
assert b"lines 1 to " in small and b"arrow keys" in small, small
def moved(key, rows=12):
    """The screen after KEY, one that is drawn at once: the next look is a minute away."""
    pid, fd = pty.fork()
    if pid == 0:
        time.sleep(0.1)
        os.execve(sys.argv[1], ["letterplate-stats", "--watch", "60", "-s", sys.argv[2]], {"LC_ALL": "C"})
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
    out, end, pressed = b"", time.time() + 10, False
    while time.time() < end and out.count(b"\x1b[J") < 1 + key.count(b"|") + 1:
        if select.select([fd], [], [], 0.1)[0]:
            out += os.read(fd, 65536)
        if not pressed and b"\x1b[J" in out:
            os.write(fd, key.replace(b"|", b""))
            pressed = True
    os.write(fd, b"q")
    assert os.waitpid(pid, 0)[1] == 0
    return out.split(b"\x1b[H")[-1].split(b"\x1b[?7h")[0].decode()
first, down = moved(b"k"), moved(b"j")
assert "lines 1 to 9 of" in first and "lines 2 to 10 of" in down, (first, down)
assert first.split("\n")[2][:20] == down.split("\n")[1][:20], (first, down)
assert "lines 2 to 10" in moved(b"\x1b[B") and "lines 10 to 18" in moved(b"\x1b[6~") and "lines 10 to 18" in moved(b" ")
assert "lines 3 to 11" in moved(b"j|j") and "lines 1 to 9" in moved(b"j|\x1b[5~") and "lines 2 to 10" in moved(b"\x1b[B|\x1b[B|\x1b[A")
last = moved(b"G")
total = int(last.rsplit("  lines ", 1)[1].split(" of ")[1].split(";")[0])
assert "lines %d to %d of %d" % (total - 8, total, total) in last and "last beat" in moved(b"G", rows=14), last
assert "lines 1 to 9" in moved(b"G|g")
again = screen({"LC_ALL": "C"}, resize=True)
assert again.count(b"\x1b[J") == 2, again.count(b"\x1b[J")
PY

kill -KILL "$maker_pid"
wait $maker_pid 2>/dev/null
gone=$maker_pid
maker_pid=
"$tool" -s "$dir/s" >"$dir/table" 2>&1
ok "gone: said" has "not running (pid $gone is gone), 0 workers left" "$dir/table"
ok "gone: the worker" has "worker 1 (pid $gone): is gone" "$dir/table"
ok "gone: the counters are there" has "^  550  *5 " "$dir/table"
ok "gone: json" sh -c "'$tool' -s '$dir/s' --json | grep -q '\"running\": false'"

# A worker that hangs: its last beat is a minute old (beat stands behind pid and generation in slot 1).
python3 - "$dir/s/stats" <<'PY'
import os, struct, sys, time
f = open(sys.argv[1], "r+b")
size = struct.unpack("4I", f.read(16))[3]
for slot in 0, 1:
    f.seek(16384 + slot * size)
    f.write(struct.pack("QQQ", os.getppid(), 1, int(time.time()) - 60))
PY
"$tool" -s "$dir/s" >"$dir/table" 2>&1
ok "hung: the master" has "master (pid $$): no beat for 6[0-9] s" "$dir/table"
ok "hung: a worker" has "worker 1 (pid $$): no beat for 6[0-9] s" "$dir/table"

exit $failed
