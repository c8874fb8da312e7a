#!/usr/bin/env -S python3 -B
"""counters: every reply is counted once, by code and by reason, in all forms of letterplate-stats."""
import collections
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, test
from server import Server, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def stats(path, *args):
    return subprocess.run([os.path.join(BIN, "letterplate-stats"), "-s", path, *args],
                          capture_output=True, text=True, timeout=30)


def session(s):
    """Many kinds of replies; the (code, enhanced code) of each."""
    c = s.client()
    got = [(c.greeting.code, "")]

    def take(r, enhanced=True):
        got.append((r.code, r.enhanced if enhanced else ""))
        return r

    take(c.cmd("MAIL FROM:<a@b.example>"))
    take(c.hello(), False)
    for line in ("NOOP", "NOOP x", "RSET", "RSET x", "VRFY alice", "VRFY", "EXPN x", "HELP", "BOGUS", "DATA",
                 "RCPT TO:<alice@example.org>", "MAIL FROM:<a@b.example> SIZE=99999999999", "MAIL FROM:a",
                 "MAIL FROM:<a@b.example> X=Y", "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>",
                 "RCPT TO:<nobody@example.org>", "RCPT TO:<a@elsewhere.example>", "RCPT TO:<old@example.org>",
                 "RCPT TO:<moving@example.org>", "DATA", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.org>",
                 "RCPT TO:<bob@example.org>", "DATA"):
        take(c.cmd(line))
    c.send(TEXT + b".\r\n")
    take(c.reply())
    take(c.cmd(b"NOOP \0"))
    take(c.cmd("N" * 5000))
    take(c.cmd("QUIT"))
    c.ended()
    return collections.Counter(got)


@test
def each_reply_once_by_code_and_reason():
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        want = collections.Counter()
        for _ in range(3):
            want += session(s)
        wait_for(lambda: s.sessions_open() == 0, why="sessions stay open")
        st = s.stats()
        for code in {k for k, _ in want}:
            equal(st["replies"].get(str(code)), sum(n for (k, _), n in want.items() if k == code), "replies of %d" % code)
        reasons = collections.Counter()
        for r in st["reasons"]:
            reasons[(r["code"], r["enhanced"])] += r["count"]
            check(re.fullmatch(r"[a-z0-9-]+", r["reason"]), "reason %r" % r)
        for (code, enhanced), n in want.items():
            if code >= 400:
                equal(reasons[(code, enhanced)], n, "reasons of %d %s" % (code, enhanced))
        equal((st["messages"], st["octets"], st["sessions"]["total"]), (3, 3 * len(TEXT), 3), "totals")
        equal(len(st["workers"]), 2, "workers")
        check(st["started"] and st["commit_seconds"], "started, commit_seconds: %s" % st)


@test
def prometheus_says_the_same():
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        session(s)
        wait_for(lambda: s.sessions_open() == 0, why="sessions stay open")
        r = stats(s.path("state/stats"), "--prometheus")
        equal(r.returncode, 0, "status")
        found = dict(re.findall(r'^letterplate_replies_total\{code="(\d+)"\} (\d+)$', r.stdout, re.M))
        equal({int(k): int(v) for k, v in found.items() if v != "0"}, dict(s.replies()), "replies")
        for line in r.stdout.splitlines():
            check(re.fullmatch(r"# (HELP|TYPE) letterplate_\w+ .*|letterplate_\w+(\{[^{}]*\})? [0-9.e+-]+(Inf)?", line),
                  "line %r" % line)
        check("letterplate_commit_seconds_count 1" in r.stdout, "no commit_seconds_count 1")


@test
def the_table_reads_well():
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        session(s)
        r = stats(s.path("state/stats"))
        equal(r.returncode, 0, "status")
        for word in ("250", "550", "5.1.1"):
            check(word in r.stdout, "no %s in %s" % (word, r.stdout))
        check(max(map(len, r.stdout.splitlines())) <= 100, "a line over 100 columns")


@test
def a_missing_or_foreign_file_is_a_clear_error():
    with Server() as s:
        for name, content in (("none", None), ("empty", b""), ("text", b"hello\n"), ("zero", bytes(1 << 20)),
                              ("short", open(s.path("state/stats"), "rb").read()[:5000]),
                              ("random", os.urandom(1 << 20))):
            path = s.path("foreign-" + name)
            if content is not None:
                with open(path, "wb") as f:
                    f.write(content)
            for form in ((), ("--json",), ("--prometheus",)):
                r = stats(path, *form)
                check(r.returncode not in (0, -11, -6, -7), "%s %s: status %d" % (name, form, r.returncode))
                equal(r.stdout, "", "output for " + name)
                equal(len(r.stderr.strip().splitlines()), 1, "lines of error for " + name)
                check(path in r.stderr, "the error does not name the file: %s" % r.stderr)


@test
def the_room_where_mail_is_stored():
    with Server() as s:
        def gauges():
            return json.loads(stats(s.path("state", "stats"), "--json").stdout)["gauges"]
        wait_for(lambda: gauges()["store_size"] > 0, 30, "it is not asked for")
        g, v = gauges(), os.statvfs(s.store_path)
        equal(g["store_size"], v.f_blocks * v.f_frsize, "its size, and not twice that of two workers")
        check(abs(g["store_free"] - v.f_bavail * v.f_frsize) < v.f_blocks * v.f_frsize / 10, "free: %s, %s" % (g, v))
        check(re.search(r"^  disk: \S+ \S+ of \S+ \S+ free, room for [0-9,.a-zA-Z ]+ files$", stats(s.path("state", "stats")).stdout, re.M),
              stats(s.path("state", "stats")).stdout)
        check("letterplate_store_free " in stats(s.path("state", "stats"), "--prometheus").stdout, "--prometheus")
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        check(re.search(r"^  journal: 1 messages, 1.0 a sync$", stats(s.path("state", "stats")).stdout, re.M), "journal")


main()
