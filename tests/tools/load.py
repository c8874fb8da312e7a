#!/usr/bin/env -S python3 -B
"""load: the load generator counts what was accepted, and nothing else: against servers that refuse, mix up, or hang up."""
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, test
from server import Server

with open(os.path.join(TOP, "build/variant")) as _f:
    LOAD = os.path.join(TOP, "build/obj", _f.read().strip(), "tests/load/load")
EHLO = b"250-x.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n"
GOOD = {b"": b"220 x.example\r\n", b"EHLO": EHLO, b"MAIL": b"250 2.1.0 ok\r\n", b"RCPT": b"250 2.1.5 ok\r\n", b"DATA": b"354 go on\r\n",
        b".": b"250 2.0.0 ok\r\n", b"RSET": b"250 2.0.0 ok\r\n", b"QUIT": b"221 2.0.0 bye\r\n"}


class Scripted:
    """A server that answers each command as it is told: octets, None to hang up, or what a function of the n-th such command says."""

    def __init__(self, in_pieces=False, **changed):
        self.replies = GOOD | {k.replace("dot", ".").replace("greeting", "").encode(): v for k, v in changed.items()}
        self.in_pieces, self.asked, self.lock = in_pieces, {}, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def answer(self, s, word):
        with self.lock:
            n = self.asked[word] = self.asked.get(word, 0) + 1
        reply = self.replies.get(word, b"500 5.5.2 what\r\n")
        if callable(reply):
            reply = reply(n)
        if reply is None:
            return False
        for piece in [bytes([x]) for x in reply] if self.in_pieces else [reply]:
            s.sendall(piece)
        return True

    def serve(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with s, s.makefile("rb") as f:
                content = False
                going = self.answer(s, b"")
                while going and (line := f.readline()):
                    if content:
                        if line == b".\r\n":
                            content = False
                            going = self.answer(s, b".")
                        continue
                    word = line.split()[0].upper()
                    going = self.answer(s, word) and word != b"QUIT"
                    content = word == b"DATA" and self.replies[b"DATA"] == GOOD[b"DATA"]
        except OSError:
            pass


def run(server, *args, n=20):
    r = subprocess.run([LOAD, "-p", str(server.port), "-n", str(n), "-c", "4", "-s", "300", *args], capture_output=True, text=True, timeout=60)
    figures = dict(w.split("=") for w in r.stdout.split())
    return r.returncode, {k: float(v) for k, v in figures.items() if k != "pipelining"}, r.stderr


# 103: after 100 failures nothing is begun, and three other connections are open.
def counts(server, *args, messages, failed, said=""):
    status, got, err = run(server, *args)
    equal((got["messages"], got["failed"], status), (messages, failed, int(failed > 0)), "messages, failed, status of %s" % (args,))
    check(said in err, "standard error %r" % err)


@test
def all_is_well():
    for more in (), ("-m", "1"), ("-m", "3"), ("-P",), ("-P", "-m", "1"):
        s = Scripted()
        counts(s, *more, messages=20, failed=0)
        equal(s.asked[b"."], 20, "messages that came")
        counts(Scripted(in_pieces=True), *more, messages=20, failed=0)


@test
def the_end_of_data_is_refused():
    for reply in b"550 5.7.1 no\r\n", b"451 4.3.0 later\r\n", b"221 2.0.0 bye\r\n", b"354 again\r\n", b"251 2.1.5 ok\r\n", b"2500 ok\r\n", b"25\r\n":
        counts(Scripted(dot=reply), messages=0, failed=20, said="at the end of data: the server said: " + reply.decode().strip())
    s = Scripted(dot=lambda n: GOOD[b"."] if n % 4 else b"452 4.3.1 full\r\n")
    counts(s, messages=15, failed=5)


@test
def a_command_is_answered_by_another_code():
    for at, reply in (("MAIL", b"354 go on\r\n"), ("RCPT", b"550 5.1.1 no\r\n"), ("RCPT", b"450 4.2.1 later\r\n"), ("DATA", b"250 2.0.0 ok\r\n"),
                      ("DATA", b"554 5.5.1 no\r\n"), ("MAIL", b"220 hello\r\n")):
        counts(Scripted(**{at: reply}), messages=0, failed=20, said="at %s: the server said: %s" % (at, reply.decode().strip()))
    counts(Scripted(RCPT=lambda n: b"550 5.1.1 no\r\n" if n % 5 == 0 else GOOD[b"RCPT"]), messages=16, failed=4)


@test
def pipelined_replies_come_in_order():
    both = lambda a, b: dict(RCPT=b"", DATA=a + b)      # noqa: E731
    counts(Scripted(**both(b"354 go on\r\n", b"250 2.1.5 ok\r\n")), "-P", messages=0, failed=20, said="the server said: 354 go on")
    counts(Scripted(RCPT=b"550 5.1.1 no\r\n"), "-P", messages=0, failed=20, said="550")
    counts(Scripted(RCPT=b"250 2.1.5 ok\r\n250 2.1.5 once more\r\n"), "-P", messages=0, failed=20, said="once more")


@test
def the_lines_of_a_reply_agree():
    counts(Scripted(EHLO=b"250-x.example\r\n550 5.0.0 no\r\n"), messages=0, failed=103, said="at EHLO: the server said: 550")
    counts(Scripted(dot=b"250-2.0.0 almost\r\n451 4.3.0 no\r\n"), messages=0, failed=20, said="451")
    counts(Scripted(dot=b"250-2.0.0 ok\r\n250 2.0.0 ok\r\n"), messages=20, failed=0)


@test
def it_is_hung_up_on():
    counts(Scripted(dot=None), messages=0, failed=20, said="connection lost")
    counts(Scripted(dot=lambda n: None if n == 7 else GOOD[b"."]), messages=19, failed=1, said="connection lost")
    counts(Scripted(greeting=b"421 4.7.0 too many\r\n"), messages=0, failed=103, said="at the greeting: the server said: 421")


@test
def refusals():
    s = Scripted(RCPT=b"550 5.1.1 no\r\n")
    counts(s, "-R", messages=20, failed=0)
    equal(s.asked[b"RCPT"], 200, "recipients that were tried")
    counts(Scripted(), "-R", messages=0, failed=20, said="at refused recipients: the server said: 250 2.1.5")
    counts(Scripted(RCPT=b"450 4.2.1 later\r\n"), "-R", messages=0, failed=20, said="450")
    counts(Scripted(RCPT=lambda n: GOOD[b"RCPT"] if n == 55 else b"550 5.1.1 no\r\n"), "-R", messages=19, failed=1)


@test
def pipelining_is_not_offered():
    for flag in "-P", "-R":
        status, got, err = run(Scripted(EHLO=b"250-x.example\r\n250 8BITMIME\r\n"), flag)
        equal((status, got), (69, {}), "status and figures with %s" % flag)
        check("does not offer PIPELINING" in err, "standard error %r" % err)


@test
def it_ends_in_time():
    s = Scripted()
    status, got, _ = run(s, "-t", "1", n=10000000)
    equal(status, 0, "status")
    check(0.8 < got["seconds"] < 3 and got["messages"] > 10, "figures %s" % got)
    equal(got["messages"], s.asked[b"."], "messages")
    check(got["p50_ms"] <= got["p99_ms"] <= got["p999_ms"] <= got["max_ms"], "figures %s" % got)
    if got["seconds"] >= 1:
        check(0 <= got["worst_second"] <= got["messages"], "figures %s" % got)


@test
def who_is_never_greeted_holds_nobody_up():
    s = Scripted(greeting=lambda n: b"" if n == 2 else GOOD[b""])
    status, got, _ = run(s, "-t", "1", n=10000000)
    equal((status, got["ungreeted"], got["failed"]), (0, 1, 0), "status, ungreeted, failed")
    check(got["messages"] > 10 and got["seconds"] < 3, "figures %s" % got)


@test
def recipients_by_a_stride():
    boxes = "".join("u%d@example.org\n" % (i * 1000) for i in range(10))
    with Server(boxes, count=False) as s:
        counts(s, "-r", "10", "-k", "1000", "-d", "example.org", messages=20, failed=0)
        equal([len(s.messages("u%d@example.org" % (i * 1000))) for i in range(10)], [2] * 10, "messages of each mailbox")
        counts(s, "-r", "10", "-d", "example.org", messages=2, failed=18, said="at RCPT: the server said: 550 5.1.1")


main()
