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
        line = s.line("transaction")
        equal([line.get(k) for k in ("result", "folder", "folder_by", "folder_reason")],
              ["accepted", "Quarantine", "fake", '"looks odd"'], "the log")


@test
def what_cannot_be_carried_out_has_a_name():
    """Of three filters the one in the middle adds a recipient that is not ours."""
    tag = packet("h", header("X-Added", "one"))
    with FakeMilter(on=at_end(tag)) as a, FakeMilter(on=at_end(tag, packet("+", b"<else@where.example>\0"))) as b, \
            FakeMilter(on=at_end(tag)) as c, MilterServer(*(section(m, n) for m, n in ((a, "a"), (b, "b"), (c, "c")))) as s:
        s.send().is_(451)
        line = s.line("edits-failed")
        equal([line.get(k) for k in ("reason", "by", "to")], ["added-recipient-unknown", "b", "else@where.example"], "the log")
        line = s.line("refusal")
        equal([line.get(k) for k in ("reason", "by")], ["edits-failed", "b"], "the refusal")


@test
def without_recipients_it_is_thrown_away():
    with FakeMilter(on=at_end(packet("-", b"<alice@example.org>\0"))) as a, FakeMilter() as b, \
            MilterServer(section(a, "a"), section(b, "b")) as s:
        s.send().is_(250)
        line = s.line("transaction")
        equal([line.get(k) for k in ("result", "by")], ["discarded", "a"], "the log")


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
    said = [packet("h", header("X-A", v)) for v in ("v", " v", "\tv", "")]
    for steps, want in ((0, b"X-A: v\nX-A:  v\nX-A: \tv\nX-A: \n"), (LEADSPC, b"X-A:v\nX-A: v\nX-A:\tv\nX-A:\n")):
        with FakeMilter(steps=steps, on=at_end(*said)) as m, MilterServer(m) as s:
            s.send(text=b"Subject: x\r\n\r\nb\r\n").is_(250)
            equal(s.maildir(ALICE).one().content, b"Subject: x\n" + want + b"\nb\n", "with steps %x" % steps)
    with FakeMilter(steps=LEADSPC, on=at_end(packet("h", header("X-New", " v")))) as m, MilterServer(m) as s:
        s.send().is_(250)
        equal(m.data("L"), [b"Subject\0 x\0", b"X-Long\0 one\n two\0"], "fields")
        equal(stored(s)["X-New"], "v", "added")


@test
def inserted_at_as_many_as_stand_before_it():
    """As libmilter and Postfix count: our trace, which stands above all of them, is one."""
    rows = (((0, 1, 2), b"X-0: v\nX-1: v\nX-2: v\nA: 1\nB: 2\n"), ((1, 1, 3), b"X-1: v\nX-0: v\nX-2: v\nA: 1\nB: 2\n"),
            ((2, 0, 9), b"X-1: v\nA: 1\nX-0: v\nB: 2\nX-2: v\n"))
    with FakeMilter() as m, MilterServer(m) as s:
        for at, want in rows:
            m.on = at_end(*(packet("i", indexed(n, "X-%d" % i, "v")) for i, n in enumerate(at)))
            s.send(text=b"A: 1\r\nB: 2\r\n\r\nb\r\n").is_(250)
            equal(newest(s), want + b"\nb\n", "at %s" % (at,))


def newest(s):
    """The content of the one message of the mailbox, which is taken away."""
    one = s.maildir(ALICE).one()
    os.unlink(one.path)
    return one.content


@test
def any_octet_in_a_value_and_lines_that_are_none():
    """What a filter copies from a Subject is no reason to defer the mail; what would end the field goes on with it."""
    rows = [(bytes([c]), bytes([c])) for c in range(1, 256) if c not in b"\r\n"]
    rows += [(b"\n", b""), (b"\r\n", b""), (b"\nb", b"\n\tb"), (b"\r\nBcc: c\n\nbody\r\n", b"\n\tBcc: c\n\tbody"), (b"\n\tb\r\n c", b"\n\tb\n c"),
             (b"\r", b" ")]
    edits = [packet("h", b"X-A\0a" + said + b"\0") for said, _ in rows]
    with FakeMilter(on=at_end(*edits)) as m, MilterServer(m) as s:
        s.send(text=b"Subject: x\r\n\r\nb\r\n").is_(250)
        equal(newest(s), b"Subject: x\n" + b"".join(b"X-A: a" + kept + b"\n" for _, kept in rows) + b"\nb\n", "content")


@test
def the_header_ends_where_the_milter_heard_it_end():
    """In one place for the milter, the editor and who reads the mail; Postfix 3.7 writes the same."""
    add, insert = packet("h", header("X-New", "v")), packet("i", indexed(1, "X-New", "v"))
    change, body = packet("m", indexed(1, "X-A", "v")), packet("b", b"new\r\n")
    led, odd, none = b" ; dkim=pass\r\nX-A: 1\r\n\r\nb\r\n", b"Subject: h\r\nodd\r\nX-A: 1\r\n\r\nb\r\n", b"text\r\nX-A: 1\r\n"
    rows = ((led, add, b"X-New: v\n\n ; dkim=pass\nX-A: 1\n\nb\n"), (led, insert, b"X-New: v\n\n ; dkim=pass\nX-A: 1\n\nb\n"),
            (led, body, b"\nnew\n"), (led, b"", b"\n ; dkim=pass\nX-A: 1\n\nb\n"),
            (odd, add, b"Subject: h\nX-New: v\n\nodd\nX-A: 1\n\nb\n"), (odd, insert, b"X-New: v\nSubject: h\n\nodd\nX-A: 1\n\nb\n"),
            (odd, change, b"Subject: h\nX-A: v\n\nodd\nX-A: 1\n\nb\n"), (odd, body, b"Subject: h\n\nnew\n"),
            (none, add, b"X-New: v\n\ntext\nX-A: 1\n"), (none, body, b"\nnew\n"),
            # Nobody edited them: as they came, where Postfix has an empty line.
            (odd, b"", b"Subject: h\nodd\nX-A: 1\n\nb\n"), (none, b"", b"text\nX-A: 1\n"))
    with FakeMilter() as m, FakeMilter() as second, MilterServer(section(m), section(second, "second")) as s:
        for text, edit, want in rows:
            m.on = at_end(*([edit] if edit else []))
            m.heard.clear()
            second.heard.clear()
            s.send(text=text).is_(250)
            equal(newest(s), want, "%s with %s" % (text, edit))
            told = b"".join(m.data("B"))
            equal(told, text[len(b"Subject: h\r\n"):] if text is odd else text, "the body that the milter heard")
            equal(b"".join(second.data("B")), b"new\r\n" if edit is body else told, "that the second heard")


@test
def a_field_longer_than_a_packet():
    """Shown as far as Postfix shows it, and stored whole."""
    folded = b"X-L: a\r\n" + (b" " + b"b" * 70 + b"\r\n") * 2900
    with FakeMilter(on=at_end(packet("h", header("X-New", "v")))) as m, MilterServer(m) as s:
        for field, shown in ((b"X-L: " + b"a" * 65400 + b"\r\n", 60000), (folded, 59982)):
            m.heard.clear()
            s.send(text=field + b"Subject: x\r\n\r\nb\r\n").is_(250)
            equal([len(f) for f in m.data("L")], [shown, len(b"Subject\0x\0")], "fields shown")
            equal(newest(s), field.replace(b"\r", b"") + b"Subject: x\nX-New: v\n\nb\n", "content")


@test
def a_header_too_large_to_edit_is_refused_for_good():
    many, much = b"".join(b"X-%d: y\r\n" % i for i in range(20001)), (b"X-A: " + b"y" * 900 + b"\r\n") * 1200
    with FakeMilter() as m, FakeMilter() as second, MilterServer(section(m), section(second, "second"), message_size_limit="2MiB") as s:
        for text in (many, much):
            m.on, second.on = {}, at_end(packet("h", header("X-New", "v")))
            s.send(text=text + b"\r\nb\r\n").is_(552, "5.3.4")
        s.says("reason=header-too-large", 2)
    with FakeMilter() as m, MilterServer(m, message_size_limit="2MiB") as s:
        for text in (many, much):
            s.send(text=text + b"\r\nb\r\n").is_(250)


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
