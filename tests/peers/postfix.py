#!/usr/bin/env -S python3 -B
# check: no
"""postfix: Debian's Postfix relays to us, over SMTP, and over LMTP with one mailbox that fails."""
import os
import re
import shutil
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import check, equal, main, need_root, test
from postfix import Postfix
from tls import certificate
from server import Server, wait_for

ALICE, BOB, CAROL = ("%s@example.org" % x for x in ("alice", "bob", "carol"))
TEXT = "Subject: x\r\n\r\n.dots\r\n..\r\nbody\r\n"


def status(postfix, rcpt, n=1):
    """What Postfix logged of its N-th try for a recipient: sent, deferred or bounced, and our reply."""
    def found():
        return re.findall(r"to=<%s>.*status=(\w+) \((.*)\)" % re.escape(rcpt), postfix.log())
    wait_for(lambda: len(found()) >= n, 30, lambda: "no status of %s: %s" % (rcpt, postfix.log()[-1500:]))
    return found()[n - 1]


class Lmtp(Server):
    def __init__(self):
        super().__init__(start=False, count=False)
        self.unix = self.path("lmtp", "socket")
        os.makedirs(self.path("lmtp"))
        if os.geteuid() == 0:
            shutil.chown(self.path("lmtp"), "nobody", "nogroup")
        os.chmod(self.path("lmtp"), 0o755)
        os.chmod(self.root, 0o755)
        self.listener = ('listener "lmtp" { address = {"127.0.0.1:%d", "unix:%s"} protocol = "lmtp" }'
                         % (self.port, self.unix))
        self.write_config()
        self.start()


def lmtp(transport):
    need_root()
    with Lmtp() as s, Postfix(harness.scratch("postfix."), transport(s)) as p:
        p.send("a@b.example", [ALICE, CAROL, "nobody@example.org"], TEXT)
        equal([status(p, x)[0] for x in (ALICE, CAROL, "nobody@example.org")], ["sent", "sent", "bounced"], "status")
        equal([len(s.messages(x)) for x in (ALICE, CAROL)], [1, 1], "messages")
        check("with LMTP" in s.messages(ALICE)[0]["Received"], "not by LMTP")
        check(s.messages(ALICE)[0].content.endswith(b".dots\n..\nbody\n"), "content")
        box = os.path.join(s.store_path, "example.org", "bob")
        os.makedirs(os.path.join(box, "tmp"))
        os.chmod(box, 0o500)        # root's, in a folder of the workers
        p.send("a@b.example", [ALICE, BOB, CAROL], TEXT)
        equal([status(p, ALICE, 2)[0], status(p, CAROL, 2)[0]], ["sent", "sent"], "status")
        word, reply = status(p, BOB)
        equal(word, "deferred", "status")
        check("451 4.3.0" in reply, "reply %s" % reply)
        shutil.rmtree(box)
        p.command("flush")
        equal(status(p, BOB, 2)[0], "sent", "status once the mailbox is mended")
        equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [2, 1, 2], "messages")


@test
def lmtp_over_unix():
    lmtp(lambda s: "lmtp:unix:" + s.unix)


@test
def lmtp_over_tcp():
    lmtp(lambda s: "lmtp:inet:127.0.0.1:%d" % s.port)


@test
def smtp():
    need_root()
    with Server(count=False) as s, Postfix(harness.scratch("postfix."), "smtp:[127.0.0.1]:%d" % s.port) as p:
        p.send("a@b.example", [ALICE, BOB, "old@example.org", "moving@example.org"], TEXT)
        equal([status(p, "%s@example.org" % x)[0] for x in ("alice", "bob", "old", "moving")],
              ["sent", "sent", "bounced", "deferred"], "status")
        for box in ALICE, BOB:
            check(s.messages(box)[0].content.endswith(b".dots\n..\nbody\n"), "content")
        check("with ESMTP" in s.messages(ALICE)[0]["Received"], "not by ESMTP")


@test
def smtp_in_utf8():
    need_root()
    with Server("müller@bücher.example\n", count=False) as s, \
            Postfix(harness.scratch("postfix."), "smtp:[127.0.0.1]:%d" % s.port, "smtputf8_enable = yes") as p:
        for rcpt in "müller@bücher.example", "müller@xn--bcher-kva.example":
            p.send("söder@b.example", [rcpt], "Subject: ü\r\n\r\nü\r\n".encode(), ["SMTPUTF8", "BODY=8BITMIME"])
        wait_for(lambda: len(s.messages("müller@xn--bcher-kva.example")) == 2, 30, lambda: p.log()[-1500:])
        check(all("with UTF8SMTP" in m["Received"] for m in s.messages("müller@xn--bcher-kva.example")), "not UTF8SMTP")



class Dsn(Server):
    relay_port = 25

    def config(self):
        return super().config() + 'dsn = yes\ndsn_relay = "127.0.0.1:%d"\n' % self.relay_port


@test
def dsn_both_ways():
    """Postfix hands on what its client asked for, and takes the report; one for a sender here goes into the mailbox."""
    need_root()
    s = Dsn(start=False, count=False)
    with Postfix(harness.scratch("postfix."), "smtp:[127.0.0.1]:%d" % s.port) as p, s:
        s.relay_port = p.port
        s.write_config()
        s.start()
        for sender in ("joe@client.example", BOB):
            with smtplib.SMTP("127.0.0.1", p.port) as c:
                c.sendmail(sender, [ALICE], TEXT, mail_options=["ENVID=e+2B1"],
                           rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;al@first.example"])
        wait_for(lambda: s.messages(BOB), 30, "no report in the mailbox")
        text = s.messages(BOB)[0].raw
        for line in (b"Original-Envelope-Id: e+1", b"Original-Recipient: rfc822;al@first.example",
                     b"Final-Recipient: rfc822;alice@example.org"):
            check(b"\n" + line + b"\n" in text, "no %r in %r" % (line, text))
        wait_for(lambda: s.counter("reports_sent") == 1, 30, "not sent")
        # It has nowhere else to bring it than here, where joe is a stranger: so it did take it.
        word, reply = status(p, "joe@client.example")
        equal(word, "bounced", "status")
        check("550 5.7.1" in reply, reply)
        equal([s.counter("reports_" + x) for x in ("queued", "sent", "delivered", "failed")], [2, 1, 1, 0], "counters")


@test
def a_report_inside_tls():
    """A Postfix that offers STARTTLS takes it inside TLS."""
    need_root()
    pair = certificate("postfix.example")
    s = Dsn(start=False, count=False)
    with Postfix(harness.scratch("postfix."), "smtp:[127.0.0.1]:%d" % s.port, "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = %s\n"
                 "smtpd_tls_key_file = %s\nsmtpd_tls_loglevel = 1" % pair) as p, s:
        s.relay_port = p.port
        s.write_config()
        s.start()
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<joe@client.example>").is_(250)
        c.cmd("RCPT TO:<%s> NOTIFY=SUCCESS" % ALICE).is_(250)
        c.data(TEXT.encode()).is_(250)
        c.quit()
        wait_for(lambda: s.counter("reports_sent") == 1, 30, lambda: "not sent: " + s.log()[-600:])
        equal(s.counter("reports_tls"), 1, "inside TLS")
        wait_for(lambda: "Anonymous TLS connection established from" in p.log(), why=lambda: p.log()[-600:])


main()
