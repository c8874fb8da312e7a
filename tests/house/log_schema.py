#!/usr/bin/env -S python3 -B
"""log_schema.py: every event and key that the sources log stands in letterplate-log(5), and the other way round."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, test
import logschema

FIELD = re.compile(r'\blog_(?:span|str|u64|i64|ms)\(\s*&?\w+,\s*"([^"]+)"|\baccount_address\(\s*&?\w+,\s*"([^"]+)"')
# Where fields are added by a function with a name of its own, its third or second argument is the event.
BEGIN = re.compile(r'\b(?:log_begin|about)\(\s*&?\w+,\s*(?:LOG_L_\w+|lv),\s*([^;]*?)(?:,|\);)')
KIND = re.compile(r'\.event_\w+ = "([a-z-]+)"')
BEGIN_TWO = re.compile(r'\blog_begin\(\s*&?\w+,\s*[^,;]*\?[^,;]*,\s*([^;]*?)\);')


def sources():
    names = subprocess.run(["find", "common", "worker", "master", "keys", "auth", "reports", "-name", "*.c"], cwd=TOP, capture_output=True,
                           text=True, check=True).stdout.split()
    for n in sorted(names):
        with open(os.path.join(TOP, n)) as f:
            yield n, f.read()


def logged():
    keys, events = {}, {}
    for name, text in sources():
        for m in FIELD.finditer(text):
            keys.setdefault(m.group(1) or m.group(2), name)
        for begin in BEGIN, BEGIN_TWO:
            for m in begin.finditer(text):
                for word in re.findall(r'"([a-z-]+)"', m.group(1)):
                    events.setdefault(word, name)
        for word in KIND.findall(text):
            events.setdefault(word, name)
    return keys, events


@test
def keys_stand_in_the_manual():
    keys, _ = logged()
    check(len(keys) > 40, "only %d keys found: the pattern is broken" % len(keys))
    missing = {k: f for k, f in keys.items() if k not in logschema.keys()}
    equal(missing, {}, "keys that man/letterplate-log.5 does not explain (.It Va KEY No (TYPE))")
    unused = set(logschema.keys()) - set(keys) - {"time", "cut"}     # log.c writes these two itself
    equal(unused, set(), "keys of man/letterplate-log.5 that nothing logs")


@test
def events_stand_in_the_manual():
    _, events = logged()
    check(len(events) > 10, "only %d events found: the pattern is broken" % len(events))
    missing = {e: f for e, f in events.items() if e not in logschema.events()}
    equal(missing, {}, "events that man/letterplate-log.5 does not list (.It Ic EVENT No (LEVEL))")
    unused = set(logschema.events()) - set(events)
    equal(unused, set(), "events of man/letterplate-log.5 that nothing logs")


def words_of(who):
    """Who the table of docs/LOGS.md and `who` of the manual say may log."""
    with open(os.path.join(TOP, "man/letterplate-log.5")) as f:
        manual = re.search(r"^\.It Va %s .*\n((?:(?!\.It).*\n)*)" % who, f.read(), re.M).group(1)
    with open(os.path.join(TOP, "docs/LOGS.md")) as f:
        page = re.search(r"^\| `%s`.*$" % who, f.read(), re.M).group(0)
    return manual, page


@test
def who_logs_stands_in_both_pages():
    names = {m for _, text in sources() for m in re.findall(r'\blog_init\("(\w+)"|struct child me = \{ \.who = "(\w+)"', text)}
    names = {a or b for a, b in names}
    check({"master", "worker", "keys"} < names, "only %s found: the pattern is broken" % names)
    manual, page = words_of("who")
    equal({n for n in names if not re.search(r"^\.Cm .*\b%s\b" % n, manual, re.M)}, set(), "missing in man/letterplate-log.5")
    equal({n for n in names if "`%s`" % n not in page}, set(), "missing in docs/LOGS.md")


@test
def events_have_known_keys():
    for event, (levels, has, may) in logschema.events().items():
        check(levels <= {"error", "warn", "info", "debug"}, "%s: levels %s" % (event, levels))
        unknown = (has | may) - set(logschema.keys())
        check(not unknown, "%s: has keys that no one explains: %s" % (event, unknown))
        check(not has & may, "%s: says twice %s" % (event, has & may))


main()
