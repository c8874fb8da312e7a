#!/usr/bin/env -S python3 -B
"""reasons.py: every reason that a reply of the product has, and every end of a session, is a word that fits and is explained."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, test

WORD = r'"([a-z0-9]+(?:-[a-z0-9]+)*)"'
# What stands behind an enhanced code, in a row or a call; the same by name; a last word; what is found at accept; the ends.
BEHIND_CODE = re.compile(r'\bENH\([^()]*\),\s*([^,;{}]*)')
CALL = re.compile(r'\breply_set\(\s*[^,;]+,[^,;]+,\s*(?:ENH\([^()]*\)|[\w.]+),\s*([^,;]*)')
NAMED = re.compile(r'\breason = ([^;}]*)')
LAST_WORD = re.compile(r'\bsession_last_word\(\s*\w+,\s*%s' % WORD)
AT_ACCEPT = re.compile(r'\[LIMITS_\w+\] = %s' % WORD)
END = re.compile(r'->end = ([^;]*);|\bpeer_no_header\(\s*\w+,\s*%s|[^(]"proxy-[a-z-]+"' % WORD)
# Replies that refuse nothing: nobody asks why.
FINE = {"ok", "queued", "quit", "help", "vrfy", "chunk", "go-ahead", "starttls", "authenticated", "auth-challenge"}


def sources(*folders):
    names = subprocess.run(["find", *folders, "-name", "*.c"], cwd=TOP, capture_output=True, text=True, check=True).stdout.split()
    for n in sorted(names):
        with open(os.path.join(TOP, n)) as f:
            yield n, re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)


def of_both(found, name, text):
    """Words that are a reply's reason and a session's end."""
    for pattern in LAST_WORD, AT_ACCEPT:
        for w in pattern.findall(text):
            found.setdefault(w, name)


def reasons():
    found = {}
    for name, text in sources("worker", "master", "common/resolve.c"):
        for pattern in BEHIND_CODE, CALL, NAMED:
            for m in pattern.finditer(text):
                for w in re.findall(WORD, m.group(1)):
                    found.setdefault(w, name)
        of_both(found, name, text)
    return found


def ends():
    found = {}
    for name, text in sources("worker"):
        for m in END.finditer(text):
            for w in re.findall(WORD, m.group(0)):
                found.setdefault(w, name)
        of_both(found, name, text)
    return found


def explained(table):
    with open(os.path.join(TOP, "tools/log/words.c")) as f:
        rows = re.search(r"words_row %s\[\] = \{\n(.*?)^\};" % table, f.read(), re.M | re.S).group(1)
    return set(re.findall(r"\{ %s," % WORD, rows))


def most():
    with open(os.path.join(TOP, "common/reply.h")) as f:
        return int(re.search(r"REPLY_REASON_MAX\s*= (\d+)", f.read()).group(1)) - 1


@test
def every_reason_fits():
    found = reasons()
    known = FINE | {"too-many-connections", "no-such-mailbox", "milter", "listed-defer", "policy-defer-if-permit", "handler-timeout", "timeout"}
    check(known <= set(found), "only %s found: the pattern is broken" % sorted(found))
    equal({w: f for w, f in found.items() if len(w) > most()}, {}, "longer than REPLY_REASON_MAX has room for, and cut")


@test
def every_reason_is_explained():
    found = {w: f for w, f in reasons().items() if w not in FINE}
    equal({w: f for w, f in found.items() if w not in explained("reasons")}, {}, "not in tools/log/words.c")
    equal(explained("reasons") - set(found) - set(ends()), set(), "in tools/log/words.c, and nothing says them")


@test
def every_end_is_explained():
    found = ends()
    check({"quit", "proxy-short", "proxy-checksum", "tls-timeout", "session-too-long"} <= set(found), "only %s found" % sorted(found))
    equal({w: f for w, f in found.items() if w not in explained("ends")}, {}, "not in tools/log/words.c")
    equal(explained("ends") - set(found), set(), "in tools/log/words.c, and nothing says them")


main()
