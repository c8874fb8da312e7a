#!/usr/bin/env -S python3 -B
"""milter_edits: what a milter changes in a message stands so in the mailbox."""
import email
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import CONTINUE, LEADSPC, FakeMilter, packet
from harness import check, equal, main, sanitized, test
from milterserver import ALICE, BOB, MilterServer, at_end, header, indexed, section, sessions_of
from server import wait_for


def stored(s, address=ALICE):
    """The one message of a mailbox, read as a mail reader does."""
    got = s.messages(address)
    equal(len(got), 1, "messages of " + address)
    return email.message_from_bytes(got[0].raw)


@test
def headers_added_inserted_changed_deleted():
    edits = (packet("h", header("X-Added", "one\n\ttwo")), packet("i", indexed(0, "X-First", "a")),
             packet("i", indexed(1, "X-Second", "b")), packet("m", indexed(1, "Subject", "changed")),
             packet("m", indexed(2, "X-Same", "")), packet("m", indexed(1, "X-New", "n")))
    text = b"Subject: x\r\nX-Same: 1\r\nX-Same: 2\r\nX-Same: 3\r\n\r\nbody\r\n"
    with FakeMilter(on=at_end(*edits)) as m, MilterServer(m) as s:
        s.send(text=text).is_(250)
        got = stored(s)
        equal(got["Subject"], "changed", "changed")
        equal(got.get_all("X-Same"), ["1", "3"], "the second is gone")
        equal(got["X-New"], "n", "changed what was not there: added")
        equal(" ".join(got["X-Added"].split()), "one two", "added")
        names = got.keys()
        check(names.index("Received") < names.index("X-First") < names.index("Subject"), "order: %s" % names)
        check(names.index("X-Second") < names.index("Subject"), "order: %s" % names)
        equal(got.get_payload(), "body\n", "body")


@test
def a_new_body_in_pieces():
    with FakeMilter(on=at_end(packet("b", b"new "), packet("b", b"body\r\n.\r\nmore\r\n"))) as m, MilterServer(m) as s:
        s.send().is_(250)
        equal(stored(s).get_payload(), "new body\n.\nmore\n", "body")


def told_of_memory(s):
    """What the worker says that a session may hold, and all of them together."""
    line = re.compile(r"at most \d+ sessions; (\d+) octets each at the most, and (\d+) more for all of them")
    s.says(" octets each at the most")
    return [int(n) for n in line.search(s.log()).groups()]


def peak(s):
    """Octets of memory that the one worker has had at the most."""
    with open("/proc/%d/status" % s.workers()[0]) as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))


@test
def new_bodies_stay_within_the_memory_that_was_told():
    """A session holds each milter's new body as a whole: what is told at the start must have them in it."""
    size, piece = 8 << 20, b"x" * 62 + b"\r\n"
    body = at_end(*[packet("b", piece * 1000)] * (size // 64000 - 1))
    with FakeMilter(on=body) as a, FakeMilter(on=body) as b, \
            MilterServer(section(a, "a"), section(b, "b"), message_size_limit="8MiB") as s:
        each, together = told_of_memory(s)
        before = peak(s)
        s.send().is_(250)
        grown = peak(s) - before
        equal(len(stored(s).get_payload()) > size - (1 << 20), True, "the body is the milter's")
        check(sanitized() or grown > size, "not even one body was held: %d octets" % grown)
        check(sanitized() or grown <= 1.1 * (each + together), "%d octets grown, %d told" % (grown, each + together))
        check(each > 2 * size, "%d octets are told of a session that may hold two bodies" % each)


@test
def sender_and_recipients():
    edits = (packet("+", b"<bob@example.org>\0"), packet("-", b"<alice@example.org>\0"), packet("e", b"<other@b.example>\0"),
             packet("2", b"<carol@example.org>\0NOTIFY=NEVER\0"))
    with FakeMilter(on=at_end(*edits)) as m, MilterServer(m) as s:
        s.send().is_(250)
        equal(s.messages(ALICE), [], "alice")
        equal(stored(s, BOB)["Return-Path"], "<other@b.example>", "Return-Path")
        stored(s, "carol@example.org")


@test
def quarantine_goes_to_a_folder():
    with FakeMilter(on=at_end(packet("q", b"looks odd\0"))) as m, MilterServer(m) as s:
        s.send().is_(250)
        folder = s.path("mail/example.org/alice/.Quarantine/new")
        equal((len(s.messages(ALICE)), len(os.listdir(folder))), (0, 1), "in the inbox, in the folder")


@test
def the_second_sees_what_the_first_wrote():
    first = at_end(packet("i", indexed(1, "Authentication-Results", "other.example; dkim=pass")), packet("b", b"new\r\n"))
    with FakeMilter(on=first) as a, FakeMilter() as b, MilterServer(section(a, "a"), section(b, "b")) as s:
        s.send().is_(250)
        equal(a.data("L"), [b"Subject\0x\0", b"X-Long\0one\n two\0"], "the first")
        equal(b.data("L"), [b"Authentication-Results\0other.example; dkim=pass\0", b"Subject\0x\0", b"X-Long\0one\n two\0"], "the second")
        equal(b.data("B"), [b"new\r\n"], "the second")


@test
def the_blank_behind_the_colon():
    with FakeMilter(steps=LEADSPC, on=at_end(packet("h", header("X-New", " v")))) as m, MilterServer(m) as s:
        s.send().is_(250)
        equal(m.data("L"), [b"Subject\0 x\0", b"X-Long\0 one\n two\0"], "fields")
        equal(stored(s)["X-New"], "v", "added")


IDLE = 33               # connections to the milter that are kept, and one of a client that leaves


def descriptors(s):
    return sum(len(os.listdir("/proc/%d/fd" % p)) for p in s.workers())


@test
def large_ones_give_their_descriptors_back():
    """Over 64 KiB the message is a file from its first chunk on, and so is its second, edited copy."""
    text = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 3000
    added = packet("h", header("X-Added", "one"))
    ways = (at_end(added, packet("b", b"z" * 60000 + b"\r\n"), packet("b", b"z" * 60000 + b"\r\n")), at_end(added),
            at_end(added, then=packet("t")), at_end(added, packet("+", b"<nobody@example.org>\0")),     # cannot be carried out
            {"E": lambda c, d: (c.send(added), c.close())[2:]})
    with FakeMilter() as m, MilterServer(m) as s:
        s.send(text=text).is_(250)
        before = descriptors(s)
        for on, code in zip(ways, (250, 250, 451, 451, 451)):
            m.on = on
            for _ in range(5):
                s.send(text=text).is_(code)
        m.on = ways[0]
        for _ in range(5):              # gone in the middle
            c = s.client()
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            c.send(text)
            c.vanish()
        wait_for(lambda: s.sessions_open() == 0, why="sessions of clients that are gone")
        wait_for(lambda: descriptors(s) <= before, why=lambda: "%d descriptors, and before %d" % (descriptors(s), before))
        equal(len(s.messages(ALICE)), 11, "messages")


@test
def as_many_large_ones_as_sessions():
    """The second copies have descriptors, also when every session that may be has a message that is edited just now."""
    text = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 1500
    gate = threading.Event()

    def at_once(c, d):
        gate.wait(20)
        return [packet("h", header("X-Added", "one")), CONTINUE]
    with FakeMilter(on={"E": at_once}) as m, MilterServer(section(m, timeout="60s"), limits="connections_per_ip = 0") as s:
        s.term()
        s.start(nofile=2016)
        s.count = False
        most = sessions_of(s, 2)
        check(40 < most < 200, "at most %d sessions" % most)
        before, clients = descriptors(s), []
        for _ in range(most):
            c = s.client()
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            c.send(text + b".\r\n")
            clients.append(c)
        wait_for(lambda: m.said("E") == "E" * most, why="not all are at their end")
        gate.set()
        for c in clients:
            c.reply().is_(250)
            c.quit()
        equal(len(s.messages(ALICE)), most, "stored")
        check(all(b"\nX-Added: one\n" in x.raw for x in s.messages(ALICE)), "not edited")
        wait_for(lambda: s.sessions_open() == 0, why="sessions")
        wait_for(lambda: descriptors(s) <= before + IDLE, why=lambda: "%d descriptors, and before %d" % (descriptors(s), before))


main()
