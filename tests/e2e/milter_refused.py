#!/usr/bin/env -S python3 -B
"""milter_refused: recipients that others refuse: who asked for that (SMFIP_RCPT_REJ) is told of them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import ACCEPT, CONTINUE, DISCARD, NO, NR, RCPT_REJ, REJECT, FakeMilter, code, packet
from harness import check, equal, main, test
from milterserver import ALICE, TEXT, MilterServer, header, section
from policy import Policy
from server import wait_for


@test
def recipients_that_were_refused():
    def hears(steps, answer=REJECT):
        on = {"R": lambda c, d: answer if b"nobody" in d else CONTINUE} if answer else {}
        with FakeMilter(on=on, steps=steps) as m, MilterServer(m) as s:
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@b.example>").is_(250)
            c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
            c.send(b"RCPT TO:<nobody2@example.org>\r\nRCPT TO:<alice@example.org> NOTIFY=x\r\nRCPT TO:<alice@example.org>\r\n"
                   b"RCPT TO:<nobody3@example.org>\r\nDATA\r\n")
            for want in (550, 555, 250, 550, 354):
                c.reply().is_(want)
            c.send(TEXT + b".\r\n")
            c.reply().is_(250)
            c.message(ALICE, TEXT).is_(250)
            c.cmd("MAIL FROM:<a@b.example>").is_(250)
            c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
            c.quit()
            wait_for(lambda: m.said()[-1:] in ("Q", "K"), why="no good-bye")
            equal(s.handlers_failed(), {}, "failures")
            equal(len(s.messages(ALICE)), 2, "stored")
            macros = [d[1:].split(b"\0") for d in m.data("D") if d[:1] == b"R"]
            return [d[1:d.index(b"@")].decode() for d in m.data("R")], macros[0] if macros else []
    equal(hears(0)[0], ["alice"] * 2, "who does not ask for it")
    for steps, answer in ((RCPT_REJ, REJECT), (RCPT_REJ, ACCEPT), (RCPT_REJ, DISCARD), (RCPT_REJ, code("550 5.7.1 a\r\n")),
                          (RCPT_REJ | NR["R"], None)):
        told, macros = hears(steps, answer)
        equal(told, ["nobody", "nobody2", "alice", "nobody3", "alice", "nobody"], "told")
        macros = dict(zip(macros[::2], macros[1::2]))
        equal((macros[b"{rcpt_mailer}"], macros[b"{rcpt_host}"]), (b"error", b"5.1.1"), "macros")
        check(b"mailbox" in macros[b"{rcpt_addr}"], "macros: %s" % macros)
    equal(hears(RCPT_REJ | NO["R"])[0], [], "who wants no recipients")


@test
def recipients_that_others_refuse_later():
    """By an answer that came, and by one that did not: the reply is known when nobody is in the middle of asking any more."""
    def hears(other, want):
        with FakeMilter(steps=RCPT_REJ) as m, MilterServer(other, m) as s:
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@b.example>").is_(250)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(want)
            c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
            c.quit()
            wait_for(lambda: len(m.data("R")) == 2, why=lambda: "told: %s" % m.data("R"))
            return [d[:d.index(b"\0")].decode() for d in m.data("R")]
    told = ["<%s>" % ALICE, "<nobody@example.org>"]
    with FakeMilter(on={"R": code("551 5.7.1 not this one\r\n")}) as m:
        equal(hears(section(m, name="first"), 551), told, "told")
    silent = Policy(lambda r, c: None)
    equal(hears('policy "p" { socket = "%s" timeout = "300ms" }' % silent.name, 451), told, "told")


@test
def edits_behind_a_refused_recipient_are_no_answer_to_it():
    with FakeMilter(on={"R": [packet("h", header("X-A", "b")), CONTINUE]}, steps=RCPT_REJ) as m, MilterServer(m) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.cmd("RCPT TO:<alice@example.org>").is_(451)
        s.line("milter-failed")
        c.quit()


main()
