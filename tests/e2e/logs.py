#!/usr/bin/env -S python3 -B
"""logs: a line a transaction and a line a session, with the ids that the client was told; nothing breaks a line."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, test
from logschema import check_line, events
from server import Server, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?: |$)')


def logfmt(line):
    fields, at = {}, 0
    while at < len(line):
        m = FIELD.match(line, at)
        check(m, "not logfmt at octet %d: %r" % (at, line))
        fields[m.group(1)] = json.loads(m.group(2)) if m.group(2).startswith('"') else m.group(2)
        at = m.end()
    return fields


def lines(s, fmt):
    return [json.loads(x) if fmt == "json" else logfmt(x) for x in s.log().splitlines()]


def with_value(found, value):
    return [f for f in found if value in map(str, f.values())]


def talk(s):
    """A session with an accepted and a refused message: (message's id, session's id)."""
    c = s.client()
    c.hello()
    queued = c.message(ALICE, TEXT, sender='"we\\"ird\\\\ =name"@client.example').is_(250).queued
    c.cmd("MAIL FROM:<a@b.example>").is_(250)
    session = c.cmd("RCPT TO:<nobody@example.org>").is_(550).session
    c.cmd(b"NOOP \x1b[31m\xff").code
    c.cmd("BOGUS event=forged\tlevel=error")
    c.quit()
    return queued, session


def both(fmt):
    with Server(log='format = "%s" level = "info"' % fmt) as s:
        queued, session = talk(s)
        check(queued and session, "ids: %r %r" % (queued, session))
        wait_for(lambda: len(with_value(lines(s, fmt), session)) >= 2 and with_value(lines(s, fmt), queued),
                 5, lambda: "ids %s, %s are not in the log:\n%s" % (queued, session, s.log()))
        of_message = with_value(lines(s, fmt), queued)
        equal(len(of_message), 1, "lines with the message's id")
        check(session in of_message[0].values(), "the session's id is not in the message's line: %s" % of_message)
        check("alice@example.org" in " ".join(map(str, of_message[0].values())), "no recipient: %s" % of_message)
        for f in lines(s, fmt):
            check(f.get("event") and f["event"] != "forged", "event: %s" % f)
        s.stop()
        for line in s.log().splitlines():
            check(all(c >= " " for c in line), "a control octet in %r" % line)
        lines(s, fmt)


@test
def logfmt_lines_carry_the_ids():
    both("logfmt")


@test
def json_lines_carry_the_ids():
    both("json")


def refused(c, verb):
    """The refusal as the log has to tell it: code, enhanced code, text."""
    said = c.cmd(verb)
    enhanced, text = said.lines[-1].split(" ", 1)
    return str(said.code), enhanced, text.rsplit(" [", 1)[0], said.session


def each_refusal_has_its_own_line(fmt):
    """Whatever was refused before it, to whom and with which words: the same again, others, the first again."""
    told = []
    with Server(workers=1, log='format = "%s" level = "info"' % fmt, limits='connections_per_ip = 0 error_pause = "0s"') as s:
        clients = [s.client(), s.client()]
        for turn in range(3):
            for i, c in enumerate(clients):
                helo, sender = "turn%d.client%d.example" % (turn, i), "s%d.%d@client.example" % (turn, i)
                c.hello(helo)
                c.cmd("MAIL FROM:<%s>" % sender).is_(250)
                for to in ("nobody1@example.org", "nobody2@example.org", "x@elsewhere.example",
                           "y@abroad%d.example" % i, "nobody3@example.org"):
                    told.append((helo, str(c.sock.getsockname()[1]), sender, to) + refused(c, "RCPT TO:<%s>" % to))
                c.cmd("RSET").is_(250)
        s.stop()
        found = [f for f in lines(s, fmt) if f["event"] == "refusal"]
    equal([tuple(str(f[k]) for k in ("helo", "port", "from", "to", "code", "enhanced", "text", "session")) for f in found], told,
          "what the log says was refused")
    check(all(f["by"] == "recipients" and f["listener"] == "mx" for f in found), "by whom, where: %s" % found)
    equal([f["reason"] for f in found], (["no-such-mailbox"] * 2 + ["not-our-domain"] * 2 + ["no-such-mailbox"]) * 6, "reasons")
    ids = [f["id"] for f in found]
    equal([ids.count(i) for i in ids], [5] * 30, "refusals of a transaction with its id")


@test
def refusals_one_after_the_other_in_logfmt():
    each_refusal_has_its_own_line("logfmt")


@test
def refusals_one_after_the_other_in_json():
    each_refusal_has_its_own_line("json")


@test
def recipients_that_fill_their_field():
    """It takes 1300 octets, put together in 1500; whatever they add up to, the line has those that fit, and the session lives."""
    with Server(workers=1) as s:
        c = s.client()
        c.hello()
        whole = {}
        for last in range(225, 250):
            rcpts = ["alice+%s@example.org" % (chr(97 + i) * (n - 18)) for i, n in enumerate([249] * 5 + [last])]
            sender = "to%d@client.example" % last
            c.cmd("MAIL FROM:<%s>" % sender).is_(250)
            for to in rcpts + ["bob@example.org"]:
                c.cmd("RCPT TO:<%s>" % to).is_(250)
            c.cmd("RSET").is_(250)
            whole[sender] = ",".join(rcpts + ["bob@example.org"])
        c.quit()
        for f in s.lines("transaction", len(whole)):
            text = whole[f["from"]]
            check(text.startswith(f["to"]) and len(f["to"]) >= 1200, "%s instead of %s" % (f["to"], text))
            equal(f["nrcpt"], "7", "nrcpt")


@test
def level_warn_is_quiet():
    with Server(log='format = "logfmt" level = "warn"') as s:
        talk(s)
        s.stop()
        found = [f for f in lines(s, "logfmt") if f.get("level") not in ("warn", "error")]
        equal(found, [], "lines below warn")


@test
def a_session_that_sends_nothing_has_a_line():
    with Server() as s:
        n = len(lines(s, "logfmt"))
        s.client().close()
        wait_for(lambda: len(lines(s, "logfmt")) > n, 5, "no line for a session without a command")


def fill(pipe):
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(pipe, True)


@test
def a_reader_that_hangs_stops_nobody():
    """Standard error is a full pipe: clients are served, a dead worker is replaced, HUP and TERM are obeyed."""
    with Server(start=False) as s:
        reader, writer = os.pipe()
        p = subprocess.Popen([os.path.join(BIN, "letterplate"), "-c", s.path("letterplate.conf")], stdout=writer,
                             stderr=writer, stdin=subprocess.DEVNULL)
        try:
            said = b""
            while b"event=ready generation=1" not in said:
                said += os.read(reader, 4096)
            fill(writer)
            os.kill(next(w["pid"] for w in s.stats()["workers"] if w["alive"]), signal.SIGKILL)
            wait_for(lambda: s.counter("workers_started") == 3, 60, "the dead worker is not replaced")
            s.count = False
            s.client().quit()
            p.send_signal(signal.SIGHUP)
            wait_for(lambda: s.counter("reloads") == 1, 60, "HUP is not obeyed")
            p.send_signal(signal.SIGTERM)
            equal(p.wait(60), 0, "status")
        finally:
            p.kill()
            p.wait()
            os.close(reader)
            os.close(writer)


def of_the_schema(fmt):
    """Every line of a life with all that is easily had is as letterplate-log(5) says."""
    with Server(log='format = "%s" level = "debug"' % fmt, workers=1) as s:
        s.may_die = True
        talk(s)
        s.client().vanish()
        # Lines of the last 5 ms go with it.
        wait_for(lambda: {"session", "transaction", "refusal"} <= {f["event"] for f in lines(s, fmt)}, 10, "no lines")
        os.kill(s.workers()[0], signal.SIGKILL)
        wait_for(lambda: s.counter("workers_started") == 2, 10, "the dead worker is not replaced")
        s.reload()
        s.count = False
        s.stop()
        found = lines(s, fmt)
        for f in found:
            check_line(f, fmt == "json")
        seen = {f["event"] for f in found} & set(events())
        want = {"session", "transaction", "refusal", "worker-ready", "worker-died", "worker-ended", "ready", "reloaded"}
        equal(want - seen, set(), "events that were to be seen")


@test
def logfmt_lines_are_of_the_schema():
    of_the_schema("logfmt")


@test
def json_lines_are_of_the_schema():
    of_the_schema("json")


main()
