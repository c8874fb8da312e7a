"""logschema: what letterplate-log(5) says of the log's lines, read from the manual itself.

    keys()      {key: type}
    events()    {event: (levels, keys it has, keys it may have)}
    check_line(fields, json)    assert that one line is as the manual says
"""
import functools
import os
import re

from harness import TOP, check

MANUAL = os.path.join(TOP, "man/letterplate-log.5")
COMMON = {"time", "level", "who", "event"}
EVERYWHERE = {"slot", "cut"}
TYPES = {
    "word": re.compile(r"[a-zA-Z0-9_-]+"),
    "text": re.compile(r".*", re.S),
    "id": re.compile(r"[0-9a-v]{16}"),
    "number": re.compile(r"\d+"),
    "ms": re.compile(r"\d+\.\d{3}"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
}


def section(name):
    with open(MANUAL) as f:
        return f.read().split("\n.Sh %s\n" % name)[1].split("\n.Sh ")[0]


@functools.cache
def keys():
    found = {}
    for key, kind in re.findall(r"^\.It Va (\S+) No \((\w+)\)$", section("KEYS"), re.M):
        check(key not in found and kind in TYPES, "letterplate-log(5): key %s (%s)" % (key, kind))
        found[key] = kind
    return found


def words(text):
    """The keys of all .Va lines in TEXT."""
    return {w for line in re.findall(r"^\.Va (.*)$", text, re.M) for w in re.findall(r"[a-z_]+", line)}


@functools.cache
def events():
    found = {}
    for item in section("EVENTS").split("\n.It Ic ")[1:]:
        head, _, body = item.partition("\n")
        names, levels = re.fullmatch(r"(.*) No \((.*)\)", head).groups()
        has, _, may = body.partition("perhaps\n")
        has = has.partition("Has ")[0] if "Has nothing" in has else has.partition("\nHas\n")[2] or has
        for name in names.split(" , "):
            found[name] = (set(levels.split(", ")), words(has), words(may))
    return found


def check_line(fields, json):
    """FIELDS: a line taken apart; JSON: its numbers are numbers."""
    kinds, name = keys(), fields.get("event")
    check(COMMON <= set(fields), "lacks one of %s: %s" % (COMMON, fields))
    levels, has, may = events().get(name, ({"error", "warn", "info", "debug"}, {"msg"}, set()))
    if "msg" in fields and name not in ("ready",):
        levels, has, may = levels, {"msg"}, set()
    check(fields["level"] in levels, "level %s of %s: %s" % (fields["level"], name, levels))
    check(has <= set(fields) or "cut" in fields, "%s lacks %s: %s" % (name, has - set(fields), fields))
    extra = set(fields) - COMMON - EVERYWHERE - has - may
    check(not extra, "%s has %s, which letterplate-log(5) does not give it" % (name, extra))
    for key, value in fields.items():
        kind = kinds[key]
        if json:
            check(isinstance(value, (int, float)) == (kind in ("number", "ms")), "%s of %s: %r" % (key, name, value))
            value = "%.3f" % value if kind == "ms" else str(value)
        check(TYPES[kind].fullmatch(value), "%s of %s is no %s: %r" % (key, name, kind, value))
