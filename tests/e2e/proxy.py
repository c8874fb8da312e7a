#!/usr/bin/env -S python3 -B
"""proxy: PROXY headers from trusted networks, and from nobody else."""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed
from harness import check, equal, main, test
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
SIG = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 25\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::2 4711 25\r\n"


def v2(command=0x21, family=0x11, block=None):
    if block is None:
        block = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.2") + b"\x12\x67\0\x19"
    return SIG + bytes([command, family]) + len(block).to_bytes(2, "big") + block


V2 = v2()
V2_TLV = v2(block=V2[16:] + b"\x04\x00\x40" + b"n" * 64 + b"\xea\x00\x00")
V2_6 = v2(family=0x21, block=socket.inet_pton(socket.AF_INET6, "2001:db8::7")
          + socket.inet_pton(socket.AF_INET6, "2001:db8::2") + b"\x12\x67\0\x19")
LOCAL = v2(0x20, 0, b"")


class ProxyServer(Server):
    """Who comes from 127.0.0.1 is a proxy, 127.0.0.2 and up are not."""
    def __init__(self, keys="", **more):
        port = free_port()
        super().__init__(listener='listener "mx" { address = {"127.0.0.1:%d"} proxy_from = {"127.0.0.1/32"} %s }'
                         % (port, keys), **more)
        self.port = port

    def through(self, header, **more):
        c = self.client(greet=False, **more)
        c.send(header)
        c.greeting = c.reply()
        return c


@test
def the_claimed_address_is_the_clients():
    rows = [(V1, "192.0.2.7"), (V2, "192.0.2.7"), (V2_TLV, "192.0.2.7"), (V1_6, "IPv6:2001:db8::7"),
            (V2_6, "IPv6:2001:db8::7")]
    with ProxyServer() as s:
        for n, (header, remote) in enumerate(rows, 1):
            c = s.through(header)
            c.greeting.is_(220)
            c.hello()
            c.message(ALICE, TEXT).is_(250)
            c.quit()
            line = s.line("session", n)
            equal((line["remote"], line["port"], line["proxy"], line["end"]), (remote, "4711", "127.0.0.1", "quit"),
                  "the log's ends")
            equal(s.line("transaction", n)["remote"], remote, "the transaction's client")
        received = [m["Received"] for m in s.messages(ALICE)]
        for header, remote in rows:
            check(any("([%s])" % remote in r for r in received), "%s in %s" % (remote, received))
        equal(s.counter("proxy_headers"), len(rows), "headers counted")
        equal(s.counter("proxy_failed"), 0, "failures counted")


@test
def local_and_unknown_keep_the_real_peer():
    with ProxyServer() as s:
        for n, header in enumerate([LOCAL, v2(0x20, 0x11), b"PROXY UNKNOWN\r\n", v2(0x21, 0, b"junk")], 1):
            c = s.through(header)
            c.greeting.is_(220)
            c.hello()
            c.quit()
            line = s.line("session", n)
            equal((line["remote"], line.get("proxy")), ("127.0.0.1", None), "the log's ends")


@test
def the_header_may_come_in_any_pieces():
    with ProxyServer() as s:
        for header in V1, V2, V2_TLV, LOCAL:
            c = s.client(greet=False)
            for i in range(len(header)):
                c.send(header[i:i + 1])
                if i % 9 == 0:
                    time.sleep(0.003)
            equal(c.reply().code, 220, "greeting")
            c.hello()
            c.quit()


@test
def nothing_is_said_before_the_header():
    with ProxyServer() as s:
        c = s.client(greet=False, timeout=0.5)
        try:
            c.reply()
            raise AssertionError("a reply before the header")
        except TimeoutError:
            pass
        c.send(V1)
        c.sock.settimeout(30)
        c.reply().is_(220)
        c.quit()


@test
def what_is_no_header_closes_in_silence():
    rows = [(b"EHLO a.example\r\n", "proxy-missing"), (b"\x16\x03\x01\x02\x00", "proxy-missing"),
            (V1.replace(b"TCP4", b"TCP9"), "proxy-syntax"), (V1.replace(b"\r\n", b"\n"), "proxy-syntax"),
            (V1.replace(b"4711", b"65536"), "proxy-syntax"), (b"PROXY TCP4 " + b"1" * 200, "proxy-too-long"),
            (v2(0x22), "proxy-syntax"), (v2(block=b"short"), "proxy-syntax"),
            (SIG + b"\x21\x11\xff\xff", "proxy-too-long"),
            (v2(block=V2[16:] + b"\x03\x00\x04\1\2\3\4"), "proxy-checksum"),
            (v2(block=V2[16:] + b"\x04\xff\xff"), "proxy-syntax")]
    with ProxyServer() as s:
        for n, (header, why) in enumerate(rows, 1):
            c = s.client(greet=False)
            c.send(header)
            equal(c.rest(), [], "replies to %r" % header)
            c.close()
            line = s.line("session", n)
            equal((line["end"], line["remote"], line["replies"]), (why, "127.0.0.1", "0"), "the log of %r" % header)
        equal(s.counter("proxy_failed"), len(rows), "failures counted")
        equal(s.counter("proxy_headers"), 0, "headers counted")
        equal(s.counter("early_talkers"), 0, "early talkers counted")


@test
def half_a_header_ends_at_the_end_or_at_its_deadline():
    with ProxyServer() as s:
        for half in V1[:20], V2[:14], V2[:20], b"":
            c = s.client(greet=False)
            c.send(half)
            time.sleep(0.05)
            c.sock.shutdown(socket.SHUT_WR)
            equal(c.rest(), [], "replies")
            c.close()
        for n in range(1, 5):
            equal(s.line("session", n)["end"], "proxy-short", "the log's end")
        began = time.monotonic()
        waiting = [s.client(greet=False) for _ in range(2)]
        waiting[1].send(V2[:20])
        for c in waiting:
            c.ended()
        check(3 <= time.monotonic() - began < 8, "closed after %.1f s" % (time.monotonic() - began))
        wait_for(lambda: s.counter("proxy_failed") == 6, why="failures counted")
        equal(s.line("session", 6)["end"], "proxy-timeout", "the log's end")


@test
def early_talkers_are_told_from_behind_the_header():
    with ProxyServer() as s:
        c = s.through(V1 + b"EHLO early.example\r\n")
        c.greeting.is_(554, "5.5.0")
        c.ended()
        line = s.line("session")
        equal((line["remote"], line["proxy"]), ("192.0.2.7", "127.0.0.1"), "the log's ends")
        equal(s.counter("early_talkers"), 1, "early talkers counted")


@test
def a_second_header_is_a_command_that_nobody_knows():
    with ProxyServer() as s:
        c = s.through(V1)
        c.greeting.is_(220)
        c.cmd(b"PROXY TCP4 203.0.113.9 198.51.100.2 1 25").is_(500, "5.5.2")
        c.hello()
        c.quit()
        equal(s.line("session")["remote"], "192.0.2.7", "the client")


@test
def who_is_no_proxy_claims_nothing():
    with ProxyServer() as s:
        # waits for the greeting
        c = s.client(source="127.0.0.2")
        c.greeting.is_(220)
        c.cmd(V1[:-2]).is_(500, "5.5.2")
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        equal(s.line("session")["remote"], "127.0.0.2", "the client")
        # does not wait
        for n, header in enumerate((V1, V2), 2):
            c = s.client(source="127.0.0.2", greet=False)
            c.send(header)
            try:
                code = c.reply().code
            except Closed:
                raise AssertionError("closed in silence")
            check(code in (220, 554), "first reply %d" % code)
            if code == 220:     # it came later than the greeting went
                c.sock.shutdown(socket.SHUT_WR)
            c.rest()
            c.close()
            equal(s.line("session", n)["remote"], "127.0.0.2", "the client")
        check("([127.0.0.2])" in s.messages(ALICE)[0]["Received"], "the real address in Received")
        equal(s.counter("proxy_headers"), 0, "headers counted")


@test
def limits_count_the_claimed_address():
    with ProxyServer(limits="connections_per_ip = 2") as s:
        held = [s.through(V1) for _ in range(2)]
        equal([c.greeting.code for c in held], [220, 220], "greetings")
        third = s.through(V2)
        third.greeting.is_(421, "4.7.0")
        third.ended()
        other = s.through(V1_6)
        other.greeting.is_(220)
        held.pop().quit()
        wait_for(lambda: s.sessions_open() == 2, why="the session stays open")
        s.through(V1).greeting.is_(220)


@test
def bare_newlines_are_allowed_by_the_claimed_address():
    with ProxyServer('bare_newline_from = {"192.0.2.0/24"}') as s:
        c = s.through(V1)
        c.hello()
        c.message(ALICE, b"Subject: x\r\n\r\na\nb\r\n").is_(250)
        c.quit()
        c = s.through(V1_6)
        c.hello()
        c.message(ALICE, b"Subject: x\r\n\r\na\nb\r\n").is_(550, "5.5.2")
        c.quit()


@test
def behind_a_unix_socket():
    """Its clients have the address ::, so that a list can name them."""
    path = None
    with Server(start=False) as s:
        path = s.path("state", "smtp")
        s.listener = 'listener "mx" { address = {"unix:%s"} proxy_from = {"::/128"} }' % path
        s.write_config()
        s.start()
        c = s.client(path, greet=False)
        c.send(V2_6)
        c.greeting = c.reply().is_(220)
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        check("([IPv6:2001:db8::7])" in s.messages(ALICE)[0]["Received"], "the claimed address in Received")
        wait_for(lambda: "proxy=unix" in s.log(), why="no proxy=unix in the log")


main()
