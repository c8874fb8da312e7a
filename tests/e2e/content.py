#!/usr/bin/env -S python3 -B
"""content: what stands in the Maildir is what was sent, byte for byte, after our trace lines."""
import email
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import stuff
from harness import Skip, check, equal, main, test
from maildir import as_stored
from server import Server

ALICE = "alice@example.org"
HEAD = b"From: <sender@client.example>\r\nTo: <alice@example.org>\r\nSubject: a test\r\n\r\n"


def sized(n):
    """A message of exactly N octets as SIZE counts them: with CRLF, without dots stuffed or the end."""
    line = b"x" * 70 + b"\r\n"
    body = HEAD + line * ((n - len(HEAD)) // len(line) - 1)
    rest = n - len(body) - 2
    out = body + b"y" * (rest % 500)
    while n - len(out) - 2 >= 500:
        out += b"\r\n" + b"z" * 498
    out += b"\r\n" if len(out) + 2 == n else b"w" * (n - len(out) - 2) + b"\r\n"
    assert len(out) == n
    return out


CONTENTS = {
    "plain": HEAD + b"hello\r\n",
    "empty": b"",
    "one-line-end": b"\r\n",
    "no-body": HEAD[:-2],
    "no-header": b"just text, no header at all\r\nand a second line\r\n",
    "dots": HEAD + b".\r\n..\r\n...\r\n.a\r\n..b\r\nc.\r\n. \r\n.\r\n",
    "only-a-dot-line": b".\r\n",
    "first-line-dot": b".hidden\r\n\r\nbody\r\n",
    "8bit": HEAD + bytes(range(128, 256)) * 3 + b"\r\n" + "Grüße, 你好\r\n".encode(),
    "nul": HEAD + b"a\0b\0\0c\r\n\0\r\n\0.\0\r\n",
    "controls": HEAD + bytes(b for b in range(1, 32) if b not in (10, 13)) + b"\x7f\r\n",
    "line-998": HEAD + b"l" * 998 + b"\r\n",
    "line-5000": HEAD + b"l" * 5000 + b"\r\n.\r\n" + b"m" * 5000 + b"\r\n",
    "line-65534": HEAD + b"l" * 65534 + b"\r\n",
    "spaces-at-ends": HEAD + b"  a  \r\n\t\r\n   \r\n",
    "many-blank-lines": HEAD + b"\r\n" * 2000,
    "fields-like-ours": b"Received: from a by b; Tue, 1 Jan 2030 00:00:00 +0000\r\n"
                        b"Delivered-To: someone@else.example\r\nX-Original-To: a@b.example\r\n" + HEAD + b"x\r\n",
    "folded-header": b"Subject: a\r\n b\r\n\tc\r\nX-Long: " + b"v" * 900 + b"\r\n\r\n\r\nbody\r\n",
    "half-a-mib": HEAD + (b"0123456789abcdef" * 4 + b"\r\n") * 8000,
}


@test
def every_content_comes_back():
    with Server() as s:
        c = s.client()
        c.hello()
        for name, content in CONTENTS.items():
            r = c.message(ALICE, content).is_(250, "2.0.0")
            stored = [m for m in s.messages(ALICE) if m.id == r.queued]
            equal(len(stored), 1, "files of " + name)
            equal(stored[0].content, as_stored(content), name)
            equal(stored[0]["Return-Path"], "<sender@client.example>", "Return-Path of " + name)
            equal(stored[0]["Delivered-To"], ALICE, "Delivered-To of " + name)
        s.maildir(ALICE).check_form()
        equal(len(s.messages(ALICE)), len(CONTENTS), "files in all")
        c.quit()


@test
def any_split_gives_the_same():
    content = CONTENTS["dots"]
    wire = stuff(content)
    with Server() as s:
        c = s.client()
        c.hello()
        for n in (1, 2, 3, 5, 7):
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            for i in range(0, len(wire), n):
                c.send(wire[i:i + n])
            r = c.reply().is_(250, "2.0.0")
            equal([m.content for m in s.messages(ALICE) if m.id == r.queued], [as_stored(content)],
                  "pieces of %d" % n)
        c.quit()


@test
def size_limit_to_the_octet():
    limit = 100 * 1024
    with Server(message_size_limit="100KiB") as s:
        c = s.client()
        check("SIZE %d" % limit in c.hello().lines, "EHLO does not say SIZE %d" % limit)
        for n in (limit - 1, limit):
            r = c.message(ALICE, sized(n)).is_(250, "2.0.0")
            equal([m.content for m in s.messages(ALICE) if m.id == r.queued], [as_stored(sized(n))], "%d octets" % n)
        c.message(ALICE, sized(limit + 1)).is_(552, "5.3.4")
        c.message(ALICE, sized(limit * 2 - 1000)).is_(552, "5.3.4")
        c.cmd("MAIL FROM:<a@b.example> SIZE=%d" % (limit + 1)).is_(552, "5.3.4")
        c.cmd("MAIL FROM:<a@b.example> SIZE=%d" % limit).is_(250, "2.1.0")
        c.cmd("RSET").is_(250, "2.0.0")
        stuffed = HEAD + b".\r\n" * ((limit - len(HEAD)) // 3)      # stuffed dots do not count
        c.message(ALICE, stuffed).is_(250, "2.0.0")
        equal(len(s.messages(ALICE)), 3, "messages")
        c.quit()


@test
def bare_newlines_are_refused_after_the_end():
    with Server() as s:
        c = s.client()
        c.hello()
        for bad in (b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\n", b"\n.\n\r\n", b"a\n\r\n"):
            c.message(ALICE, HEAD + bad).is_(550, "5.5.2")
        c.message(ALICE, HEAD + b"good\r\n").is_(250, "2.0.0")
        equal(len(s.messages(ALICE)), 1, "messages")
        c.quit()


@test
def a_line_over_64_kib_is_refused():
    with Server() as s:
        c = s.client()
        c.hello()
        c.message(ALICE, HEAD + b"l" * 65535 + b"\r\n").is_(554, "5.6.0")
        c.message(ALICE, HEAD + b"l" * 300000 + b"\r\n").is_(554, "5.6.0")
        c.message(ALICE, HEAD + b"l" * 65534 + b"\r\n").is_(250, "2.0.0")
        equal(len(s.messages(ALICE)), 1, "messages")
        c.quit()


@test
def trace_lines_say_who_and_how():
    with Server() as s:
        c = s.client()
        c.hello("client.example")
        r = c.message(ALICE, CONTENTS["plain"], sender="").is_(250, "2.0.0")
        c.quit()
        c = s.client()
        c.cmd("HELO old.example").is_(250)
        c.message("bob@example.org", CONTENTS["plain"]).is_(250)
        c.quit()
        m = s.maildir(ALICE).one()
        equal(m["Return-Path"], "<>", "null reverse-path")
        received = " ".join(m["Received"].split())
        for want in ("from client.example", "[127.0.0.1]", "by mx.test.example", "with ESMTP", "id " + r.queued,
                     "for <alice@example.org>"):
            check(want in received, "no %r in %r" % (want, received))
        check(re.search(r"; (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(.*\))?$",
                        received), "date in %r" % received)
        check("with SMTP id" in " ".join(s.maildir("bob@example.org").one()["Received"].split()), "HELO is not SMTP")


@test
def fields_that_are_ours_are_dropped():
    with Server() as s:
        c = s.client()
        c.hello()
        c.message(ALICE, b"Return-Path: <forged@x.example>\r\n"
                  b"Authentication-Results: mx.test.example; spf=pass\r\n"
                  b"Authentication-Results: other.example; spf=fail\r\nSubject: x\r\n\r\n"
                  b"Return-Path: in the body stays\r\n").is_(250)
        c.quit()
        equal(s.maildir(ALICE).one().content, b"Authentication-Results: other.example; spf=fail\nSubject: x\n\n"
              b"Return-Path: in the body stays\n", "content")


@test
def what_is_no_header_is_none_of_ours():
    """Content that a reader would take for more of our trace lines is parted from them; else it stays as it came."""
    forged = b"Authentication-Results: mx.test.example; dkim=pass"
    rows = ((b" ; dkim=pass\r\nSubject: x\r\n\r\nb\r\n", b"\n ; dkim=pass\nSubject: x\n\nb\n"),
            (b"\tx\r\n", b"\n\tx\n"), (b"text\r\n" + forged + b"\r\nmore\r\n", b"text\n\n" + forged + b"\nmore\n"),
            (b"Subject: x\r\ntext\r\nReturn-Path: <a@b>\r\n", b"Subject: x\ntext\n\nReturn-Path: <a@b>\n"),
            (b"text\r\n more\r\nReceived: a\r\nX: y\r\n", b"text\n more\nReceived: a\nX: y\n"))
    with Server() as s:
        c = s.client()
        c.hello()
        for sent, kept in rows:
            c.message(ALICE, sent).is_(250)
            one = s.maildir(ALICE).one()
            equal(one.content, kept, "content")
            check(email.message_from_bytes(one.raw)["Authentication-Results"] is None, "forged results are believed")
            check("dkim" not in one["Received"], one["Received"])
            os.unlink(one.path)
        c.quit()


@test
def loops_are_refused():
    with Server() as s:
        c = s.client()
        c.hello()
        hop = b"Received: from a by b; Tue, 1 Jan 2030 00:00:00 +0000\r\n"
        c.message(ALICE, hop * 99 + HEAD).is_(250)
        c.message(ALICE, hop * 100 + HEAD).is_(554, "5.4.6")
        c.message(ALICE, b"Delivered-To: alice@example.org\r\n" + HEAD).is_(554, "5.4.6")
        c.message(ALICE, b"Delivered-To: bob@example.org\r\n" + HEAD).is_(250)
        c.message(ALICE, b"Subject: x\r\nno field\r\nDelivered-To: alice@example.org\r\n" + hop * 100).is_(250)
        equal(len(s.messages(ALICE)), 3, "messages")
        c.quit()


@test
def chunks_come_back_too():
    """BDAT: octets are counted, nothing is looked for in them; what DATA refuses is taken as it is."""
    with Server() as s:
        c = s.client()
        if "CHUNKING" not in c.hello().lines:
            raise Skip("CHUNKING is not offered")
        contents = dict(CONTENTS, **{"bare-newlines": HEAD + b"a\nb\rc\n.\n\r\n.\r\nd\r\n", "no-end": HEAD + b"no line end",
                                     "cr-at-the-end": HEAD + b"x\r"})
        for name, content in contents.items():
            for size in (len(content) or 1, 7, 4096):
                c.envelope(ALICE)
                chunks = [content[i:i + size] for i in range(0, len(content), size)][:200]
                chunks = chunks[:199] + [content[199 * size:]] if len(chunks) == 200 else chunks
                for chunk in chunks:
                    c.send(b"BDAT %d\r\n" % len(chunk) + chunk)
                    c.reply().is_(250, "2.0.0")
                r = c.cmd("BDAT 0 LAST").is_(250, "2.0.0")
                stored = [m.content for m in s.messages(ALICE) if m.id == r.queued]
                equal(stored, [as_stored(content)], "%s in chunks of %d" % (name, size))
        c.quit()


@test
def smuggling_sequences_do_not_end_a_message():
    """PROTOCOL's list, put between lines, in one write and octet by octet; each gives exactly one message."""
    parts = ["\n", "\r\n", "\r", "\r\r\n", "\n\r", "\r\n\0", "\0\r\n", "\r\n ", " \r\n"]
    # A dot between a CRLF and a CRLF is the true end, and so not here.
    ends = [(a, b) for a in parts for b in parts if not (a.endswith("\r\n") and b.startswith("\r\n"))]
    check(len(ends) >= 60, "only %d sequences" % len(ends))
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        c = s.client()
        c.hello()
        good = 0
        for a, b in ends:
            for octet_by_octet in (False, True):
                c.envelope(ALICE)
                c.cmd("DATA").is_(354)
                wire = (HEAD + b"one" + a.encode() + b"." + b.encode() +
                        b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\r\nsmuggled\r\n.\r\n")
                if octet_by_octet:
                    for i in range(len(wire)):
                        c.send(wire[i:i + 1])
                else:
                    c.send(wire)
                r = c.reply()
                check(r.code in (250, 550), "%r: %s" % (a + "." + b, r))
                good += r.code == 250
                equal(c.cmd("NOOP").code, 250, "NOOP after %r" % (a + "." + b))
        equal(s.messages("bob@example.org"), [], "smuggled messages")
        equal(len(s.messages(ALICE)), good, "messages")
        c.quit()


main()
