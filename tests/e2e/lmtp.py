#!/usr/bin/env -S python3 -B
"""lmtp: over TCP and unix sockets, a reply for each recipient, and one that fails alone."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import LMTP
from harness import equal, main, test
from server import Server

ALICE, BOB, CAROL, SALES = ("%s@example.org" % x for x in ("alice", "bob", "carol", "sales"))
TEXT = b"Subject: x\r\n\r\nbody\r\n"


class LmtpServer(Server):
    def __init__(self, **more):
        super().__init__(start=False, **more)
        self.unix = self.path("state", "lmtp")
        self.addresses = [("127.0.0.1", self.port), self.unix]
        self.listener = ('listener "lmtp" { address = {"127.0.0.1:%d", "unix:%s"} protocol = "lmtp" }'
                         % (self.port, self.unix))
        self.write_config()
        self.start()

    def spoil(self, address):
        """Make a mailbox that the workers cannot write in."""
        local, _, domain = address.partition("@")
        box = os.path.join(self.store_path, domain, local)
        for folder in "tmp", "new", "cur":
            os.makedirs(os.path.join(box, folder))
            os.chmod(os.path.join(box, folder), 0o555)
        os.chmod(box, 0o555)
        if os.geteuid() == 0:       # only what is above it stays theirs
            shutil.chown(os.path.dirname(box), "nobody", "nogroup")

    def mend(self, address):
        local, _, domain = address.partition("@")
        box = os.path.join(self.store_path, domain, local)
        for folder in box, *(os.path.join(box, x) for x in ("tmp", "new", "cur")):
            os.chmod(folder, 0o755)
            if os.geteuid() == 0:
                shutil.chown(folder, "nobody", "nogroup")


def finals(c, n):
    return [(r.code, r.enhanced) for r in (c.reply() for _ in range(n))]


@test
def pythons_client_over_both_kinds_of_socket():
    with LmtpServer() as s:
        for n, address in enumerate(s.addresses, 1):
            where = (address, 0) if isinstance(address, str) else address
            with LMTP(s.seen, *where) as c:
                refused = c.sendmail("a@b.example", [ALICE, "nobody@example.org", BOB], TEXT.decode())
                # smtplib reads one reply for the data; the rest are ours to read
                equal(sorted(refused), ["nobody@example.org"], "refused")
                equal(refused["nobody@example.org"][0], 550, "code")
                equal(c.getreply()[0], 250, "the second recipient's reply")
            equal([len(s.messages(x)) for x in (ALICE, BOB)], [n, n], "messages")


@test
def one_mailbox_fails_alone():
    with LmtpServer() as s:
        s.spoil(BOB)
        for n, address in enumerate(s.addresses, 1):
            c = s.client(address)
            c.cmd("LHLO client.example").is_(250)
            c.envelope([ALICE, BOB, CAROL, BOB])
            c.data(TEXT).is_(250, "2.0.0")
            equal(finals(c, 3), [(451, "4.3.0"), (250, "2.0.0"), (451, "4.3.0")], "replies")
            c.cmd("NOOP").is_(250)
            c.quit()
            equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [n, 0, n], "messages")
        s.mend(BOB)
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.envelope([BOB])
        c.data(TEXT).is_(250, "2.0.0")
        c.quit()
        equal(len(s.messages(BOB)), 1, "messages")


@test
def an_alias_fails_when_one_of_its_mailboxes_does():
    """What was stored stays, and the sender tries again: twice is better than never."""
    with LmtpServer() as s:
        s.spoil(BOB)
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.envelope([CAROL, SALES])
        c.data(TEXT).is_(250, "2.0.0")
        equal(finals(c, 1), [(451, "4.3.0")], "the alias's reply")
        c.quit()
        s.mend(BOB)


@test
def a_loop_is_refused_for_those_alone_who_had_the_mail():
    with LmtpServer() as s:
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.envelope([ALICE, BOB, ALICE, CAROL])
        c.data(b"Delivered-To: alice@example.org\r\n" + TEXT).is_(554, "5.4.6")
        equal(finals(c, 3), [(250, "2.0.0"), (554, "5.4.6"), (250, "2.0.0")], "replies")
        equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [0, 1, 1], "messages")
        equal(s.messages(BOB)[0].content.count(b"Delivered-To: alice@example.org\n"), 1, "what came stays")
        c.envelope([SALES, CAROL])                      # an alias of which one had it
        c.data(b"Delivered-To: bob@example.org\r\n" + TEXT).is_(554, "5.4.6")
        equal(finals(c, 1), [(250, "2.0.0")], "replies")
        equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [0, 1, 2], "messages")
        c.envelope([ALICE, BOB])                        # all of them
        c.data(b"Delivered-To: alice@example.org\r\nDelivered-To: bob@example.org\r\n" + TEXT).is_(554, "5.4.6")
        equal(finals(c, 1), [(554, "5.4.6")], "replies")
        c.quit()
        equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [0, 1, 2], "messages")


@test
def duplicates_have_replies_of_their_own():
    with LmtpServer() as s:
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.envelope([ALICE, ALICE, "alice+x@example.org"])
        c.data(TEXT).is_(250, "2.0.0")
        equal(finals(c, 2), [(250, "2.0.0")] * 2, "replies")
        c.quit()
        equal(len(s.messages(ALICE)), 1, "messages")


@test
def chunks():
    with LmtpServer() as s:
        s.spoil(BOB)
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.envelope([ALICE, BOB, CAROL])
        c.send(b"BDAT 12\r\nSubject: x\r\n")
        c.reply().is_(250, "2.0.0")
        c.send(b"BDAT 9 LAST\r\n\r\na\nb\r\n.\r")
        equal(finals(c, 3), [(250, "2.0.0"), (451, "4.3.0"), (250, "2.0.0")], "replies")
        # pipelined, the next transaction behind it; none accepted: 503 and the chunk is swallowed
        c.send(b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nBDAT 14 LAST\r\nQUIT\r\nQUIT\r\n\r\n"
               b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nBDAT 0 LAST\r\nNOOP\r\n")
        equal([c.reply().code for _ in range(3)], [250, 550, 503], "replies")
        equal([c.reply().code for _ in range(5)], [250, 250, 250, 250, 250], "replies")
        c.quit()
        equal([len(s.messages(x)) for x in (ALICE, BOB, CAROL)], [2, 0, 1], "messages")
        s.mend(BOB)


@test
def none_valid():
    """RFC 2033 4.2: DATA without a valid recipient is 503."""
    with LmtpServer() as s:
        c = s.client(s.unix)
        c.cmd("LHLO client.example").is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.cmd("DATA").is_(503, "5.5.1")
        c.quit()


main()
