#!/usr/bin/env -S python3 -B
# check: timeout=300
"""import_postfix: letterplate-mailboxes import postfix: each address reaches what it reached by Postfix's own postmap, and what
cannot be said in a list is told by file and line."""
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, on_end, sanitized, scratch, test
from postfixmaps import Circle, Maps, make

TOOL = os.path.join(BIN, "letterplate-mailboxes")
_folders = []


def folder():
    _folders.append(scratch("import."))
    return _folders[-1]


on_end.append(lambda: [shutil.rmtree(_folders.pop(), ignore_errors=True) for _ in range(len(_folders))])


def run(*args, status=0):
    r = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=60)
    if status is not None:
        equal(r.returncode, status, "%s: %s" % (" ".join(args), r.stderr))
    return r


def imported(m, *options, status=0):
    """The folder of the directory that comes of M."""
    d = os.path.join(m.root, "directory")
    os.makedirs(d, exist_ok=True)
    m.told = run("-d", d, "import", "postfix", "--main-cf", os.path.join(m.root, "main.cf"), *options, status=status).stderr
    return d


def boxes(d, address):
    """The mailboxes that letterplate says it reaches."""
    r = run("-d", d, "show", address)
    return set(re.findall(r"^\s*mailbox:? (\S+@[^\s,]+)", r.stdout, re.M))


def same(m, d, ask, what):
    """All of ASK reach the same by the maps and by the directory."""
    reached, by_path, pairs = 0, {}, []
    for address in ask:
        try:
            pairs.append((address, boxes(d, address), m.paths(address)))
        except Circle:
            continue
    for address, got, want in pairs:
        equal(len(got), len(want), "%s: mailboxes of %s: %s for %s; %s" % (what, address, sorted(got), sorted(want), m.told))
        reached += bool(got)
        if len(got) == 1:
            # One path is one mailbox, whoever asks.
            equal(by_path.setdefault(next(iter(want)), got), got, "%s: the mailbox of %s, by %s" % (what, want, address))
    for address, got, want in pairs:
        if want and all(p in by_path for p in want):
            equal(got, set().union(*(by_path[p] for p in want)), "%s: mailboxes of %s" % (what, address))
    check(reached >= 5, "%s: only %d addresses reach anything" % (what, reached))


@test
def each_address_reaches_the_same():
    done = 0
    for seed in range(4 if sanitized() else 10):
        m, ask, text = make(os.path.join(folder(), "m"), seed)
        d = imported(m, status=None)
        if os.path.exists(os.path.join(d, "mailboxes.mdb")):
            same(m, d, ask, "seed %d: %s" % (seed, text))
            done += 1
        else:
            check("cannot be represented" in m.told and re.search(r"^/.*:\d+: ", m.told, re.M), m.told)
    check(done >= 3, "only %d imports" % done)


@test
def the_forms_of_a_map():
    m = Maps(os.path.join(folder(), "m"), """\
# comments, empty lines, lines that go on

ann@one.example   one.example/ann/
  \x20
  # not a continuation
BEN@One.Example
    one.example/ben/
"dan d"@one.example one.example/dan/
info@one.example one.example/ann/
@two.example two.example/all
""", """\
list@one.example ann@one.example,
    ben@one.example
# between
    <"dan d"@one.example>
short ann
three.example anything at all
list@three.example list@one.example
ben@one.example ben@one.example, ann@one.example
""", more="list@one.example nobody@one.example\n")
    d = imported(m)
    equal(run("-d", d, "list").stdout.splitlines(), [
        "@two.example alias=all@two.example", 'all@two.example', "ann@one.example", "ben@one.example copy=ann@one.example",
        '"dan d"@one.example', "info@one.example alias=ann@one.example",
        'list@one.example alias="ann@one.example,ben@one.example,\\"dan d\\"@one.example"', "list@three.example alias=list@one.example",
        "short@one.example alias=ann@one.example"], "the list")
    same(m, d, ["ann@one.example", "ANN@ONE.EXAMPLE", "ben@one.example", "list@one.example", "list@three.example", "info@one.example",
                "any@two.example", "all@two.example", "short@one.example", "nobody@one.example", "nobody@three.example"], "forms")
    check("/more:1: note: 'list@one.example' stands at" in m.told, m.told)


@test
def what_cannot_be_is_told_line_by_line():
    m = Maps(os.path.join(folder(), "m"), "ann@one.example one.example/ann/\nx@other.example o/x/\n@one.example one.example/all/\nbad\n", """\
away@one.example who@gmail.example
half@one.example ann@one.example, who@gmail.example
root@one.example root@mx.test.example
dir@one.example @two.example
empty@one.example
ann@one.example ann@one.example, who@gmail.example
@@x ann@one.example
""", origin="mx.test.example")
    d = imported(m, status=65)
    equal(os.listdir(d), [], "files of a directory that was not made")
    for n, word in ((1, "'away@one.example' leads to 'who@gmail.example', which is another system's"),
                    (2, "'half@one.example' leads to 'who@gmail.example'"), (3, "the local account 'root@mx.test.example'"),
                    (4, "leads to a domain, '@two.example'"), (5, "leads nowhere"), (6, "'ann@one.example' leads to 'who@gmail.example'"),
                    (7, "left out: mend it")):
        equal(len(re.findall(r"^%s/virtual:%d: (?!note)" % (re.escape(m.root), n), m.told, re.M)), 1, "complaints of line %d in %s" % (n, m.told))
        check(re.search(r"/virtual:%d: .*%s" % (n, re.escape(word)), m.told), "line %d: no '%s' in %s" % (n, word, m.told))
    check("/vmailbox:2: note: 'x@other.example' is in no domain" in m.told, m.told)
    check("/vmailbox:4: 'bad' has no '@'" in m.told, m.told)
    check("8 things cannot be represented, and nothing was changed" in m.told, m.told)

    # Then the addresses of such rows are deferred, and never fall to the catch-all or to a no.
    d = imported(m, "--incomplete")
    for local in "away", "half", "root", "dir", "empty", "ann":
        r = run("-d", d, "show", local + "@one.example")
        check("450 4.2.1" in r.stdout, "%s: %s" % (local, r.stdout))
    equal(boxes(d, "other@one.example"), {"all@one.example"}, "the catch-all")


@test
def parameters():
    root = folder()
    for name, text in (("box", "ann@one.example x\nben@two.example x\n"), ("virtual", "list@three.example ann@one.example\n"),
                       ("doms", "one.example\ntwo.example, three.example\n"), ("cf", "virtual_mailbox_maps = mysql:/etc/x.cf\nmyorigin = one.example\n"),
                       ("odd", "virtual_alias_maps = ${x?{a}:{b}}\n"), ("nul", "a@one.example\0x\n"), ("shared", "ann@one.example one/\nben@one.example one/\n")):
        with open(os.path.join(root, name), "w") as f:
            f.write(text)
    at = lambda name: os.path.join(root, name)
    printed = lambda *args, status=0: run("import", "postfix", "--print", *args, status=status)
    lists = lambda *args: set(printed(*args).stdout.splitlines()[1:])
    want = {"ann@one.example", "ben@two.example", "list@three.example alias=ann@one.example"}
    # Without a main.cf the domains are those of the keys; with one, those it says.
    equal(lists("-o", "virtual_mailbox_maps=hash:" + at("box"), "-o", "virtual_alias_maps=" + at("virtual")), want, "by -o")
    equal(lists("-o", "virtual_mailbox_maps=proxy:btree:" + at("box"), "-o", "virtual_mailbox_domains=one.example"),
          {"ann@one.example"}, "domains by -o")
    equal(lists("--main-cf", at("cf"), "-o", "virtual_mailbox_maps=hash:" + at("box"), "-o", "virtual_mailbox_domains=" + at("doms")),
          {"ann@one.example", "ben@two.example", '@three.example reject="550 5.1.1 no such mailbox"'}, "domains of a file")
    # What another transport makes of the values is not known: they are no paths.
    equal(lists("-o", "virtual_mailbox_maps=" + at("shared")), {"ann@one.example", "ben@one.example alias=ann@one.example"}, "one path")
    equal(lists("-o", "virtual_mailbox_maps=" + at("shared"), "-o", "virtual_transport=lmtp:unix:private/x"),
          {"ann@one.example", "ben@one.example"}, "another transport")
    for args, status, word in ((["--main-cf", at("cf")], 66, "/cf:1: virtual_mailbox_maps: \"mysql:/etc/x.cf\" is no text file"),
                               (["--main-cf", at("odd")], 65, "/odd:1: virtual_alias_maps: \"${x?{a}:{b}}\" is not understood"),
                               (["--main-cf", at("none")], 66, "none"), (["-o", "virtual_alias_maps=hash:" + at("nul")], 65, "/nul:1: a NUL octet"),
                               (["-o", "x"], 64, "NAME=VALUE"), ([], 64, "usage"),
                               (["-o", "virtual_mailbox_maps=" + at("box"), "-o", "relocated_maps=hash:/x"], 65, "relocated_maps is not imported"),
                               (["-o", "virtual_mailbox_domains=!one.example"], 65, "is a pattern")):
        r = printed(*args, status=status)
        check(word in r.stderr, "%s: no '%s' in %s" % (args, word, r.stderr))
    check("-d DIR is missing" in run("import", "postfix", "-o", "virtual_mailbox_maps=" + at("box"), status=64).stderr, "no -d")


@test
def parameters_are_those_of_postconf():
    m = Maps(os.path.join(folder(), "m"), "ann@one.example one.example/ann/\n", "three.example x\n", domains="$mydomain one.example ${myorigin}")
    for name in "virtual_mailbox_domains", "virtual_alias_domains", "myorigin", "virtual_transport", "recipient_delimiter":
        m.postconf(name)
    d = imported(m)
    domains = {line.split("@")[1].split()[0] for line in run("-d", d, "list").stdout.splitlines()}
    equal(domains, set(re.split(r"[\s,]+", m.postconf("virtual_mailbox_domains"))) | {"three.example"}, "domains")


@test
def local_accounts_lead_on():
    aliases = os.path.join(folder(), "aliases")
    with open(aliases, "w") as f:
        f.write("# aliases(5)\nPostmaster: root\nroot: admin,\n   ben@one.example\nadmin: ann@one.example\nloop: loop2\nloop2: loop\n"
                "\"odd name\": admin\nprog: |/bin/cat\nquoted: \"|/bin/cat -n\"\nfile: /dev/null\nmany: :include:/x\n")
    names = ["postmaster", "root", "admin", '"odd name"', "loop", "prog", "quoted", "file", "many", "who"]
    m = Maps(os.path.join(folder(), "m"), "ann@one.example one.example/ann/\nben@one.example one.example/ben/\n",
             "".join("to%d@one.example %s@localhost\n" % (i, n) for i, n in enumerate(names)), origin="mx.test.example")
    with open(os.path.join(m.root, "main.cf"), "a") as f:
        f.write("alias_maps = hash:%s, nis:mail.aliases\n" % aliases)
    d = imported(m, "--incomplete")
    both = {"ann@one.example", "ben@one.example"}
    got = [boxes(d, "to%d@one.example" % i) for i in range(len(names))]
    equal(got, [both, both, {"ann@one.example"}, {"ann@one.example"}] + [set()] * 6, "mailboxes of %s: %s" % (names, m.told))
    for i in range(5, 9):
        check(re.search(r"/virtual:%d: 'to%d@one.example' leads to a command, a file or an account" % (i + 1, i), m.told), m.told)
    check("alias_maps: nis:mail.aliases is not read" in m.told, m.told)
    check(re.search(r"/virtual:5: .* leads to the local account 'loop2?@mx.test.example'", m.told), m.told)
    check(re.search(r"/virtual:10: .* leads to the local account 'who@localhost'", m.told), m.told)


def written(cf, **maps):
    """A folder with main.cf, and with the MAPS; %(root)s is the folder."""
    root = folder()
    for name, text in dict(maps, main_cf=cf).items():
        with open(os.path.join(root, "main.cf" if name == "main_cf" else name), "w") as f:
            f.write(text % {"root": root})
    return root


def printed(root, status):
    return run("-d", root, "import", "postfix", "--main-cf", os.path.join(root, "main.cf"), "--print", status=status)


@test
def what_fans_out_has_an_end():
    """Each name has eight others in it, ten deep: told at once, and not after 8^10 of them."""
    cf = "virtual_mailbox_domains = $a0\n" + "".join("a%d =%s\n" % (i, 8 * (" $a%d" % (i + 1))) for i in range(10)) + "a10 =\n"
    r = printed(written(cf), os.EX_DATAERR)
    check("virtual_mailbox_domains" in r.stderr and r.stderr.count("\n") < 100, r.stderr[:2000])
    names = "abcdefgh"
    cf = """myorigin = example.net
mydestination = example.net
virtual_alias_domains = example.org
virtual_alias_maps = hash:%(root)s/virtual
alias_maps = hash:%(root)s/aliases
"""
    r = printed(written(cf, virtual="u@example.org a\n", aliases="".join("%s: %s\n" % (n, 12 * (",".join(names) + ",")) for n in names)),
                os.EX_DATAERR)
    check("leads through more than 999 local accounts" in r.stderr, r.stderr[:2000])


@test
def a_whole_address_wins_over_a_name():
    """virtual(5): user@domain is asked before user, in whatever order they stand."""
    cf = """myorigin = example.org
virtual_mailbox_domains = b.example
virtual_mailbox_maps = hash:%(root)s/mailbox
virtual_alias_domains = example.org
virtual_alias_maps = hash:%(root)s/virtual
"""
    r = printed(written(cf, mailbox="".join("%s@b.example %s/\n" % (n, n) for n in ("a", "b", "i", "bare", "whole")), virtual="""a a@b.example
b b@b.example
info i@b.example
info1 bare@b.example
info1@example.org whole@b.example
"""), os.EX_DATAERR)
    check("virtual:4: 'info1' has no '@'" in r.stderr, r.stderr)
    check("info1@example.org alias=whole@b.example\n" in r.stdout, r.stdout + r.stderr)
    check("info@example.org alias=i@b.example\n" in r.stdout, r.stdout)


@test
def as_load_does():
    m = Maps(os.path.join(folder(), "m"), "ann@one.example one.example/ann/\nben@one.example one.example/ben/\n", "")
    d = imported(m)
    with open(os.path.join(m.root, "vmailbox"), "w") as f:
        f.write("ann@one.example one.example/ann/\n")
    os.utime(os.path.join(m.root, "vmailbox"), (time.time() + 5, time.time() + 5))
    cf = ("--main-cf", os.path.join(m.root, "main.cf"))
    r = run("-d", d, "import", "postfix", *cf, "--dry-run", "--diff")
    check("- ben@one.example" in r.stdout.splitlines() or "-ben@one.example" in r.stdout.splitlines(), r.stdout)
    check("it is newer than" in r.stderr, r.stderr)
    check("--max-shrink 10" in run("-d", d, "import", "postfix", *cf, "--max-shrink", "10", status=65).stderr, "no guard")
    equal(boxes(d, "ben@one.example"), {"ben@one.example"}, "ben")
    run("-d", d, "import", "postfix", *cf)
    equal(boxes(d, "ben@one.example"), set(), "ben")


main()
