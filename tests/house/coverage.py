#!/usr/bin/env -S python3 -B
"""coverage.py: docs/PROTOCOL-COVERAGE.md is true: every test exists, every dialogue stands where its first line says."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, test

LINES = 158             # of the checklist
DOC = os.path.join(TOP, "docs/PROTOCOL-COVERAGE.md")


def rows():
    """Of each line: the names in its cells for dialogues and for other tests, and the text of the last one."""
    found = {}
    with open(DOC, encoding="utf-8") as f:
        for line in f:
            cells = [c.strip() for c in line.split("|")]
            if len(cells) == 6 and cells[1].isdigit():
                check(int(cells[1]) not in found, "line %s stands twice" % cells[1])
                found[int(cells[1])] = (re.findall(r"`([^`]+)`", cells[3]), re.findall(r"`([^`]+)`", cells[4]), cells[4])
    return found


def dialogues():
    """The lines that the first line of each dialogue names."""
    found = {}
    for path in glob.glob(os.path.join(TOP, "tests/dialog/*.smtp")):
        with open(path, encoding="utf-8") as f:
            found[os.path.basename(path)[:-5]] = {int(n) for n in re.findall(r"\bP(\d+)\b", f.readline().split(":")[0])}
    check(len(found) > 90, "only %d dialogues found" % len(found))
    return found


@test
def every_line_has_its_test():
    found = rows()
    equal(sorted(found), list(range(1, LINES + 1)), "lines")
    bare = [n for n, (talks, others, text) in found.items() if not talks and not others and not re.match(r"none: \w", text)]
    equal(bare, [], "lines without a test and without a reason")
    check(sum(text.startswith("none:") for _, _, text in found.values()) <= 5, "too many lines without a test")


@test
def every_dialogue_stands_where_it_says():
    found = rows()
    stands = {}
    for n, (talks, _, _) in found.items():
        for t in talks:
            stands.setdefault(t, set()).add(n)
    says = dialogues()
    equal({t: n for t, n in stands.items() if says.get(t) != n}, {}, "dialogues in rows that they do not name")
    with open(DOC, encoding="utf-8") as f:
        loose = set(re.findall(r"^- `([^`]+)`:", f.read(), re.M))
    equal(set(says) - set(stands) - loose, set(), "dialogues that are not named")
    equal(loose - {t for t, n in says.items() if not n}, set(), "dialogues that have a line, or do not exist")


@test
def every_other_test_exists():
    texts = {}
    for n, (_, others, _) in rows().items():
        for name in others:
            path, _, what = name.partition(":")
            path = os.path.join(TOP, "tests", path)
            if path not in texts:
                check(os.path.isfile(path), "line %d: no %s" % (n, name))
                with open(path, encoding="utf-8") as f:
                    texts[path] = f.read()
            pattern = r"^START_TEST\(%s\)" if path.endswith(".c") else r"^@test\n(?:@.*\n)*def %s\("
            check(not what or re.search(pattern % re.escape(what), texts[path], re.M), "line %d: no test %s" % (n, name))


main()
