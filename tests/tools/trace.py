#!/usr/bin/env -S python3 -B
"""trace: letterplate-trace on a live server: what it shows, what it never shows, and that it holds nobody up."""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, test
from policy import Policy
from proc import descriptors
from server import Server, free_port, wait_for

TOOL = os.path.join(BIN, "letterplate-trace")
TEXT = b"Subject: x\r\n\r\nthe body is nobodys business\r\n"
TAP_MAX = 8
ALICE, BOB = "alice@example.org", "bob@example.org"


class Trace:
    """The tool on server S; its records are taken as they come."""
    def __init__(self, s, *args, json=True, stdout=subprocess.PIPE):
        before = taps(s)
        self.child = subprocess.Popen([TOOL, "-d", s.path("state"), *(["-j"] if json else []), *args],
                                      stdout=stdout, stderr=subprocess.PIPE)
        wait_for(lambda: taps(s) > before or self.child.poll() is not None, why="the workers were not told")

    def rest(self):
        """End it; its records."""
        time.sleep(0.1)
        self.child.send_signal(signal.SIGINT)
        out, err = self.child.communicate(timeout=30)
        equal(err, b"", "standard error")
        return [json.loads(x) for x in out.splitlines()]

    def until(self, event):
        """Read records until EVENT; all of them."""
        got = []
        while not got or got[-1]["event"] != event:
            line = self.child.stdout.readline()
            check(line, "it ended before %s" % event)
            got.append(json.loads(line))
        return got


def unix_sockets(pid):
    return sum(x.startswith("socket:") for x in descriptors(pid))


def taps(s):
    """How many traces the worker that has fewest knows of: sockets beyond those it had."""
    if not hasattr(s, "base"):
        s.base = {p: unix_sockets(p) for p in s.workers()}
    return min(unix_sockets(p) - s.base.get(p, unix_sockets(p)) for p in s.workers())


def server(**more):
    s = Server(**more)
    taps(s)
    return s


def texts(records, event):
    return [r.get("text") for r in records if r["event"] == event]


@test
def it_shows_the_dialogue_and_the_handlers():
    with server() as s:
        t = Trace(s)
        c = s.client()
        c.hello("esc.example")
        c.message([ALICE], TEXT).is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        no = c.cmd("RCPT TO:<nobody@example.org>").is_(550)
        c.quit()
        got = t.until("end")
        t.rest()
        commands = texts(got, "command")
        equal(commands[0], "EHLO esc.example", "first")
        check(commands[-1] == "QUIT" and "RCPT TO:<alice@example.org>" in commands, commands)
        replies = [r for r in got if r["event"] == "reply"]
        check(replies[0]["text"][0].startswith("220 mx.test.example"), "greeting %s" % replies[0])
        check(len(replies[1]["text"]) > 3 and replies[1]["text"][-1].startswith("250 "), "EHLO %s" % replies[1])
        check(all(len(r["text"]) == 1 for r in replies[2:]), "one line a reply: %s" % replies[2:])
        refusal = next(r for r in replies if r["code"] == 550)
        check(no.session in refusal["text"][0], "the reply as it went: %s" % refusal)
        a = next(r for r in got if r["event"] == "answer" and r["verdict"] == "refused")
        equal((a["handler"], a["stage"], a["code"]), ("recipients", "rcpt", 550), "answer")
        check(all(0 <= r["ms"] < 30000 for r in got if r["event"] == "answer"), "times")
        stored = next(r for r in got if r["event"] == "transaction")
        equal((stored["result"], stored["commit_ms"] > 0), ("accepted", True), "stored")
        equal({(r["session"], r["remote"], r["listener"]) for r in got}, {(no.session, "127.0.0.1", "mx")}, "who")
        check("nobodys" not in json.dumps(got) and "Subject" not in json.dumps(got), "content was shown")


@test
def a_policy_servers_time_is_shown():
    p = Policy(lambda r, c: time.sleep(0.2) or "REJECT not you")
    with server(extra=p.section("greylist")) as s:
        t = Trace(s)
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(554)
        c.quit()
        a = [r for r in t.until("end") if r["event"] == "answer" and r["handler"] == "greylist" and r["stage"] == "rcpt"]
        t.rest()
        equal([(r["stage"], r["verdict"], r.get("code"), r["ms"] >= 200) for r in a], [("rcpt", "refused", 554, True)], "answer")
    p.close()


@test
def secrets_are_never_shown():
    port = free_port()
    with server(listener='listener "mx" { address = {"127.0.0.1:%d"} xclient_from = {"127.0.0.1/32"} }' % port) as s:
        s.port = port
        plain, t = Trace(s, json=False), Trace(s)
        c = s.client()
        c.hello()
        for line in ("AUTH PLAIN c2VjcmV0", "AUTH LOGIN", "c2VjcmV0", "AUTH c2VjcmV0"):
            c.cmd(line)
        c.cmd("XCLIENT ADDR=192.0.2.7 LOGIN=c2VjcmV0").is_(220)
        c.hello("again.example")
        c.message([ALICE], b"Subject: c2VjcmV0\r\n\r\nc2VjcmV0\r\n").is_(250)
        c.quit()
        got = t.until("end")
        t.rest()
        check("c2VjcmV0" not in json.dumps(got), "shown: %s" % got)
        check("AUTH PLAIN" in texts(got, "command"), "the mechanism is shown")
        equal(sum("hidden" in r for r in got), 4, "hidden")
        plain.child.send_signal(signal.SIGINT)
        out = plain.child.communicate(timeout=30)[0].decode()
        check("c2VjcmV0" not in out and "C: AUTH PLAIN [hidden]" in out and "XCLIENT ADDR=192.0.2.7 [hidden]" in out, out)
        check("\033" not in out, "no colours in a pipe")


@test
def hostile_octets_are_escaped():
    with server() as s:
        plain, t = Trace(s, json=False), Trace(s)
        c = s.client()
        c.hello()
        c.send(b"NOOP \x1b[31m\x07\x00\xff\\\"\r\n")
        c.reply().is_(500)
        c.quit()
        got = t.until("end")
        t.rest()
        equal(texts(got, "command")[1], 'NOOP \\x1b[31m\\x07\\x00\\xff\\\\"', "escaped")
        plain.child.send_signal(signal.SIGINT)
        out = plain.child.communicate(timeout=30)[0]
        check(b"C: NOOP \\x1b[31m" in out and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", out), out)


@test
def filters_choose():
    ports = free_port(), free_port()
    listeners = "\n".join('listener "%s" { address = {"127.0.0.1:%d"} }' % x for x in zip(("mx", "other"), ports))
    with server(listener=listeners) as s:
        s.port = ports[0]
        two = Trace(s, "-i", "127.0.0.2", "-i", "10.0.0.0/8")
        one = Trace(s, "-i", "127.0.0.1")
        there = Trace(s, "-l", "other")
        bob = Trace(s, "-r", "BOB@example.org")
        domain = Trace(s, "-r", "@example.org", "-i", "127.0.0.2")
        c = s.client(source="127.0.0.2")
        c.hello("second.example")
        c.message([ALICE], TEXT).is_(250)
        c.message([BOB], TEXT).is_(250)
        c.cmd("NOOP behind").is_(250)
        c.quit()
        got, none, other, bobs, all = (t.rest() for t in (two, one, there, bob, domain))
        check("EHLO second.example" in texts(got, "command"), "by network: %s" % got)
        equal((none, other), ([], []), "others")
        equal((bobs[0]["event"], bobs[0]["to"], bobs[0]["from"], bobs[0]["helo"]),
              ("recipient", BOB, "sender@client.example", "second.example"), "it begins with the recipient")
        equal(texts(bobs, "command"), ["DATA", "NOOP behind", "QUIT"], "and goes on to the end")
        equal(texts(all, "command")[0], "DATA", "both, from the first recipient")
        equal(all[0]["to"], ALICE, "both")


@test
def a_session_that_is_under_way_is_shown():
    with server() as s:
        c = s.client()
        c.hello()
        t = Trace(s)
        c.cmd("NOOP here").is_(250)
        c.quit()
        equal(texts(t.until("end"), "command"), ["NOOP here", "QUIT"], "commands")
        t.rest()


@test
def a_tool_that_stops_reading_holds_nobody_up():
    with server(limits="connections_per_ip = 0 errors = 0", workers=1) as s:
        t = Trace(s)
        t.child.send_signal(signal.SIGSTOP)
        c = s.client()
        c.hello()
        n = 0
        while s.counter("trace_lost") < 50:
            n += 200
            check(n < 20000, "nothing is lost")
            c.send(b"NOOP\r\n" * 200)
            for _ in range(200):
                c.reply().is_(250)
        t.child.send_signal(signal.SIGCONT)
        got = t.until("lost")
        check(len(got) > 100, "what had room comes: %d" % len(got))
        wait_for(lambda: c.cmd("NOOP").is_(250) and True)
        c.quit()
        more = t.until("end")
        equal(got[-1]["records"] + sum(r["records"] for r in more if r["event"] == "lost"), s.counter("trace_lost"), "lost")
        check("QUIT" in texts(more, "command"), "and it goes on")
        t.rest()


@test
def the_trace_ends_with_its_tool():
    with server() as s:
        t = Trace(s)
        t.child.kill()
        t.child.communicate()
        wait_for(lambda: taps(s) == 0, why="still looked at")
        s.client().quit()


@test
def so_many_and_no_more():
    with server() as s:
        all = [Trace(s) for _ in range(TAP_MAX)]
        r = subprocess.run([TOOL, "-d", s.path("state"), "-s", "20"], capture_output=True, text=True, timeout=60)
        equal((r.returncode, r.stderr), (75, "letterplate-trace: refused: too many look already\n"), "one more")
        c = s.client()
        c.hello("all.example")
        c.quit()
        for t in all:
            equal(texts(t.until("end"), "command"), ["EHLO all.example", "QUIT"], "each")
        for t in all:
            t.rest()


@test
def a_reload_goes_on_with_it():
    with server() as s:
        t = Trace(s)
        old = s.client()
        old.hello("old.example")
        t.until("command")
        s.reload()
        new = s.client()
        new.hello("new.example")
        old.cmd("NOOP old").is_(250)
        new.quit()
        old.quit()
        got = t.until("end") + t.until("end")
        equal(sorted(x for x in texts(got, "command") if "." in x or "old" in x), ["EHLO new.example", "NOOP old"], "both")
        t.rest()


@test
def it_ends_as_it_was_told():
    with server() as s:
        t = Trace(s, "-n", "2")
        c = s.client()
        c.hello()
        c.quit()
        out = t.child.communicate(timeout=30)[0]
        equal((t.child.returncode, len(out.splitlines())), (0, 2), "--count")
        equal(subprocess.run([TOOL, "-c", s.path("letterplate.conf"), "-s", "1"], timeout=30).returncode, 0, "--seconds")
        wait_for(lambda: taps(s) == 0)
        for names in ["nosuch"], ["mx", "nosuch"]:
            r = subprocess.run([TOOL, "-d", s.path("state"), "-s", "20", *(x for n in names for x in ("-l", n))], capture_output=True,
                               text=True, timeout=60)
            equal((r.returncode, r.stderr), (75, 'letterplate-trace: refused: there is no listener "nosuch"\n'), "a listener")
        wait_for(lambda: taps(s) == 0)
        with open("/dev/full", "wb") as full:
            for as_json in False, True:
                t = Trace(s, "-n", "1", json=as_json, stdout=full)
                s.client().close()
                err = t.child.communicate(timeout=30)[1]
                equal((t.child.returncode, err), (74, b"letterplate-trace: standard output: No space left on device\n"), "a full disk")
                wait_for(lambda: taps(s) == 0)
            for option in "-h", "-V":
                equal(subprocess.run([TOOL, option], stdout=full, stderr=subprocess.DEVNULL, timeout=30).returncode, 74, option)
        t = Trace(s)
        s.stop()
        err = t.child.communicate(timeout=30)[1]
        equal((t.child.returncode, err), (74, b"letterplate-trace: the server has gone\n"), "the server goes")
        equal(subprocess.run([TOOL, "-d", s.path("state")], stderr=subprocess.DEVNULL, timeout=30).returncode, 69, "none there")


@test
def what_it_does_not_take():
    for args in (["-i", "10.0.0.1/8"], ["-n", "0"], ["-s", "x"], ["-x"], ["word"], ["-c", "a", "-d", "b"],
                 ["-l", "x"] * 17, ["-r", "x" * 1100]):
        r = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=30)
        # What is too long is found once a server is there.
        equal(r.returncode, 69 if args[0] == "-r" else 64, "status of %s" % args)
    r = subprocess.run([TOOL, "-h"], capture_output=True, text=True, timeout=30)
    equal((r.returncode, r.stdout[:24]), (0, "usage: letterplate-trace"), "help")


if __name__ == "__main__":
    main()
