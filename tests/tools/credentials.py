#!/usr/bin/env -S python3 -B
"""credentials: letterplate-credentials as an operator meets it: what a list for import means, and that a mistake leaves all as it was."""
import hashlib
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, scratch, test
from server import wait_for

TOOL = os.path.join(BIN, "letterplate-credentials")


def tool(folder, *args, text=b""):
    return subprocess.run([TOOL, "-P", "-d", folder, *args], input=text, capture_output=True)


def has(folder, name, password):
    """Whether the file takes PASSWORD for NAME."""
    with open(os.path.join(folder, "credentials"), encoding="utf-8") as f:
        rows = [line.split() for line in f]
    for w in rows:
        if w[0] == name:
            return hashlib.scrypt(password, salt=bytes.fromhex(w[5]), n=1 << int(w[2]), r=int(w[3]), p=int(w[4]), maxmem=1 << 28,
                                  dklen=32).hex() == w[6]
    return False


def names(folder):
    r = tool(folder, "list")
    equal(r.returncode, 0, r.stderr)
    return [line.split("\t")[0] for line in r.stdout.decode().splitlines()]


@test
def a_list_has_comments_and_columns():
    folder = scratch("credentials.")
    text = (b"\xef\xbb\xbf# people of the office\n\n   \t\n  # and theirs\nanna      secret\n\tbert\t \topen it \r\ncarl #x\n"
            b"dora \xc3\xa9")
    r = tool(folder, "import", text=text)
    equal((r.returncode, r.stderr), (0, b""), "import")
    equal(names(folder), ["anna", "bert", "carl", "dora"], "names")
    check(has(folder, "anna", b"secret"), "blanks between the columns are the password's")
    check(has(folder, "bert", b"open it "), "blanks within and behind are not")
    check(has(folder, "carl", b"#x"), "a password that begins with #")
    check(has(folder, "dora", "\u00e9".encode()), "a last line without an end")
    # Where a blank is to come first.
    equal(tool(folder, "passwd", "anna", text=b"  two blanks\n").returncode, 0, "passwd")
    check(has(folder, "anna", b"  two blanks"), "blanks before it")


@test
def a_mistake_leaves_all_as_it_was():
    folder = scratch("credentials.")
    for first in True, False:
        for text, word in ((b"# x\nbob secret\ncarl\n", "standard input:3: a line is NAME, blanks, PASSWORD"),
                           (b"carl   \n", "standard input:1: a line is NAME, blanks, PASSWORD"),
                           (b"bob x\nca\x01rl x\n", "standard input:2: a name has 1 to 255 octets"),
                           (b"bob x\x01\n", "standard input:1: a password has 1 to 1024 octets"),
                           (b"bob " + 1025 * b"x" + b"\n", "standard input:1: a password has 1 to 1024 octets"),
                           (b"\nbob x\0y\n", "standard input:2: there is a NUL in it")):
            r = tool(folder, "import", text=text)
            equal(r.returncode, 65, r.stderr)
            check(word in r.stderr.decode(), "no %r in %r" % (word, r.stderr))
            equal(os.listdir(folder), [] if first else ["credentials"], "what is left after %r" % text)
        if first:
            equal(tool(folder, "add", "anna", text=b"secret\n").returncode, 0, "add")
    check(has(folder, "anna", b"secret"), "what was there")
    equal(names(folder), ["anna"], "names")
    equal(tool(folder, "passwd", "nobody", text=b"x\n").returncode, 67, "passwd")
    equal(tool(folder, "add", "#anna", text=b"x\n").returncode, 65, "a name that would be a comment")
    with open("/dev/null", "rb") as f:
        r = subprocess.run([TOOL, "-d", folder, "add", "bob"], stdin=f, capture_output=True)
    equal((r.returncode, r.stderr), (65, b"letterplate-credentials: a password has 1 to 1024 octets, of UTF-8 without controls "
                                         b"(SASLprep, RFC 4013)\n"), "no password")
    equal(os.listdir(folder), ["credentials"], "what is left")


@test
def a_list_that_cannot_be_shown_is_no_empty_one():
    folder = scratch("credentials.")
    for where in folder, folder + "/none":
        r = tool(where, "list")
        equal((r.returncode, r.stdout), (66, b""), "list of what is not there")
        check(b"No such file" in r.stderr, r.stderr)
    check(b"letterplate-credentials add" in tool(folder, "list").stderr, "it does not say how one is made")
    equal(tool(folder, "add", "anna", text=b"x\n").returncode, 0, "add")
    with open("/dev/full", "w") as full:
        r = subprocess.run([TOOL, "-d", folder, "list"], stdout=full, stderr=subprocess.PIPE)
    equal(r.returncode, 74, "list to a full disk: %s" % r.stderr)
    check(b"No space left" in r.stderr, r.stderr)


@test
def a_signal_leaves_nothing():
    folder = scratch("credentials.")
    child = subprocess.Popen([TOOL, "-d", folder, "import"], stdin=subprocess.PIPE)
    wait_for(lambda: os.listdir(folder) == ["credentials.new"], why="it does not begin")
    equal(tool(folder, "add", "anna", text=b"x\n").returncode, 75, "a second one")
    equal(os.listdir(folder), ["credentials.new"], "the second one took the first one's away")
    child.send_signal(signal.SIGTERM)
    equal(child.wait(), -signal.SIGTERM, "its end")
    child.stdin.close()
    equal(os.listdir(folder), [], "what is left")


main()
