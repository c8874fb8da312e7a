#!/usr/bin/env -S python3 -B
# check: timeout=300
"""milter: what a milter is told, what its answers do, and what it may not."""
import os
import re
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import (ACCEPT, ALL_STEPS, CONTINUE, DISCARD, MDS_1M, MDS_256K, NO, NR, RCPT_REJ, REJECT, SKIP, TEMPFAIL, FakeMilter, code,
                        flags, packet)
from harness import check, equal, main, sanitized, test
from milterserver import ALICE, BOB, TEXT, MilterServer, header, section, sessions_of
from policy import Policy
from server import free_port, wait_for

# --- what it is told ---

@test
def all_steps_in_order_with_their_data():
    with FakeMilter() as m, MilterServer(m) as s:
        c = s.client()
        port = c.sock.getsockname()[1]
        c.hello("client.example")
        c.cmd("MAIL FROM:<Sender@b.example> SIZE=10 BODY=8BITMIME").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.cmd("DATA").is_(354)
        c.send(b"Subject: x\r\nX-Long: one\r\n two\r\nX-None:y\r\n\r\nbody\r\n..dot\r\n.\r\n")
        c.reply().is_(250)
        c.quit()
        wait_for(lambda: "K" in m.said() or "Q" in m.said(), why="no end")
        equal(m.said("CHMRTLNBEA"), "CHMRTLLLNBE", "commands")
        equal(m.offered, (6, 0x1ff, ALL_STEPS), "offered")
        name, rest = m.data("C")[0].split(b"\0", 1)
        equal(name, b"[127.0.0.1]", "client name")
        equal((rest[:1], rest[3:]), (b"4", b"127.0.0.1\0"), "client address")
        equal(struct.unpack(">H", rest[1:3])[0], port, "client port")
        equal(m.data("H"), [b"client.example\0"], "HELO")
        equal(m.data("M"), [b"<Sender@b.example>\0SIZE=10\0BODY=8BITMIME\0"], "MAIL")
        equal(m.data("R"), [b"<alice@example.org>\0"], "RCPT")
        equal(m.data("L"), [b"Subject\0x\0", b"X-Long\0one\n two\0", b"X-None\0y\0"], "fields")
        equal(m.data("B"), [b"body\r\n.dot\r\n"], "body, dots unstuffed")


@test
def macros_as_postfix_gives_them():
    with FakeMilter() as m, MilterServer(m) as s:
        r = s.send()
        at = m.macros_at
        equal([at["C"][k] for k in ("j", "{daemon_name}", "{client_addr}", "{client_name}", "{client_ptr}", "_", "{daemon_addr}")],
              ["mx.test.example", "mx.test.example", "127.0.0.1", "unknown", "unknown", "unknown [127.0.0.1]", "127.0.0.1"], "at connect")
        check(at["C"]["v"].startswith("Letterplate ") and at["C"]["{client_port}"].isdigit(), "at connect: %s" % at["C"])
        equal(at["C"]["{daemon_port}"], str(s.port), "port")
        equal(at["M"], {"i": r.queued, "{mail_addr}": "a@b.example", "{mail_host}": "b.example", "{mail_mailer}": "smtp"}, "at MAIL")
        equal(at["R"], {"i": r.queued, "{rcpt_addr}": ALICE, "{rcpt_host}": "example.org", "{rcpt_mailer}": "local"}, "at RCPT")
        for step in "TNE":
            equal(at[step], {"i": r.queued}, "at " + step)


@test
def macros_that_it_names():
    lists = struct.pack(">I", 0) + b"{client_addr} j\0" + struct.pack(">I", 3) + b"{rcpt_addr},i,{nothing}\0" + struct.pack(">I", 5) + b"\0"
    with FakeMilter(symbols=lists) as m, MilterServer(m) as s:
        s.send().is_(250)
        equal(list(m.macros_at["C"]), ["{client_addr}", "j"], "at connect")
        equal(list(m.macros_at["R"]), ["{rcpt_addr}", "i"], "at RCPT")
        check("E" not in m.macros_at, "an empty list is none at all")
        check("M" in m.macros_at, "what it does not name it gets as always")


@test
def steps_it_does_not_want():
    for letters in ("C", "H", "M", "R", "T", "L", "N", "B", "CHMRTLNB"):
        with FakeMilter(steps=flags(NO, letters)) as m, MilterServer(m) as s:
            s.send().is_(250)
            equal(m.said("CHMRTLNBE"), "".join(x for x in "CHMRTLLNBE" if x not in letters), "without " + letters)


@test
def steps_it_does_not_answer():
    for letters in ("L", "B", "LBN", "CHMRTLNB"):
        with FakeMilter(steps=flags(NR, letters)) as m, MilterServer(m) as s:
            s.send().is_(250)
            equal(m.said("CHMRTLNBE"), "CHMRTLLNBE", "no answers to " + letters)


@test
def unknown_commands():
    words = {b"XYZZY\0": code("554 5.7.1 magic is not allowed"), b"PLUGH\0": TEMPFAIL, b"EXPN all\0": REJECT}
    with FakeMilter(on={"U": lambda c, data: words.get(data, CONTINUE)}) as m, MilterServer(m) as s:
        c = s.client()
        c.cmd("FOO  bar").is_(500, "5.5.2")
        equal(m.said("CHU"), "CU", "before HELO")
        c.hello()
        c.cmd("XYZZY").is_(554, "5.7.1")
        c.cmd("PLUGH").is_(451, "4.7.1")
        c.cmd("ETRN x").is_(502, "5.5.1")
        c.cmd("NOOP").is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("EXPN all").is_(550, "5.7.1")
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.cmd("X" * 600).is_(500, "5.5.2")
        c.cmd("DATA").is_(354)
        c.send(TEXT + b".\r\n")
        c.reply().is_(250)
        c.cmd("FOO").is_(500, "5.5.2")
        c.quit()
        equal(m.said("CHUMRTLNBE"), "CUHUUUMURUTLLNBEU", "order")
        equal(m.data("U"), [b"FOO  bar\0", b"XYZZY\0", b"PLUGH\0", b"ETRN x\0", b"EXPN all\0", b"X" * 512 + b"\0", b"FOO\0"], "lines")
        equal(len(s.messages(ALICE)), 1, "stored")
        line = s.line("refusal")
        equal([line[k] for k in ("by", "code", "reason")], ["fake", "554", "milter"], "logged")


@test
def unknown_commands_that_nobody_wants_to_hear_of():
    for steps, version, said in ((flags(NO, "U"), 6, "CHMRTLLNBE"), (0, 2, "CHMRLLNBE"), (flags(NO, "T"), 6, "CUHUMRLLNBEU")):
        with FakeMilter(steps=steps, version=version) as m, MilterServer(m) as s:
            c = s.client()
            c.cmd("FOO").is_(500)
            c.hello()
            c.cmd("FOO").is_(500)
            c.cmd("MAIL FROM:<a@b.example>").is_(250)
            c.cmd("FOO").is_(500)
            c.cmd("RCPT TO:<alice@example.org>").is_(250)
            c.cmd("FOO").is_(500)
            c.send(b"BDAT %d LAST\r\n%s" % (len(TEXT), TEXT))
            c.reply().is_(250)
            c.cmd("FOO").is_(500)
            c.quit()
            equal(m.said("CHUMRTLNBE"), said, "steps %x, version %d" % (steps, version))
    with FakeMilter(steps=flags(NR, "U"), on={"M": REJECT}) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("FOO").is_(500)
        c.cmd("MAIL FROM:<a@b.example>").is_(550)
        equal(m.said("CHUM"), "CHUM", "one that answers no unknown command")


@test
def unknown_commands_between_chunks_and_of_a_milter_that_fails():
    with FakeMilter() as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.send(b"BDAT %d\r\n%s" % (len(TEXT), TEXT))
        c.reply().is_(250)
        c.cmd("FOO").is_(500)
        c.cmd("BDAT 0 LAST").is_(250)
        equal(m.said("UE"), "E", "libmilter takes none there")
    hang = {"U": lambda c, data: None}
    for on, why in (hang, "no-answer"), ({"U": packet("d")}, "discard-before-mail"), ({"U": packet("?")}, "unknown-answer"):
        with FakeMilter(on=on) as m, MilterServer(section(m, on_failure="reject", timeout="1s")) as s:
            c = s.client()
            c.hello()
            c.cmd("FOO").is_(500, "5.5.2")
            c.message(ALICE, TEXT).is_(250)
            s.failure(why, "unknown")
            equal(m.said("UE"), "UE", "and the message is asked about")
    with FakeMilter(on={"U": packet("4")}) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("FOO").is_(421, "4.7.0")
        c.ended()


@test
def what_needs_no_answer_is_kept_back():
    with FakeMilter(steps=flags(NR, "CHMRTLNB")) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.cmd("DATA").is_(354)
        equal(m.said("CHMRTLNBE"), "", "before any answer is needed")
        c.send(b"Subject: x\r\n\r\n" + b"%070d\r\n" % 7 * 1000)
        wait_for(lambda: m.said("CHMRTLN") == "CHMRTLN", why=lambda: "of a large message: %s" % m.said("CHMRTLNBE"))
        c.send(b".\r\n")
        c.reply().is_(250)
        # One that comes to nothing, and a session without mail.
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RSET").is_(250)
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        c = s.client()
        c.hello()
        c.quit()
        wait_for(lambda: len(m.said("KQ")) == 2, why="no good-bye")
        equal(m.said("CHMRTLNBEAKQ").replace("BB", "B"), "CHMRTLNBE" "MA" "MRTLLNBE" "K" "CHQ", "commands")


@test
def answers_in_pieces_and_together():
    """However the octets of answers fall into reads, they are the same answers."""
    edits = [packet("h", b"X-%d\0%s\0" % (i, b"v" * 60 * i)) for i in range(5)]
    whole = b"".join(edits) + CONTINUE
    for size in (1, 3, 4, 5, 7, len(edits[0]), len(edits[0]) + 1, len(whole) - 1, len(whole)):
        def in_pieces(c, _):
            for i in range(0, len(whole), size):
                c.send(whole[i:i + size])
                time.sleep(0.0005)
        def slowly(c, _):
            for b in CONTINUE:
                c.send(bytes([b]))
        with FakeMilter(on={"E": in_pieces, "M": slowly}) as m, MilterServer(m) as s:
            s.send().is_(250)
            s.send().is_(250)
            raw = s.messages(ALICE)[-1].raw
            equal([len(re.search(rb"\nX-%d: (v*)" % i, raw).group(1)) for i in range(5)], [60 * i for i in range(5)], "edits in pieces of %d" % size)
            equal(s.handlers_failed(), {}, "failures")


@test
def skip_and_accept():
    body = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
    body += (b"y" * 70 + b"\r\n") * 4000
    with FakeMilter(on={"B": packet("s")}, steps=SKIP) as m, MilterServer(m) as s:
        s.send(text=body).is_(250)
        equal(m.said("BE"), "BE", "one body and no more")
    for at, said in (("C", "C"), ("H", "CH"), ("M", "CHM"), ("R", "CHMR"), ("T", "CHMRT"), ("L", "CHMRTL"), ("N", "CHMRTLLN"), ("B", "CHMRTLLNB")):
        with FakeMilter(on={at: ACCEPT}) as m, MilterServer(m) as s:
            s.send().is_(250)
            equal(m.said("CHMRTLNBE"), said, "accepted at " + at)
            equal(len(s.messages(ALICE)), 1, "stored")


@test
def the_body_in_chunks():
    lines = b"".join(b"%070d\r\n" % i for i in range(3000))
    with FakeMilter() as m, MilterServer(m) as s:
        s.send(text=b"Subject: x\r\n\r\n" + lines).is_(250)
        equal(b"".join(m.data("B")), lines, "body")
        equal([len(x) for x in m.data("B")[:-1]], [65535] * (len(lines) // 65535), "chunks")
    for more in MDS_256K, MDS_1M:
        with FakeMilter(steps=more | flags(NR, "LNB")) as m, MilterServer(m) as s:
            s.send(text=b"Subject: x\r\n\r\n" + lines).is_(250)
            equal(b"".join(m.data("B")), lines, "body")
    # A new body in one packet that only this allows.
    new = lines * 4
    for more, want in ((MDS_1M, 250), (0, 451)):
        with FakeMilter(on={"E": [packet("b", new), CONTINUE]}, steps=more) as m, MilterServer(m) as s:
            s.send(text=b"Subject: x\r\n\r\n" + lines).is_(want)
            if want == 250:
                check(s.messages(ALICE)[0].content.endswith(new.replace(b"\r\n", b"\n")), "the body")


@test
def recipients_that_a_policy_server_puts_off():
    """DEFER_IF_PERMIT waits for the others' word; but a filter behind it must not take them for recipients of the message."""
    grey = Policy(lambda r, c: "DEFER_IF_PERMIT wait" if not r["recipient"].startswith("alice") else "DUNNO")
    block = Policy(lambda r, c: "REJECT no" if r["recipient"].startswith("carol") else "DUNNO")

    def hears(steps):
        with FakeMilter(steps=steps) as m, MilterServer(
                'policy "grey" { socket = "%s" }' % grey.name, m, 'policy "block" { socket = "%s" }' % block.name) as s:
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@b.example>").is_(250)
            c.cmd("RCPT TO:<%s>" % BOB).is_(450, "4.7.1")
            c.cmd("RCPT TO:<carol@example.org>").is_(554, "5.7.1")
            c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
            c.cmd("DATA").is_(354)
            c.send(TEXT + b".\r\n")
            c.reply().is_(250)
            c.quit()
            wait_for(lambda: m.said()[-1:] in ("Q", "K"), why="no good-bye")
            macros = [dict(zip(w[::2], w[1::2])) for w in (d[1:].split(b"\0") for d in m.data("D") if d[:1] == b"R")]
            return [(d[1:d.index(b">")].decode(), x.get(b"{rcpt_mailer}")) for d, x in zip(m.data("R"), macros)]
    equal(hears(0), [(ALICE, b"local")], "who does not ask for refused ones")
    equal(hears(RCPT_REJ), [(BOB, b"error"), ("carol@example.org", b"error"), (ALICE, b"local")], "who does")


@test
def a_line_that_is_no_field_begins_the_body():
    with FakeMilter() as m, MilterServer(m) as s:
        s.send(text=b"Subject: x\r\nno field\r\nX-B: c\r\n\r\nbody\r\n").is_(250)
        equal(m.data("L"), [b"Subject\0x\0"], "fields")
        equal(m.data("B"), [b"no field\r\nX-B: c\r\n\r\nbody\r\n"], "body")


@test
def one_connection_serves_session_after_session():
    with FakeMilter() as m, MilterServer(m) as s:
        for _ in range(5):
            s.send().is_(250)
            wait_for(lambda: m.said()[-1] == "K", why="no good-bye")
        equal(len(m.connections), 1, "connections")
        equal(m.said("CHMRTLNBEK"), "CHMRTLLNBEK" * 5, "commands")
    # Who claims to know how, and falls silent, is asked on a new one, and never handed on again.
    with FakeMilter(on={"C": lambda c, d: None if "K" in m.said() and c.number == 0 else CONTINUE}) as m, MilterServer(m) as s:
        for _ in range(4):
            s.send().is_(250)
        equal(len(m.connections), 4, "connections")
        equal(m.said("K"), "K", "handed on once")
        equal(s.handlers_failed(), {}, "failures")
    # Nor before it has heard of a message.
    with FakeMilter() as m, MilterServer(m) as s:
        for n in range(2):
            c = s.client()
            c.hello()
            c.quit()
            wait_for(lambda: m.said().count("Q") == n + 1, why="no good-bye")
        equal(m.said(), "CHQ" * 2, "commands")
    # A version that does not know how has one each.
    with FakeMilter(version=5) as m, MilterServer(m) as s:
        for _ in range(3):
            s.send().is_(250)
        wait_for(lambda: m.said().count("Q") == 3, why="no good-bye")
        equal(len(m.connections), 3, "connections")


@test
def a_connection_that_died_in_the_pool_is_nobodys_trouble():
    with FakeMilter() as m, MilterServer(m) as s:
        s.send().is_(250)
        wait_for(lambda: m.said()[-1] == "K", why="no good-bye")
        m.connections[0].close(reset=True)
        s.send().is_(250)
        # It dies when the next one begins to speak.
        wait_for(lambda: m.said()[-1] == "K", why="no good-bye")
        first = len(m.connections)
        m.on["C"] = lambda c, d: c.close() if c.number < first else CONTINUE
        s.send().is_(250)
        equal(s.handlers_failed(), {}, "failures")


@test
def several_messages_and_an_abort():
    with FakeMilter() as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.cmd("RSET").is_(250)
        c.message(BOB, TEXT).is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.quit()
        wait_for(lambda: m.said()[-1] == "K", why="no good-bye")
        equal(m.said("CHMRTLNBEAK"), "CHMRTLLNBE" "MRA" "MRTLLNBE" "MAK", "commands")


# --- verdicts ---

@test
def refusals_at_every_step():
    for at, answer, want in (("M", REJECT, (550, "5.7.1")), ("R", TEMPFAIL, (451, "4.7.1")), ("T", code("550 5.7.9 no data"), (550, "5.7.9")),
                             ("L", REJECT, (550, "5.7.1")), ("N", TEMPFAIL, (451, "4.7.1")), ("B", code("452 4.2.2 full"), (452, "4.2.2")),
                             ("E", code("550-5.7.1 two\r\n550 5.7.1 lines"), (550, "5.7.1"))):
        with FakeMilter(on={at: answer}) as m, MilterServer(m) as s:
            c = s.client()
            c.hello()
            r = c.cmd("MAIL FROM:<a@b.example>")
            if at != "M":
                r.is_(250)
                r = c.cmd("RCPT TO:<alice@example.org>")
            if at not in "MR":
                r.is_(250)
                r = c.cmd("DATA")
            if at in "LNBE":
                r.is_(354)
                c.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
                r = c.reply()
            r.is_(*want)
            if at == "E":
                equal(r.lines[0], "5.7.1 two", "first line")
                check(re.fullmatch(r"5\.7\.1 lines \[\w+\]", r.lines[1]), r.lines)
            equal(s.messages(ALICE), [], "stored")
            # The session goes on, and the milter hears of the next message.
            del m.on[at]
            c.cmd("RSET").is_(250)
            c.message(ALICE, TEXT).is_(250)
            c.quit()
            equal(len(s.messages(ALICE)), 1, "stored")


@test
def one_recipient_of_two():
    with FakeMilter(on={"R": lambda c, d: REJECT if b"bob" in d else CONTINUE}) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<bob@example.org>").is_(550, "5.7.1")
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        c.cmd("DATA").is_(354)
        c.send(TEXT + b".\r\n")
        c.reply().is_(250)
        c.quit()
        equal((len(s.messages(ALICE)), len(s.messages(BOB))), (1, 0), "stored")


@test
def refusals_of_the_session():
    with FakeMilter(on={"C": REJECT}) as m, MilterServer(m) as s:
        c = s.client()
        equal(c.greeting.code, 554, "greeting")
        s.leave(c)
    with FakeMilter(on={"C": TEMPFAIL}) as m, MilterServer(m) as s:
        c = s.client()
        equal(c.greeting.code, 421, "greeting")
        s.leave(c)
    with FakeMilter(on={"H": code("550 5.7.1 not you")}) as m, MilterServer(m) as s:
        c = s.client()
        c.cmd("EHLO x").is_(550)
        m.on.clear()
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
    for at, answer in (("M", packet("4")), ("R", packet("f")), ("E", code("421 4.3.2 going down")), ("M", code("521 5.7.1 not here")),
                       ("R", code("521 5.7.1 not here")), ("E", code("521 5.7.1\tnot\there"))):
        with FakeMilter(on={at: answer}) as m, MilterServer(m) as s:
            c = s.client()
            c.hello()
            r = c.cmd("MAIL FROM:<a@b.example>")
            if at in "RE":
                r = c.cmd("RCPT TO:<alice@example.org>")
            if at == "E":
                c.cmd("DATA").is_(354)
                c.send(TEXT + b".\r\n")
                r = c.reply()
            r.is_(521 if b"521" in answer else 421)
            check(b"there" not in answer or r.lines[-1].startswith("5.7.1 not here "), r.lines)
            equal(c.rest(), [], "behind it")
            c.close()


@test
def discard():
    for at in "MRTLNBE":
        with FakeMilter(on={at: DISCARD}) as m, MilterServer(m) as s:
            s.send().is_(250)
            equal(s.messages(ALICE), [], "stored")


@test
def who_missed_a_step_hears_no_more_of_the_message():
    """libmilter says nothing to a recipient without MAIL, or to content without one: it would be waited for in vain."""
    heard = {"M": ("", "MRTLNBE"), "R": ("M", "MRTLNBE"), "T": ("MR", "MRTLNBE")}
    for at, (told, next_told) in heard.items():
        with FakeMilter(on={at: DISCARD}) as m, FakeMilter() as second, MilterServer(section(m), section(second, "second")) as s:
            c = s.client()
            c.hello()
            c.message(ALICE, b"Subject: x\r\n\r\nb\r\n").is_(250)
            equal("".join(x for x in second.said("MRTLNBE")), told, "told when the first discards at " + at)
            m.on.clear()
            c.message(ALICE, b"Subject: x\r\n\r\nb\r\n").is_(250)
            equal("".join(x for x in second.said("MRTLNBE")), told + next_told, "and of the next message")
            c.quit()
            equal(len(s.messages(ALICE)), 1, "stored")
    for stage, told in (("mail", ""), ("rcpt", "M")):
        policy = Policy(lambda r, c: "DISCARD")
        first = 'policy "p" { socket = "%s" stage = "%s" }' % (policy.name, stage)
        with FakeMilter() as m, MilterServer(first, m) as s:
            s.send().is_(250)
            equal("".join(x for x in m.said("MRTLNBE")), told, "told when a policy server discards at " + stage)


# --- edits: what they do stands in milter_edits.py ---

@test
def refused_edits_leave_nothing():
    edits = [packet("h", header("X-Added", "v")), packet("b", b"new\r\n"), packet("-", b"<alice@example.org>\0")]
    with FakeMilter(on={"E": edits + [REJECT]}) as m, MilterServer(m) as s:
        s.send().is_(550)
        equal(s.messages(ALICE), [], "stored")


# --- misbehaviour ---

def misbehaves(on, reason, step, steps=0, text=TEXT, timeout="1s", want=451, actions=0x1ff, symbols=b""):
    """With each on_failure: the verdict, one clear line, and another session undisturbed."""
    for on_failure, verdict in (("tempfail", 451), ("accept", 250), ("reject", 554)):
        with FakeMilter(on=dict(on), steps=steps, actions=actions, symbols=symbols) as m, \
                MilterServer(section(m, timeout=timeout, on_failure=on_failure)) as s:
            c = s.client()
            early = step in ("connect", "helo")
            if c.greeting.code != 220:
                equal((early, c.greeting.code), (True, {"tempfail": 421, "reject": 554}[on_failure]), "greeting")
                s.leave(c)
            else:
                codes = []
                r = c.cmd("EHLO x")
                codes.append(r.code)
                if r.code == 250:
                    for line in ("MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.org>", "DATA"):
                        r = c.cmd(line)
                        codes.append(r.code)
                        if r.code >= 400:
                            break
                    else:
                        c.send(text + b".\r\n")
                        codes.append(c.reply().code)
                edited = on_failure == "accept" and want != 451
                equal(codes[-1], want if edited else verdict if not (verdict == 250 and want == 250) else 250,
                      "%s: %s with %s" % (reason, codes, on_failure))
                c.cmd("NOOP").is_(250)
                c.quit()
            s.failure(reason, step)
            equal(len(s.messages(ALICE)), 1 if on_failure == "accept" else 0, "stored with " + on_failure)


@test
def it_hangs():
    quiet = lambda c, d: None
    for at, step in (("O", "connect"), ("C", "connect"), ("M", "mail"), ("R", "rcpt"), ("E", "end")):
        misbehaves({at: quiet}, "no-answer", step)


@test
def it_dies():
    dies = lambda c, d: c.close()
    misbehaves({"M": dies}, "closed", "mail")
    misbehaves({"R": dies}, "closed", "rcpt")
    misbehaves({"E": dies}, "closed", "end")
    misbehaves({"B": lambda c, d: c.close(reset=True)}, "closed", "end", steps=flags(NR, "LNB"))


@test
def it_says_nonsense():
    misbehaves({"O": b"\xff\xff\xff\xffO"}, "length", "connect")
    misbehaves({"O": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "length", "connect")
    misbehaves({"O": CONTINUE}, "no-options", "connect")
    misbehaves({"O": packet("O", b"\0\0\0\6")}, "options-too-short", "connect")
    misbehaves({"O": packet("O", struct.pack(">III", 7, 0, 0))}, "another-version", "connect")
    misbehaves({"M": b"\xff\xff\xff\xffc" + b"x" * 1000}, "length", "mail")
    misbehaves({"M": b"\0\0\0\0"}, "length", "mail")
    misbehaves({"R": packet("Z")}, "unknown-answer", "rcpt")
    misbehaves({"R": packet("h", header("X-Early", "v"))}, "edit-before-end", "rcpt")
    misbehaves({"R": packet("s")}, "skip-not-agreed", "rcpt")
    misbehaves({"H": DISCARD}, "discard-before-mail", "helo")
    misbehaves({"E": packet("c", b"x")}, "answer-with-data", "end")
    misbehaves({"E": packet("y", b"250 2.0.0 queued\0")}, "reply-malformed", "end")
    misbehaves({"E": packet("y", b"550-5.7.1 one\r\n250 2.0.0 two\0")}, "reply-malformed", "end")
    misbehaves({"E": packet("h", b"X-A\0no end")}, "header-without-end", "end")
    misbehaves({"E": packet("h", header("X-A: b\r\nBcc", "c@d"))}, "header-name", "end")
    misbehaves({"E": packet("b", b"x")}, "edit-not-agreed", "end", actions=0)


@test
def lost_after_an_edit_is_always_try_again():
    def edits_and_dies(c, d):
        c.send(packet("h", header("X-A", "b")) + packet("b", b"half a bo"))
        time.sleep(0.05)
        c.close()
    for on_failure in ("accept", "tempfail", "reject"):
        for on in ({"E": edits_and_dies}, {"E": [packet("b", b"x"), packet("Z")]}, {"E": [packet("b", b"x"), packet("h", header("A", "b\n"))]},
                   {"E": packet("b", b"x")}):
            with FakeMilter(on=on) as m, MilterServer(section(m, timeout="1s", on_failure=on_failure)) as s:
                s.send().is_(451, "4.3.0")
                equal(s.messages(ALICE), [], "stored")
                s.line("milter-failed")


@test
def it_answers_twice():
    with FakeMilter(on={"M": [CONTINUE, CONTINUE]}) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        codes = [c.cmd(x).code for x in ("MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.org>")]
        check(451 in codes or codes == [250, 250], "codes: %s" % codes)
        c.quit()
        wait_for(lambda: "answer-unasked" in s.log(), why="no line")
    # After the end of the session: the connection is closed, and its next user has a fresh one.
    with FakeMilter(on={"K": ACCEPT}) as m, MilterServer(m) as s:
        s.send().is_(250)
        wait_for(lambda: m.gone == 1, why="it is still open")
        m.on.clear()
        s.send().is_(250)
        equal(len(m.connections), 2, "connections")


@test
def nobody_is_there():
    port = free_port()

    class Nobody:
        socket = "inet:127.0.0.1:%d" % port
    for on_failure, want in (("tempfail", 421), ("accept", 220), ("reject", 554)):
        with MilterServer(section(Nobody, on_failure=on_failure)) as s:
            c = s.client()
            equal(c.greeting.code, want, "greeting")
            s.failure("refused", "connect")
            if want == 220:
                c.hello()
                c.message(ALICE, TEXT).is_(250)
                c.quit()
            else:
                s.leave(c)


@test
def by_accept_it_is_passed_over_for_the_rest_of_the_session():
    """One that hangs costs a session its timeout once, whenever it begins to hang, and the next session asks it again."""
    quiet = lambda c, d: None
    for n, (at, step) in enumerate((("O", "connect"), ("H", "helo"), ("R", "rcpt"), ("E", "end")), 1):
        with FakeMilter(on={at: quiet}) as m, MilterServer(section(m, timeout="1s", on_failure="accept")) as s:
            c = s.client()
            c.hello()
            for _ in range(2):
                c.message([ALICE, BOB], TEXT).is_(250)
            c.hello("other.example")
            c.message([ALICE], TEXT).is_(250)
            c.quit()
            s.says("event=session")
            lines = s.lines("milter-failed")
            equal([(x["step"], x["reason"], x.get("passed_over")) for x in lines], [(step, "no-answer", "yes")], "log")
            equal((len(m.data(at)), len(m.connections)), (1, 1), "questions, connections")
            equal((s.counter("handler_timeouts"), s.counter("milters_passed_over")), (1, 1), "counters")
            equal(len(s.messages(ALICE)), 3, "stored")
            m.on.clear()
            s.send().is_(250)
            equal(len(m.connections), 2, "connections of the next session")


@test
def it_is_not_passed_over_where_that_is_no_consent():
    quiet = lambda c, d: None
    with FakeMilter(on={"M": quiet}) as m, MilterServer(section(m, timeout="1s")) as s:
        c = s.client()
        c.hello()
        for _ in range(2):
            c.cmd("MAIL FROM:<a@b.example>").is_(451)
        c.quit()
        equal([x.get("passed_over") for x in s.lines("milter-failed", 2)], [None, None], "log")
        equal(m.said().count("M"), 2, "questions")
    # Half an edit is 451 for that message, and the next one is shown to it.
    with FakeMilter(on={"E": [packet("h", header("X-A", "b")), packet("Z")]}) as m, \
            MilterServer(section(m, timeout="1s", on_failure="accept")) as s:
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(451)
        m.on.clear()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        equal(len(m.connections), 2, "connections")
        equal(s.counter("milters_passed_over"), 0, "counter")


@test
def progress_takes_its_time():
    def slow(c, d):
        for _ in range(6):
            time.sleep(0.5)
            c.send(packet("p"))
        return CONTINUE
    with FakeMilter(on={"E": slow}) as m, MilterServer(section(m, timeout="1s")) as s:
        t0 = time.monotonic()
        s.send().is_(250)
        check(time.monotonic() - t0 >= 3, "too early")

    def forever(c, d):
        try:
            while True:
                c.send(packet("p") * 100)
        except OSError:
            c.ended = True
    with FakeMilter(on={"E": forever}) as m, MilterServer(section(m, timeout="200ms")) as s:
        t0 = time.monotonic()
        s.send().is_(451)
        check(time.monotonic() - t0 < 30, "it went on")


@test
def unix_sockets():
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        with FakeMilter(path=d + "/m.sock") as m, MilterServer(m) as s:
            s.send().is_(250)
            equal(m.said("CHMRTLNBE"), "CHMRTLLNBE", "commands")


@test
def sessions_leave_its_connections_their_descriptors():
    def sessions(*sections):
        with MilterServer(*sections, start=False) as s:
            s.start(nofile=4096)
            return sessions_of(s, 1)
    with FakeMilter() as m:
        none, one = sessions(), sessions(m)
    check(150 < none - one <= 256, "%d without a milter, %d with one" % (none, one))


@test
def a_slow_milter_holds_its_client_up_and_no_other():
    body = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n"
    body += (b"y" * 998 + b"\r\n") * 900
    release = threading.Event()

    def stuck(c, d):
        release.wait(30)
        return CONTINUE
    two = 'listener "mx" { address = {"127.0.0.1:%d"} }\nlistener "other" { address = {"127.0.0.1:%d"} }'
    ports = free_port(), free_port()
    with FakeMilter(on={"L": stuck}) as m, \
            MilterServer(section(m, timeout="30s", more='listeners = {"mx"}'), listener=two % ports) as s:
        slow = s.client(("127.0.0.1", ports[0]))
        slow.hello()
        slow.cmd("MAIL FROM:<a@b.example>").is_(250)
        slow.cmd("RCPT TO:<alice@example.org>").is_(250)
        slow.cmd("DATA").is_(354)
        sent = threading.Thread(target=slow.send, args=(body + b".\r\n",))
        sent.start()
        other = s.client(("127.0.0.1", ports[1]))
        other.hello()
        t0 = time.monotonic()
        for _ in range(50):
            other.cmd("NOOP").is_(250)
        check(time.monotonic() - t0 < (5 if sanitized() else 2), "others wait")
        other.message(BOB, TEXT).is_(250)
        other.quit()
        release.set()
        slow.reply().is_(250)
        sent.join()
        slow.quit()


@test
def many_at_once():
    with FakeMilter(on={"E": lambda c, d: time.sleep(0.3) or CONTINUE}) as m, MilterServer(section(m, timeout="30s")) as s:
        done = []

        def one():
            s.send().is_(250)
            done.append(1)
        threads = [threading.Thread(target=one) for _ in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(len(done), 40, "sent")
        equal(len(s.messages(ALICE)), 40, "stored")
        check(len(m.connections) <= 40, "%d connections" % len(m.connections))


main()
