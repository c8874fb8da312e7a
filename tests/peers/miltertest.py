#!/usr/bin/env -S python3 -B
"""miltertest: OpenDKIM's tool plays an MTA by its own idea of the milter protocol.

It is held against both of our own ideas: the stand-in milter of the tests understands it and is understood by it, edits and all;
and what it says of a session is, octet for octet, what Letterplate says of the same one."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import ACCEPT, DISCARD, REJECT, TEMPFAIL, FakeMilter, code, packet
from harness import Skip, check, equal, main, scratch, test
from milterserver import ALICE, MilterServer, at_end, header, indexed

BODY = b"body\r\n.dot\r\n"
FIELDS = [("Subject", "x"), ("X-Long", "one\n two"), ("X-None", "y")]
TEXT = b"".join(("%s: %s\r\n" % (k, v.replace("\n", "\r\n"))).encode() for k, v in FIELDS) + b"\r\n" + BODY
START = """
conn = mt.connect("%s")
if conn == nil then error("no connection") end
function said(what)
    local got = mt.getreply(conn)
    if got ~= what then error("answer " .. got .. " in place of " .. what) end
end
"""
SESSION = """
assert(mt.conninfo(conn, "[127.0.0.1]", "127.0.0.1") == nil)
said(SMFIR_CONTINUE)
assert(mt.helo(conn, "client.example") == nil)
said(SMFIR_CONTINUE)
mt.macro(conn, SMFIC_MAIL, "i", "test")
assert(mt.mailfrom(conn, "<a@b.example>", "SIZE=10", "BODY=8BITMIME") == nil)
said(SMFIR_CONTINUE)
assert(mt.rcptto(conn, "<alice@example.org>") == nil)
said(SMFIR_CONTINUE)
assert(mt.data(conn) == nil)
said(SMFIR_CONTINUE)
assert(mt.header(conn, "Subject", "x") == nil)
said(SMFIR_CONTINUE)
assert(mt.header(conn, "X-Long", "one\\n two") == nil)
said(SMFIR_CONTINUE)
assert(mt.header(conn, "X-None", "y") == nil)
said(SMFIR_CONTINUE)
assert(mt.eoh(conn) == nil)
said(SMFIR_CONTINUE)
assert(mt.bodystring(conn, "body\\r\\n.dot\\r\\n") == nil)
said(SMFIR_CONTINUE)
assert(mt.eom(conn) == nil)
"""


def play(m, script):
    if shutil.which("miltertest") is None:
        raise Skip("no miltertest here: tools/install-deps peers")
    path = os.path.join(scratch("miltertest."), "script.lua")
    with open(path, "w") as f:
        f.write(START % ("inet:%s@127.0.0.1" % m.socket.rpartition(":")[2]) + script)
    r = subprocess.run(["miltertest", "-s", path], capture_output=True, text=True, timeout=60)
    check(r.returncode == 0, "miltertest: %d: %s" % (r.returncode, r.stdout + r.stderr))


def session(m):
    """What was said of the session, without options, macros and good-byes, and without the client's port."""
    said = [(c, d) for _, c, d in m.heard if c in "CHMRTLNBE"]
    return [(c, d.split(b"\0")[0] + d.split(b"\0", 1)[1][:1] + d.split(b"\0", 1)[1][3:] if c == "C" else d) for c, d in said]


@test
def letterplate_says_what_it_says():
    with FakeMilter() as m:
        play(m, SESSION + "said(SMFIR_CONTINUE)\nmt.disconnect(conn)\n")
        theirs = session(m)
    with FakeMilter() as m, MilterServer(m) as s:
        c = s.client()
        c.hello("client.example")
        c.envelope([ALICE], sender="a@b.example", params=" SIZE=10 BODY=8BITMIME")
        c.data(TEXT).is_(250)
        c.quit()
        equal(session(m), theirs, "what was said of the session")


@test
def it_understands_our_milter():
    edits = [packet("h", header("X-Added", "one")), packet("i", indexed(0, "X-Top", "two")), packet("m", indexed(1, "Subject", "new")),
             packet("m", indexed(1, "X-None", "")), packet("b", b"other\r\n"), packet("+", b"<bob@example.org>\0"),
             packet("-", b"<alice@example.org>\0"), packet("e", b"<c@d.example>\0"), packet("q", b"because\0")]
    with FakeMilter(on=at_end(*edits)) as m:
        play(m, SESSION + """said(SMFIR_CONTINUE)
assert(mt.eom_check(conn, MT_HDRADD, "X-Added", "one"))
assert(mt.eom_check(conn, MT_HDRINSERT, "X-Top", "two"))
assert(mt.eom_check(conn, MT_HDRCHANGE, "Subject", "new"))
assert(mt.eom_check(conn, MT_HDRDELETE, "X-None"))
assert(mt.eom_check(conn, MT_BODYCHANGE, "other\\r\\n"))
assert(mt.eom_check(conn, MT_RCPTADD, "<bob@example.org>"))
assert(mt.eom_check(conn, MT_RCPTDELETE, "<alice@example.org>"))
assert(mt.eom_check(conn, MT_QUARANTINE, "because"))
assert(not mt.eom_check(conn, MT_HDRADD, "X-Other", "one"))
mt.disconnect(conn)
""")


@test
def it_understands_our_milters_answers():
    for answer, name in ((ACCEPT, "ACCEPT"), (REJECT, "REJECT"), (TEMPFAIL, "TEMPFAIL"), (DISCARD, "DISCARD"), (code("550 5.7.1 no"), "REPLYCODE")):
        with FakeMilter(on={"M": answer}) as m:
            play(m, """
assert(mt.conninfo(conn, "localhost", "127.0.0.1") == nil)
said(SMFIR_CONTINUE)
assert(mt.helo(conn, "x") == nil)
said(SMFIR_CONTINUE)
assert(mt.mailfrom(conn, "<a@b.example>") == nil)
said(SMFIR_%s)
mt.disconnect(conn)
""" % name)


main()
