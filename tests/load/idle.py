#!/usr/bin/env -S python3 -B
"""idle: what an idle session costs in the server's own memory.  Prints figures; not a test.

    tests/load/idle.py [SESSIONS [1.2|1.3]]       (10,000, in clear; or inside TLS)

The sum of Pss over master and workers from /proc/PID/smaps_rollup, before and
with the sessions, each after its EHLO.  Kernel memory (socket buffers) is not
in it.
"""
import os
import resource
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from server import Server, free_port
import tls


def pss(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) * 1024
    return total


def sessions_in_clear(port, n):
    """N sessions that have said EHLO."""
    sel, socks, opened, ready = selectors.EpollSelector(), [], 0, 0
    while ready < n:
        while opened < n and opened - ready < 500:
            k = socket.socket()
            k.setblocking(False)
            k.setsockopt(socket.IPPROTO_IP, 24, 1)      # IP_BIND_ADDRESS_NO_PORT
            k.bind(("127.%d.%d.1" % (1 + opened // 200 // 250, opened // 200 % 250), 0))
            k.connect_ex(("127.0.0.1", port))
            sel.register(k, selectors.EVENT_READ, "greeting")
            opened += 1
        for key, _ in sel.select(5.0):
            got = key.fileobj.recv(4096)
            if key.data == "greeting" and got.startswith(b"220"):
                key.fileobj.send(b"EHLO idle.example\r\n")
                sel.modify(key.fileobj, selectors.EVENT_READ, "helo")
            elif key.data == "helo" and got.startswith(b"250"):
                sel.unregister(key.fileobj)
                socks.append(key.fileobj)
                ready += 1
            else:
                sys.exit("idle.py: a session got %r" % got)
    return socks


def sessions_in_tls(s, port, n, version):
    """N sessions that have said EHLO inside TLS."""
    ctx = tls.context(None, {"1.2": tls.ssl.TLSVersion.TLSv1_2, "1.3": tls.ssl.TLSVersion.TLSv1_3}[version])
    held = []
    for _ in range(n):
        c = tls.implicit(s, port, ctx)
        c.hello()
        held.append(c)
    return held


def main():
    n = int(sys.argv[1]) if sys.argv[1:] else 10000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < n + 100:
        sys.exit("idle.py: %d descriptors are needed, the hard limit is %d" % (n + 100, hard))
    version = sys.argv[2] if sys.argv[2:] else None
    port = free_port()
    more = {"listener": 'listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" }' % port,
            "extra": tls.section(tls.certificate("idle.example"))} if version else {}
    with Server(limits="connections_per_ip = 0", timeouts='command = "10m" drain = "10s"', **more) as s:
        s.count = False

        def sessions(port, n):
            return sessions_in_tls(s, port, n, version) if version else sessions_in_clear(port, n)
        s.port = port if version else s.port
        first = sessions(s.port, 50)    # what any first session costs once
        time.sleep(0.5)
        before = pss(s.processes())
        held = sessions(s.port, n)
        time.sleep(1)
        after = pss(s.processes())
        print("sessions=%d processes=%d before_bytes=%d with_bytes=%d bytes_per_session=%.0f"
              % (n, len(s.processes()), before, after, (after - before) / n))
        for k in held + first:
            k.close()
        time.sleep(1)
        print("after_they_left_bytes=%d" % pss(s.processes()))


main()
