#!/usr/bin/env -S python3 -B
"""macros: the milter macros that docs/FILTERS.md lists, by stage and by name, are those that the code has."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, test


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


CODE, PAGE = read("worker/milter/macros.c"), read("docs/FILTERS.md")


def rows(head):
    """The rows of the table with that head, as lists of cells."""
    body = PAGE.split("| %s |\n|---|---|\n" % head, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip().strip("|").split("|", 1)] for line in body.splitlines() if line]


@test
def each_stage_has_its_list():
    lists = re.search(r"lists\[MILTER_M_N\] = \{(.*?)\n\};", CODE, re.S).group(1)
    said = {stage: "".join(re.findall(r'"([^"]*)"', text)).replace("{", "").replace("}", "").split()
            for stage, text in re.findall(r"\[MILTER_M_(\w+)\] =\s*(.*?),\n", lists + "\n", re.S)}
    check(len(said) == 7, "only %s found: the pattern is broken" % sorted(said))
    equal({stage: re.findall(r"`(\w+)`", names) for stage, names in rows("stage | macros")}, said, "docs/FILTERS.md")


@test
def each_macro_is_explained():
    names = re.findall(r'^\tM\("(\w+)", v_\w+\)', CODE, re.M)
    check(len(names) > 25, "only %d found: the pattern is broken" % len(names))
    equal([row[0].strip("`") for row in rows("macro | value")], names, "docs/FILTERS.md")


main()
