#!/usr/bin/env -S python3 -B
"""tls_records: records that hold no data: a few are TLS's business, a flood of them ends the session."""
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tls
from client import connect
from harness import check, equal, main, test
from server import Server, free_port, wait_for
from tlsrecord import ALERT, DATA, HANDSHAKE, KEY_UPDATE, USER_CANCELED, RecordClient

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
MOST = 32           # TLS_EMPTY_MAX of worker/net/tls_priv.h
HELLO = b"\x01\x00\x00\x26" + bytes(38)


def server():
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" }' % port, count=False, workers=1,
               extra=tls.section(tls.certificate("mx.test.example")))
    s.port = port
    return s


def client(s, version):
    c = RecordClient(connect(("127.0.0.1", s.port)), version)
    check(c.hear().startswith(b"220 "), "no greeting")
    return c


def ends(c, flood):
    """C is let go in the middle of FLOOD."""
    c.sock.settimeout(10)
    try:
        for at in range(0, len(flood), 65536):
            c.send(flood[at:at + 65536])
    except (BrokenPipeError, ConnectionResetError):
        pass
    equal(c.hear(), b"", "what is said")
    c.sock.close()


@test
def a_flood_of_key_updates_ends_the_session():
    with server() as s:
        c = client(s, V13)
        flood = b"".join(c.key_update() for _ in range(3000)) + c.record(DATA, b"NOOP\r\n")
        ends(c, flood)
        wait_for(lambda: "end=tls-flood" in s.log(), why="not in the log")
        equal(s.counter("tls_floods"), 1, "counter")
        equal(s.counter("tls_failed"), 0, "handshakes that failed")


@test
def key_updates_now_and_then_are_served():
    with server() as s:
        c = client(s, V13)
        for n in range(MOST):
            c.send(c.key_update() + c.record(DATA, b"NOOP\r\n"))
            check(c.hear().startswith(b"250 "), "no reply behind key update %d" % n)
        c.send(c.record(DATA, b"QUIT\r\n"))
        check(c.hear().startswith(b"221 "), "no reply to QUIT")
        c.sock.close()
        equal(s.counter("tls_floods"), 0, "counter")


@test
def key_updates_in_pieces_count_by_the_piece():
    with server() as s:
        c = client(s, V13)
        for _ in range(MOST // len(KEY_UPDATE)):
            c.send(b"".join(c.record(HANDSHAKE, bytes([b])) for b in KEY_UPDATE))
            c.next_key()
            c.send(c.record(DATA, b"NOOP\r\n"))
            check(c.hear().startswith(b"250 "), "no reply")
        ends(c, b"".join(c.record(HANDSHAKE, bytes([b])) for b in KEY_UPDATE))
        wait_for(lambda: "end=tls-flood" in s.log(), why="not in the log")


@test
def wishes_to_negotiate_again_end_the_session():
    """TLS 1.2: each is answered by an alert, and libssl reads on."""
    with server() as s:
        c = client(s, V12)
        ends(c, b"".join(c.record(HANDSHAKE, HELLO) for _ in range(3000)) + c.record(DATA, b"NOOP\r\n"))
        wait_for(lambda: "end=tls-flood" in s.log(), why="not in the log")
        equal(s.counter("tls_floods"), 1, "counter")


@test
def empty_records_and_warnings_end_the_session():
    """libssl's own bounds, and ours where they come between data."""
    for version in V12, V13:
        with server() as s:
            for kind, text in (DATA, b""), (ALERT, USER_CANCELED):
                c = client(s, version)
                ends(c, b"".join(c.record(kind, text) for _ in range(200)) + c.record(DATA, b"NOOP\r\n"))
            c = client(s, version)
            ends(c, b"".join(c.record(ALERT, USER_CANCELED) + c.record(DATA, b"N") for _ in range(200)))
            wait_for(lambda: s.sessions_open() == 0, why="a session stays open")


def client_hello(more=0):
    """A ClientHello, with an extension of MORE octets that nobody knows."""
    out = ssl.MemoryBIO()
    try:
        tls.context().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = out.read()[9:]
    if more:
        at = 34
        at += 1 + hello[at]                                         # legacy_session_id
        at += 2 + int.from_bytes(hello[at:at + 2], "big")           # cipher_suites
        at += 1 + hello[at]                                         # legacy_compression_methods
        all_of_them = hello[at + 2:] + b"\xab\xcd" + more.to_bytes(2, "big") + bytes(more)
        hello = hello[:at] + len(all_of_them).to_bytes(2, "big") + all_of_them
    return b"\x01" + len(hello).to_bytes(3, "big") + hello


def records(message):
    return b"".join(b"\x16\x03\x01" + len(message[i:i + 16384]).to_bytes(2, "big") + message[i:i + 16384]
                    for i in range(0, len(message), 16384))


@test
def a_client_hello_claims_no_more_than_one_needs():
    """libssl makes room when it has read how long a message will be."""
    with server() as s:
        for length in 0x20100, 0xffffff:
            c = connect(("127.0.0.1", s.port))
            c.settimeout(5)
            c.sendall(records(b"\x01" + length.to_bytes(3, "big")))
            check(c.recv(1) in (b"", b"\x15"), "heard")
            c.close()
        wait_for(lambda: s.counter("tls_failed") == 2, why="counter")
        s.says('reason="message too long"')
        # A long one that is no longer than one may be is heard.
        for more in 12000, 40000:
            c = connect(("127.0.0.1", s.port))
            c.settimeout(5)
            c.sendall(records(client_hello(more)))
            equal(c.recv(1), b"\x16", "the beginning of a ServerHello")
            c.close()
        check(client(s, V12) and client(s, V13), "handshakes")


@test
def a_handshake_has_so_many_records():
    with server() as s:
        hello = client_hello()
        check(100 < len(hello) < 1000, "a ClientHello of %d octets" % len(hello))
        # Cut into octets it is heard.
        c = connect(("127.0.0.1", s.port))
        c.sendall(b"".join(b"\x16\x03\x01\0\x01" + bytes([b]) for b in hello))
        check(c.recv(1) == b"\x16", "no ServerHello")
        c.close()
        wait_for(lambda: s.counter("tls_failed") == 1, why="counter")
        # A long one is not.
        c = connect(("127.0.0.1", s.port))
        try:
            c.sendall(b"".join(b"\x16\x03\x01\0\x01" + bytes([b]) for b in b"\x01\0\x80\0" + bytes(32768)))
        except OSError:
            pass
        wait_for(lambda: 'reason="too many records"' in s.log(), why="not in the log")
        c.close()
        equal(s.counter("tls_floods"), 0, "sessions")


main()
