#!/usr/bin/env -S python3 -B
"""hold: opens sessions and holds them idle until its standard input ends.

    hold.py PORT SESSIONS [1.2|1.3]       in clear, or behind STARTTLS

Each has said EHLO, from one of many addresses.  Prints how many it holds: fewer
than it was told when the server sends it away, or there are no more descriptors.
"""
import os
import resource
import selectors
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crowd import dial

AT_ONCE, PATIENCE = 100, 10


def in_clear(port, n):
    """Up to N sessions that have said EHLO."""
    sel, held, opened, gone = selectors.EpollSelector(), [], 0, 0
    while len(held) + gone < n:
        while opened < n and opened - len(held) - gone < AT_ONCE and not gone:
            k = dial(port, opened)
            sel.register(k, selectors.EVENT_READ, b"220")
            opened += 1
        if gone and opened == len(held) + gone:
            break
        ready = sel.select(PATIENCE)
        if not ready:           # a short backlog loses some, and they hear nothing
            break
        for key, _ in ready:
            k = key.fileobj
            try:
                got = k.recv(4096)
            except OSError:
                got = b""
            if not got.startswith(key.data):
                gone += 1
                sel.unregister(k)
                k.close()
            elif key.data == b"220":
                k.send(b"EHLO idle.example\r\n")
                sel.modify(k, selectors.EVENT_READ, b"250")
            else:
                sel.unregister(k)
                held.append(k)
    return held


def ask(k, text, code):
    k.sendall(text)
    got = b""
    while not got.endswith(b"\n") or got.splitlines()[-1][3:4] == b"-":
        more = k.recv(4096)
        if not more:
            raise OSError("closed")
        got += more
    if not got.startswith(code):
        raise OSError(repr(got))


def in_tls(port, n, version):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.minimum_version = ctx.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    held = []
    try:
        for k in in_clear(port, n):
            k.settimeout(60)
            ask(k, b"STARTTLS\r\n", b"220")
            k = ctx.wrap_socket(k)
            ask(k, b"EHLO idle.example\r\n", b"250")
            held.append(k)
    except OSError as e:
        print("hold: %s" % e, file=sys.stderr)
    return held


def main():
    port, n = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(n, hard - 50)
    held = in_tls(port, n, sys.argv[3]) if sys.argv[3:] else in_clear(port, n)
    print(len(held), flush=True)
    sys.stdin.read()
    for k in held:
        k.close()


if __name__ == "__main__":
    main()
