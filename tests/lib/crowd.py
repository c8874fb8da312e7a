"""crowd: thousands of connections at once, from many addresses."""
import collections
import resource
import selectors
import socket
import time

from harness import Skip, check

PER_ADDRESS = 200


def dial(port, i):
    """The I-th connection of a crowd, on its way."""
    k = socket.socket()
    k.setblocking(False)
    k.setsockopt(socket.IPPROTO_IP, 24, 1)      # IP_BIND_ADDRESS_NO_PORT
    k.bind(("127.%d.%d.1" % (1 + i // PER_ADDRESS // 250, i // PER_ADDRESS % 250), 0))
    k.connect_ex(("127.0.0.1", port))
    return k


def connect_many(port, n, timeout=60.0):
    """N connections from many addresses: (sockets, Counter of first reply codes)."""
    sel, socks, codes = selectors.EpollSelector(), [], collections.Counter()
    end = time.monotonic() + timeout
    opened = 0
    while len(socks) + sum(codes[c] for c in codes if c != 220) < n:
        check(time.monotonic() < end, "after %d s only %s of %d were greeted" % (timeout, dict(codes), n))
        while opened < n and opened - sum(codes.values()) < 1000:
            sel.register(dial(port, opened), selectors.EVENT_READ)
            opened += 1
        for key, _ in sel.select(1.0):
            k = key.fileobj
            sel.unregister(k)
            try:
                first = k.recv(4096)
            except OSError as e:
                raise AssertionError("connection %d: %s" % (len(socks), e))
            codes[int(first[:3] or 0)] += 1
            if first.startswith(b"220"):
                socks.append(k)
            else:
                k.close()
    return socks, codes


def need_descriptors(n):
    """As many as may be had, or the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n:
        raise Skip("needs %d descriptors, the hard limit is %d" % (n, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
