#!/usr/bin/env -S python3 -B
# check: timeout=180
"""server_badinput: clients that are wrong, rude, slow or gone; the server answers, or lets go, and serves the others."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import connect
from harness import check, equal, main, sanitized, test
from server import Server, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def rss(s):
    """Kilobytes of memory of the workers (Pss); 0 where only root may look."""
    if os.geteuid() != 0:
        print("# memory is not looked at: not root")
        return 0
    total = 0
    for pid in s.workers():
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


def still_serves(s):
    c = s.client()
    c.hello()
    c.message("bob@example.org", TEXT).is_(250, "2.0.0")
    c.quit()


@test
def nul_and_8bit_octets_in_a_command():
    with Server() as s:
        c = s.client()
        c.hello()
        for line in (b"NOOP \0", b"\0", b"NO\0OP", b"MAIL FROM:<a\0@b.example>", b"NOOP \x80\xff", b"\xff\xfe\xfd",
                     b"MAIL FROM:<\xffa@b.example>", b"\x16\x03\x01\x02\0\x01\0", b"NOOP \x1b[2J"):
            r = c.cmd(line)
            check(r.code in (250, 500, 501, 553) and (r.code != 250 or line == b"NOOP \x80\xff"), "%r: %s" % (line, r))
            check(all(" " <= ch <= "~" for ch in r.text.replace("\n", "")), "raw octets in the reply to %r: %r" % (line, r.text))
        c.message(ALICE, TEXT).is_(250)
        c.quit()


@test
def a_line_of_100_kb():
    with Server() as s:
        c = s.client()
        c.hello()
        for line in (b"N" * 100000, b"MAIL FROM:<" + b"a" * 100000 + b"@b.example>", b"NOOP " + b"\0" * 100000):
            c.cmd(line).is_(500, "5.5.2")
        c.message(ALICE, TEXT).is_(250)
        c.quit()


@test
def a_line_without_an_end():
    with Server() as s:
        c = s.client()
        c.hello()
        before = rss(s)
        for _ in range(320):
            c.send(b"x" * 65536)        # 20 MiB
        grown = rss(s) - before
        c.cmd("").is_(500, "5.5.2")
        c.quit()
        check(grown < 1024 or sanitized(), "grew by %d KiB" % grown)


@test
def two_hundred_unknown_commands():
    with Server() as s:
        c = s.client()
        c.send(b"".join(b"CMD%d x\r\n" % i for i in range(200)))
        replies = c.rest()
        replies[-1].is_(421, "4.7.0")
        check(all(r.code == 500 for r in replies[:-1]), "codes: %s" % [r.code for r in replies])
        still_serves(s)


@test
def an_octet_a_minute():
    """The same in small: an octet every half second, with two seconds allowed."""
    with Server(timeouts='command = "2s" drain = "5s"') as s:
        slow = [s.client(timeout=10) for _ in range(50)]
        began = time.monotonic()
        while time.monotonic() - began < 1.6:
            for c in slow:
                c.send(b"E")
            time.sleep(0.5)
            still_serves(s)
        for c in slow:
            c.reply().is_(421, "4.4.2")
            c.rest()
        check(time.monotonic() - began < 6, "let go after %.1f s" % (time.monotonic() - began))


@test
def one_that_closes_its_half_and_reads_slowly():
    """All that it asked for before is answered, however late it reads."""
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        s.count = False
        k = connect(("127.0.0.1", s.port), rcvbuf=4096)
        n = 20000

        def ask():
            k.sendall(b"NOOP\r\n" * n)
            k.shutdown(socket.SHUT_WR)

        # Not before the greeting: that would be an early talker.
        check(k.recv(512).startswith(b"220 "), "no greeting")
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.5)
        got = b""
        while more := k.recv(2048):
            got += more
        asking.join()
        equal(got.count(b"250 2.0.0"), n, "replies")
        k.close()


@test
def one_that_never_reads():
    """It asks for more and more answers; the server stops reading it, holds little, and lets it go."""
    with Server(timeouts='command = "3s" data = "3s" drain = "5s"',
                limits="connections_per_ip = 0 errors = 0") as s:
        s.count = False
        before = rss(s)
        deaf = [connect(("127.0.0.1", s.port), rcvbuf=2048) for _ in range(8)]
        for k in deaf:
            check(k.recv(1024).startswith(b"220"), "no greeting")
            k.setblocking(False)
        sent, end = 0, time.monotonic() + 2.0
        while time.monotonic() < end:
            for k in deaf:
                try:
                    sent += k.send(b"HELP\r\n" * 5000)
                except BlockingIOError:
                    pass
            time.sleep(0.01)
        grown = rss(s) - before
        print("# %d KiB taken from deaf clients, memory grew by %d KiB" % (sent >> 10, grown))
        # 900 KiB; on a busy machine pages of the heap and of the log's ring are touched for the first time meanwhile.
        check(grown < 8 * 400 or sanitized(), "grew by %d KiB" % grown)
        kept = 20 * s.replies()[214] // 8
        check(kept < 300 << 10, "the kernel keeps %d octets of replies and more for each" % kept)
        still_serves(s)
        wait_for(lambda: s.sessions_open() == 0, 15, "a client that never reads is kept")
        for k in deaf:
            k.close()


@test
def one_that_vanishes_inside_data():
    with Server() as s:
        s.count = False
        for reset in (False, True):
            for part in (b"", b"Subject: x\r\n", b"Subject: x\r\n\r\nbody\r\n.\r", b"Subject: x\r\n" + b"y" * 70000 + b"\r\n" * 90000):
                c = s.client()
                c.hello()
                c.envelope(ALICE)
                c.cmd("DATA").is_(354)
                c.send(part)
                c.vanish() if reset else c.close()
        wait_for(lambda: s.sessions_open() == 0, 10, "sessions stay open")
        wait_for(lambda: not s.maildirs_tmp(), 5, lambda: "left in tmp/: %s" % s.maildirs_tmp())
        equal(s.messages(ALICE), [], "messages")
        equal(s.counter("lost_clients"), 8, "lost_clients")
        still_serves(s)


@test
def one_that_vanishes_after_the_end():
    """Its message is stored once, or not at all; nothing is left half-done."""
    with Server() as s:
        s.count = False
        for i in range(20):
            c = s.client()
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            c.send(b"Subject: %d\r\n\r\n.\r\n" % i)
            c.vanish()
        wait_for(lambda: s.sessions_open() == 0, 10, "sessions stay open")
        found = [m.content for m in s.messages(ALICE)]
        equal(len(found), len(set(found)), "different messages")


@test
def half_closed_clients_get_their_replies():
    with Server() as s:
        c = s.client()
        c.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
               b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        equal([r.code for r in c.rest()], [250, 250, 250, 354, 250, 221], "replies")
        equal(len(s.messages(ALICE)), 1, "messages")


@test
def pipelining_everything():
    with Server() as s:
        c = s.client()
        one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n"
        c.send(b"EHLO x.example\r\n" + one * 50 + b"QUIT\r\n")
        equal([r.code for r in c.rest()], [250] + [250, 250, 354, 250] * 50 + [221], "replies")
        equal(len(s.messages(ALICE)), 50, "messages")


@test
def early_talkers():
    with Server() as s:
        s.count = False
        early = 0
        for _ in range(20):
            k = connect(("127.0.0.1", s.port))
            k.sendall(b"EHLO early.example\r\n")
            first = k.recv(4096)
            check(first[:3] in (b"220", b"554"), "greeting %r" % first)
            early += first.startswith(b"554 5.5.0")
            k.close()
        equal(s.counter("early_talkers"), early, "early talkers counted")
        still_serves(s)


@test
def far_too_much_is_read_and_refused():
    """A hundred times the limit: 552 to its end, no memory for it, and the session goes on."""
    with Server(message_size_limit="100KiB", workers=1) as s:
        c = s.client(timeout=60)
        c.hello()
        before = rss(s)
        for _ in range(2):
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            for _ in range(200):
                c.send((b"z" * 70 + b"\r\n") * 1000)
            c.send(b".\r\n")
            c.reply().is_(552, "5.3.4")
        grown = rss(s) - before
        check(grown < 2048, "it grew by %d KiB" % grown)
        c.message(ALICE, b"Subject: x\r\n\r\nsmall\r\n").is_(250)
        c.quit()


@test
def endless_data_has_an_end():
    """Twice the limit, or 16 MiB over a small one (SMTP_FLOOD_MIN), and it has read enough; what the sockets hold comes on top."""
    for limit, mib in ("100KiB", 16), ("30MiB", 60):
        endless(limit, mib)


def endless(limit, mib):
    with Server(message_size_limit=limit) as s:
        s.count = False
        c = s.client(timeout=120)
        c.hello()
        c.envelope(ALICE)
        c.cmd("DATA").is_(354)
        sent, block = 0, (b"z" * 70 + b"\r\n") * 10000
        try:
            while sent < 4 * mib << 20:
                c.send(block)
                sent += len(block)
        except (BrokenPipeError, ConnectionResetError):
            pass
        c.close()
        print("# let go after %d MiB" % (sent >> 20))
        check(mib << 20 <= sent < 2 * mib << 20, "it read %d MiB of more than %s" % (sent >> 20, limit))
        still_serves(s)


main()
