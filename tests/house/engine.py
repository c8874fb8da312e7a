#!/usr/bin/env -S python3 -B
# check: no timeout=300
"""engine.py: how much of the code the unit suites and dialogues reached, as gcov counted it; the engine must be reached
nearly whole (FLOOR).  `make check-coverage` runs it behind them.  With an argument it lists what was not reached in
the files whose path begins so.

Branches are counted as gcov sees them in code that was not optimized: each way out of each condition.
"""
import collections
import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, main, test

ENGINE = "worker/smtp/"
FLOOR = {"lines": 98.0, "branches": 95.0}       # percent
OBJ = os.path.join(TOP, "build/obj/gcc-coverage")


def gcov(notes):
    """What gcov says of each source file of some objects."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", *notes], cwd=scratch,
                              capture_output=True, text=True, check=False)
        check(done.returncode == 0, "gcov: %s" % done.stderr.strip()[:300])
        for path in glob.glob(scratch + "/*.json.gz"):
            with gzip.open(path) as f:
                yield from json.load(f)["files"]


def reached():
    """Of each file: {line: count}, and {line: [count of each branch]}."""
    notes = [os.path.join(OBJ, os.path.relpath(p, TOP)[:-2] + ".gcno")
             for part in ("common", "worker") for p in glob.glob("%s/%s/**/*.c" % (TOP, part), recursive=True)]
    found = {}
    for f in gcov([n for n in notes if os.path.exists(n)]):
        if not f["file"].endswith(".c"):
            continue
        lines, branches = found.setdefault(f["file"], ({}, {}))
        for line in f["lines"]:
            n = line["line_number"]
            lines[n] = lines.get(n, 0) + line["count"]
            branches.setdefault(n, []).extend(b["count"] for b in line["branches"])
    return found


def figures(parts):
    """Lines reached and all, branches reached and all."""
    sums = collections.Counter()
    for lines, branches in parts:
        sums["line"] += sum(c > 0 for c in lines.values())
        sums["lines"] += len(lines)
        for b in branches.values():
            sums["branch"] += sum(c > 0 for c in b)
            sums["branches"] += len(b)
    return sums


def say(name, s):
    print("# %-34s %6.2f %% of %5d lines, %6.2f %% of %5d branches" % (
        name, 100.0 * s["line"] / max(s["lines"], 1), s["lines"],
        100.0 * s["branch"] / max(s["branches"], 1), s["branches"]))


@test
def the_engine_is_reached():
    check(glob.glob(OBJ + "/worker/smtp/*.gcda"), "nothing was counted: make check-coverage")
    found = reached()
    folders = collections.defaultdict(list)
    for name in sorted(found):
        folders[os.path.dirname(name)].append(found[name])
        if name.startswith(ENGINE):
            say(name, figures([found[name]]))
    for name in sorted(folders):
        say(name + "/", figures(folders[name]))
    s = figures(folders[ENGINE.rstrip("/")])
    check(s["lines"] > 1500, "only %d lines found" % s["lines"])
    for what, one in (("lines", "line"), ("branches", "branch")):
        share = 100.0 * s[one] / s[what]
        check(share >= FLOOR[what], "%.2f %% of the engine's %s are reached, less than %.0f" % (share, what, FLOOR[what]))


def missed(prefix):
    for name, (lines, branches) in sorted(reached().items()):
        if not name.startswith(prefix):
            continue
        with open(os.path.join(TOP, name), encoding="utf-8") as f:
            text = f.read().split("\n")
        for n in sorted(lines):
            b = branches.get(n, [])
            if lines[n] == 0 or any(c == 0 for c in b):
                print("%s:%d: %s\t%s" % (name, n, "line" if lines[n] == 0 else "branches " + "".join(
                    "+" if c else "-" for c in b), text[n - 1].strip()))


if len(sys.argv) > 1:
    missed(sys.argv[1])
else:
    main()
