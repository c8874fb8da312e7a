#!/usr/bin/env -S python3 -B
# check: no
"""milters: the filters that people run, asked by a live server: opendkim, opendmarc, clamav-milter, spamass-milter, rspamd; and Sendmail's library."""
import email
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from filters import GTUBE, Filters
from harness import check, equal, main, scratch, test
from libmilter import HOOKS, Libmilter
from milterserver import ALICE, MilterServer
from server import free_port

TEXT = (b"From: Somebody <user@example.test>\r\nTo: alice@example.org\r\nSubject: hello\r\n"
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nThis is the body.\r\n")
WORD = b"LETTERPLATE-CONTENT-TO-BE-REFUSED"


class Filtered(MilterServer):
    """Asks real filters, one after another, and believes whoever claims another address."""
    def __init__(self, *sockets):
        port = free_port()
        super().__init__(*('milter "m%d" { socket = "%s" timeout = "60s" }' % (i, x) for i, x in enumerate(sockets)),
                         listener='listener "mx" { address = {"127.0.0.1:%d"} xclient_from = {"127.0.0.0/8"} }' % port)
        self.port = port

    def claim(self, text, addr="198.51.100.10", name="mail.example.test", sender="user@example.test"):
        c = self.client()
        c.hello()
        c.cmd("XCLIENT ADDR=%s NAME=%s" % (addr, name)).is_(220)
        c.hello(name)
        r = c.message(ALICE, text, sender=sender)
        c.quit()
        equal(self.handlers_failed(), {}, "failures")
        return r

    def stored(self):
        got = self.messages(ALICE)
        return email.message_from_bytes(got[-1].raw)


def signed(f):
    """TEXT with example.test's signature, by opendkim as a milter."""
    with Filtered(f.opendkim(mode="s")) as s:
        s.claim(TEXT).is_(250)
        content = s.messages(ALICE)[-1].content
        check(b"DKIM-Signature:" in content, content.decode())
        return content.replace(b"\n", b"\r\n")


@test
def opendkim_signs_and_verifies_and_its_word_arrives():
    with Filters() as f:
        mail = signed(f)
        with Filtered(f.opendkim()) as s:
            s.claim(mail, addr="198.51.100.77").is_(250)
            check("dkim=pass" in (s.stored()["Authentication-Results"] or ""), s.messages(ALICE)[-1].raw.decode())
            s.claim(mail.replace(b"the body", b"another"), addr="198.51.100.77").is_(250)
            texts = [m.raw.decode() for m in s.messages(ALICE)]
            equal(sorted("dkim=pass" in x for x in texts), [False, True], "one passes: %s" % texts)
            check(any("dkim=fail" in x for x in texts), "one fails: %s" % texts)


@test
def opendmarc_refuses_and_passes():
    with Filters() as f, Filtered(f.opendkim(), f.opendmarc()) as s:
        bad = TEXT.replace(b"example.test", b"bad.test")
        r = s.claim(bad, addr="198.51.100.11", name="bad.test", sender="user@bad.test")
        equal(r.code, 550, r.text)
        s.claim(TEXT).is_(250)
        results = " ".join(s.stored().get_all("Authentication-Results") or [])
        check("dmarc=pass" in results, results)


@test
def clamav_refuses_what_its_signature_names():
    with Filters() as f, Filtered(f.clamav(WORD)) as s:
        r = s.claim(TEXT.replace(b"the body", WORD))
        check(r.code == 550 and "Test.Refused" in r.text, str(r))
        s.claim(TEXT).is_(250)
        check("Clean" in (s.stored()["X-Virus-Status"] or ""), s.messages(ALICE)[-1].raw.decode())
        big = TEXT + b"".join(b"%070d\r\n" % i for i in range(9000))
        s.claim(big).is_(250)
        equal(s.claim(big + WORD + b"\r\n").code, 550, "behind 600 KiB")


@test
def spamassassin_refuses_gtube():
    with Filters() as f, Filtered(f.spamassassin()) as s:
        r = s.claim(TEXT.replace(b"This is the body.", GTUBE))
        equal(r.code, 550, r.text)
        s.claim(TEXT).is_(250)
        check(s.stored()["X-Spam-Checker-Version"] is not None, s.messages(ALICE)[-1].raw.decode())


@test
def rspamd_refuses_gtube():
    with Filters() as f, Filtered(f.rspamd()) as s:
        r = s.claim(TEXT.replace(b"This is the body.", GTUBE))
        check(r.code in (550, 554), r.text)
        s.claim(TEXT).is_(250)
        check(s.stored()["X-Spam-Status"] is not None or s.stored()["Authentication-Results"] is not None,
              s.messages(ALICE)[-1].raw.decode())


@test
def all_of_them_at_once():
    with Filters() as f:
        mail = signed(f)
        with Filtered(f.opendkim(), f.opendmarc(), f.clamav(WORD), f.spamassassin()) as s:
            # An address that SPF does not name: opendmarc believes what opendkim wrote.
            s.claim(mail, addr="198.51.100.77", name="relay.test").is_(250)
            results = " ".join(s.stored().get_all("Authentication-Results") or [])
            check("dkim=pass" in results and "dmarc=pass" in results, results)
            equal(s.claim(TEXT.replace(b"the body", WORD)).code, 550, "clamav behind the others")


@test
def libmilter_hears_of_unknown_commands_and_forgets_no_message():
    for hooks in (HOOKS, ["unknown", "envfrom", "header", "eom"], ["unknown", "envrcpt", "data", "eom"]):
        with Libmilter(free_port(), os.path.join(scratch(), "log"), *hooks) as m, MilterServer(m) as s:
            c = s.client()
            c.cmd("FOO").is_(500, "5.5.2")
            c.hello()
            c.cmd("XYZZY").is_(554, "5.7.1")
            c.cmd("PLUGH").is_(451, "4.7.1")
            for _ in range(2):
                c.cmd("MAIL FROM:<a@b.example>").is_(250)
                c.cmd("FOO m").is_(500)
                c.cmd("RCPT TO:<alice@example.org>").is_(250)
                c.cmd("FOO r").is_(500)
                c.cmd("DATA").is_(354)
                c.send(TEXT + b".\r\n")
                c.reply().is_(250)
                c.cmd("FOO e").is_(500)
            c.quit()
            equal(s.handlers_failed(), {}, "failures")
            inside = ["unknown FOO m", "unknown FOO r"] if "data" in hooks else []
            said = m.said()
            equal([x for x in said if x.startswith("unknown")],
                  ["unknown FOO", "unknown XYZZY", "unknown PLUGH"] + (inside + ["unknown FOO e"]) * 2, "told: %s" % said)
            equal((said.count("eom"), said.count("abort")), (2, 0), "whole messages: %s" % said)


main()
