#!/usr/bin/env -S python3 -B
"""clients: mail from real ones (swaks, curl, smtp-source, Python's smtplib), compared byte for byte.

What they show of their sessions is counted too, so that the server's counters
can be compared with it.
"""
import os
import re
import shutil
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import SMTP
from harness import Skip, check, equal, main, test
from maildir import as_stored
from server import Server

ALICE, BOB = "alice@example.org", "bob@example.org"
MESSAGE = (b"From: Sender <sender@client.example>\r\nTo: alice@example.org\r\n"
           b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@client.example>\r\n"
           b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\n"
           b".\r\n..two\r\n.one\r\n" + "Grüße\r\n".encode() + b"long " + b"x" * 900 + b"\r\nend\r\n")


def tool(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        raise Skip("%s is not installed" % name)
    return path


def run(args, ok=True, **more):
    r = subprocess.run(args, capture_output=True, timeout=60, **more)
    if ok and r.returncode != 0:
        raise AssertionError("%s: %d: %r" % (args[0], r.returncode, r.stdout[-1500:] + r.stderr[-1500:]))
    return r


def count(s, text, pattern):
    """Count the replies in a client's transcript: the last line of each."""
    for code in re.findall(pattern, text, re.M):
        s.seen[int(code)] += 1


def file_with(s, content):
    path = s.path("message")
    with open(path, "wb") as f:
        f.write(content)
    return path


def swaks(s, *args, ok=True):
    r = run([tool("swaks"), "--server", "127.0.0.1", "--port", str(s.port), "--helo", "client.example",
             "--from", "sender@client.example", *args], ok)
    count(s, r.stdout, rb"^<(?:-|~|\*\*|~\*)\s+(\d\d\d) ")
    return r


def curl(s, *args, ok=True):
    r = run([tool("curl"), "-sv", "smtp://127.0.0.1:%d/client.example" % s.port,
             "--mail-from", "sender@client.example", *args], ok)
    count(s, r.stderr, rb"^< (\d\d\d) ")
    if not re.search(rb"^< 221 ", r.stderr, re.M):      # it may not wait to show the answer to its QUIT
        s.seen[221] += 1
    return r


@test
def swaks_delivers():
    with Server() as s:
        lf = MESSAGE.replace(b"\r\n", b"\n")
        swaks(s, "--to", ALICE, "--data", file_with(s, lf))
        # swaks adds a line end of its own
        equal(s.maildir(ALICE).one().content.rstrip(b"\n"), lf.rstrip(b"\n"), "content")
        r = swaks(s, "--to", "nobody@example.org", ok=False)
        check(b"550 5.1.1" in r.stdout, "no 550 5.1.1 in %r" % r.stdout)
        swaks(s, "--to", ALICE + "," + BOB, "--protocol", "SMTP", "--body", "by HELO")
        check("with SMTP" in s.maildir(BOB).one()["Received"], "HELO is not SMTP")
        swaks(s, "--to", BOB, "--pipeline", "--body", "pipelined")
        equal(len(s.messages(BOB)), 2, "messages of bob")


@test
def curl_delivers():
    with Server() as s:
        curl(s, "--mail-rcpt", ALICE, "--mail-rcpt", BOB, "-T", file_with(s, MESSAGE))
        for a in (ALICE, BOB):
            equal(s.maildir(a).one().content, as_stored(MESSAGE), "content for " + a)
        big = MESSAGE + b"0123456789\r\n" * 100000
        r = curl(s, "--mail-rcpt", ALICE, "-T", file_with(s, big), ok=False)    # curl says SIZE=
        check(b"552 5.3.4" in r.stderr, "no 552 5.3.4 in %r" % r.stderr)
        equal(len(s.messages(ALICE)), 1, "messages")


@test
def smtplib_delivers():
    with Server() as s:
        c = SMTP(s.seen, "127.0.0.1", s.port, "client.example", timeout=30)
        refused = c.sendmail("sender@client.example", [ALICE, BOB, "nobody@example.org"], MESSAGE,
                             ["BODY=8BITMIME"])     # smtplib adds SIZE= itself
        equal(list(refused), ["nobody@example.org"], "refused")
        check(refused["nobody@example.org"][0] == 550, "refused with %s" % refused)
        for a in (ALICE, BOB):
            equal(s.maildir(a).one().content, as_stored(MESSAGE), "content for " + a)
        equal(c.verify("alice")[0], 252, "VRFY")
        equal(c.noop()[0], 250, "NOOP")
        try:
            c.sendmail("sender@client.example", ["nobody@example.org"], MESSAGE)
            raise AssertionError("nobody was accepted")
        except smtplib.SMTPRecipientsRefused:
            pass
        c.sendmail("sender@client.example", [ALICE], MESSAGE)
        c.quit()
        equal(len(s.messages(ALICE)), 2, "messages")


@test
def smtp_source_delivers():
    path = tool("smtp-source")
    with Server() as s:
        s.count = False         # it shows no transcript
        run([path, "-s", "10", "-m", "200", "-l", "4000", "-f", "sender@client.example", "-t", ALICE,
             "-S", "from smtp-source", "127.0.0.1:%d" % s.port])
        run([path, "-d", "-s", "5", "-m", "100", "-l", "20000", "-r", "1", "-f", "sender@client.example",
             "-t", BOB, "inet:127.0.0.1:%d" % s.port])
        for a, n in ((ALICE, 200), (BOB, 100)):
            stored = s.messages(a)
            equal(len(stored), n, "messages of " + a)
            equal(len({m.id for m in stored}), n, "ids")
            s.maildir(a).check_form()
            bodies = {m.content.split(b"\n\n", 1)[1] for m in stored}
            equal(len(bodies), 1, "different bodies")
        equal(s.stats()["messages"], 300, "messages counted")
        r = s.replies()
        equal((r[220], r[354], r[221]), (205, 300, 205), "greetings, DATA and QUIT")


main()
