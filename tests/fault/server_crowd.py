#!/usr/bin/env -S python3 -B
# check: timeout=180 alone
"""server_crowd: ten thousand connections at once, and more than there are descriptors for."""
import collections
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tls
from crowd import connect_many, need_descriptors
from harness import check, equal, main, test
from server import Server, free_port, wait_for

TEXT = b"Subject: x\r\n\r\nbody\r\n"


@test
def ten_thousand_at_once():
    need_descriptors(10500)
    with Server(workers=2) as s:
        began = time.monotonic()
        socks, codes = connect_many(s.port, 10000)
        print("# 10,000 greeted after %.1f s" % (time.monotonic() - began))
        equal(dict(codes), {220: 10000}, "greetings")
        s.seen[220] += 10000
        wait_for(lambda: s.sessions_open() == 10000, 5, lambda: "open: %s" % s.stats()["sessions"])
        print("# sessions a worker: %s" % [w["sessions"] for w in s.stats()["workers"]])
        c = s.client(timeout=10)
        c.hello()
        c.message("alice@example.org", TEXT).is_(250, "2.0.0")
        for k in socks:
            k.setblocking(True)
            k.settimeout(20)
            k.sendall(b"QUIT\r\n")
        for k in socks:
            check(k.recv(100).startswith(b"221 2.0.0"), "QUIT was not answered")
            s.seen[221] += 1
            k.close()
        c.quit()
        wait_for(lambda: s.sessions_open() == 0, 10, "sessions stay open")


@test
def ten_thousand_that_vanish():
    need_descriptors(10500)
    with Server(workers=2) as s:
        s.count = False
        for k in connect_many(s.port, 10000)[0]:
            k.close()
        wait_for(lambda: s.sessions_open() == 0, 20, "sessions stay open")
        c = s.client(timeout=10)
        c.hello()
        c.message("alice@example.org", TEXT).is_(250, "2.0.0")
        c.quit()


@test
def term_with_ten_thousand_idle():
    need_descriptors(10500)
    with Server(workers=2) as s:
        s.count = False
        socks = connect_many(s.port, 10000)[0]
        began = time.monotonic()
        equal(s.term(), 0, "status")
        print("# stopped after %.1f s" % (time.monotonic() - began))
        told = 0
        for k in socks:
            k.setblocking(True)
            k.settimeout(10)
            told += k.recv(200).startswith(b"421 4.3.2")
            k.close()
        equal(told, 10000, "told 421 4.3.2")


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            w = f.read().rpartition(")")[2].split()
        total += int(w[11]) + int(w[12])
    return total


@test
def more_clients_than_descriptors():
    """Those that are in are served, the others are told or wait, nobody spins, and it recovers by itself."""
    s = Server(start=False, workers=1)
    with s:
        s.count = False
        s.start(nofile=400)
        socks = []
        for i in range(600):
            k = socket.create_connection(("127.0.0.1", s.port), 10)
            k.settimeout(0.3)
            socks.append(k)
        time.sleep(1)
        first = collections.Counter()
        for k in socks:
            k.setblocking(False)
            try:
                first[k.recv(100)[:9]] += 1
            except BlockingIOError:
                first[b"waits"] += 1
        print("# 600 clients, 400 descriptors: %s" % dict(first))
        greeted = sum(n for w, n in first.items() if w.startswith(b"220"))
        check(100 <= greeted < 400, "greeted: %s" % first)
        equal(sum(n for w, n in first.items() if not w.startswith((b"220", b"421 4.3.2", b"waits"))), 0, "others")
        before = cpu_ticks(s.workers())
        time.sleep(2)
        used = (cpu_ticks(s.workers()) - before) / os.sysconf("SC_CLK_TCK") / 2
        check(used < 0.05, "%.0f %% of a CPU while descriptors are out" % (used * 100))
        socks[0].setblocking(True)
        socks[0].settimeout(5)
        socks[0].sendall(b"NOOP\r\n")
        check(socks[0].recv(100).startswith(b"250"), "a session that is in is not served")
        for k in socks:
            k.close()
        wait_for(lambda: s.sessions_open() == 0, 15, "sessions stay open")
        c = s.client(timeout=10)
        c.hello()
        c.message("alice@example.org", TEXT).is_(250, "2.0.0")
        c.quit()


@test
def who_waits_for_tls_is_refused_without_a_word():
    """Plain words would be noise to it; the log has the line all the same."""
    port = free_port()
    s = Server(start=False, workers=1, extra=tls.section(tls.certificate("mx.test.example")),
               listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" }' % port)
    with s:
        s.start(nofile=128)
        socks = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(150)]
        wait_for(lambda: re.search(r"event=refusal session=\w+ listener=mx reason=no-session-left\n", s.log()),
                 why="no line in the log")
        check(s.counter("sessions_refused") > 0, "not counted")
        for k in socks:
            k.settimeout(0.01)
            try:
                equal(k.recv(100), b"", "said in clear")
            except (TimeoutError, ConnectionResetError):
                pass
            k.close()


@test
def sixty_four_descriptors():
    """As few as RLIMIT_NOFILE 64 are enough to start, and for 1,000 clients to hear something or wait."""
    s = Server(start=False, workers=2)
    with s:
        s.count = False
        s.start(nofile=64)
        socks = [socket.socket() for _ in range(1000)]
        for k in socks:
            k.setblocking(False)
            k.connect_ex(("127.0.0.1", s.port))
        time.sleep(2)
        before = cpu_ticks(s.workers())
        time.sleep(2)
        used = (cpu_ticks(s.workers()) - before) / os.sysconf("SC_CLK_TCK") / 2
        check(used < 0.05, "%.0f %% of a CPU while descriptors are out" % (used * 100))
        for k in socks:
            k.close()
        wait_for(lambda: s.sessions_open() == 0, 15, "sessions stay open")
        c = s.client(timeout=10)
        c.hello()
        c.message("alice@example.org", TEXT).is_(250, "2.0.0")
        c.quit()


@test
def more_mailboxes_than_descriptors():
    """Mailboxes that are remembered take no descriptor that the next one needs."""
    s = Server("".join("u%d@example.org\n" % i for i in range(150)), start=False, workers=1)
    with s:
        s.start(nofile=128)
        c = s.client(timeout=10)
        c.hello()
        for i in range(150):
            c.message("u%d@example.org" % i, TEXT).is_(250, "2.0.0")
        c.quit()


main()
