#!/usr/bin/env -S python3 -B
"""listeners: IPv4, IPv6 and unix sockets, several at once, and LMTP."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import LMTP
from crowd import connect_many, need_descriptors
from harness import BIN, Skip, check, equal, main, test
from server import Server, free_port, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        raise Skip("no IPv6 on loopback")


@test
def all_kinds_at_once():
    ipv6()
    a, b = free_port(), free_port()
    s = Server(start=False)
    path = s.path("state", "mx")
    s.listener = ('listener "mx" { address = {"127.0.0.1:%d", "[::1]:%d"} }\n'
                  'listener "local" { address = {"unix:%s", "127.0.0.1:%d"} }' % (s.port, a, path, b))
    s.write_config()
    with s:
        s.start()
        for address, literal in ((("127.0.0.1", s.port), "[127.0.0.1]"), (("::1", a), "[IPv6:::1]"),
                                 (path, None), (("127.0.0.1", b), "[127.0.0.1]")):
            c = s.client(address)
            c.hello()
            r = c.message(ALICE, TEXT).is_(250, "2.0.0")
            c.quit()
            m = [m for m in s.messages(ALICE) if m.id == r.queued][0]
            if literal:
                check(literal in m["Received"], "no %s in %s" % (literal, m["Received"]))
        s.maildir(ALICE).check_form()


@test
def lmtp_over_unix():
    s = Server(start=False)
    path = s.path("state", "lmtp")
    s.listener += '\nlistener "lmtp" { address = {"unix:%s"} protocol = "lmtp" }' % path
    s.write_config()
    with s:
        s.start()
        c = s.client(path)
        c.cmd("EHLO client.example").is_(500, "5.5.1")
        c.cmd("HELO client.example").is_(500, "5.5.1")
        c.cmd("LHLO client.example").is_(250)
        c.envelope([ALICE, BOB])
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.data(TEXT).is_(250)
        c.reply().is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("DATA").is_(503, "5.5.1")
        c.quit()
        check("with LMTP" in s.maildir(ALICE).one()["Received"], "not LMTP")
        equal(len(s.messages(BOB)), 1, "messages of bob")
        c = LMTP(s.seen, path, local_hostname="client.example")
        refused = c.sendmail("sender@client.example", [ALICE, "nobody@example.org"], TEXT)
        equal(list(refused), ["nobody@example.org"], "refused")
        c.quit()
        equal(len(s.messages(ALICE)), 2, "messages of alice")


@test
def a_stale_unix_socket_is_replaced():
    s = Server(start=False)
    path = s.path("state", "mx")
    s.listener += '\nlistener "local" { address = {"unix:%s"} }' % path
    s.write_config()
    old = socket.socket(socket.AF_UNIX)
    old.bind(path)
    old.close()
    with s:
        s.start()
        s.client(path).quit()


def each(s):
    """The sessions of each worker."""
    p = subprocess.run([os.path.join(BIN, "letterplate-stats"), "--json", "-s", s.path("state", "stats")], capture_output=True,
                       text=True, check=True)
    return {w["pid"]: w["sessions"] for w in json.loads(p.stdout)["workers"]}


@test
def sessions_are_spread_over_the_workers():
    # By the kernel alone one of two has nearly all that come one by one.
    with Server(workers=4) as s:
        held = [s.client() for _ in range(200)]
        wait_for(lambda: sum(each(s).values()) == 200)
        got = sorted(each(s).values())
        check(len(got) == 4 and got[0] >= 25 and got[3] <= 75, "sessions of each: %s" % got)
        for c in held:
            c.quit()


@test
def a_worker_that_hangs_is_not_waited_for():
    # It has less than its share for good, and takes nothing: the other one has all that comes, and nobody waits.
    # Whoever held back for it took one connection a millisecond at the most.
    n = 4000
    need_descriptors(2 * n)
    with Server(workers=2) as s:
        hung = s.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        try:
            began = time.monotonic()
            held, codes = connect_many(s.port, n)
            took = time.monotonic() - began
            equal(dict(codes), {220: n}, "greetings")
            s.seen[220] += n
            check(took < n / 1000, "%d sessions beside a worker that hangs took %.1f s" % (n, took))
            equal(sorted(each(s).values())[0] < 5, True, "what it took before")
        finally:
            os.kill(hung, signal.SIGCONT)
        for c in held:
            c.close()


main()
