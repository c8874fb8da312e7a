#!/usr/bin/env -S python3 -B
# check: no timeout=600
"""tls_reloads: a hundred reloads under load with TLS fail nobody (TRUST T4).  tests/e2e/tls.py does a few of them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tls
from harness import check, equal, main, test
from server import Server

RELOADS = int(os.environ.get("RELOADS", "100"))


@test
def a_hundred_reloads():
    with Server(count=False, extra=tls.section(tls.certificate("mx.test.example"))) as s:
        n = tls.reloads_under_load(s, RELOADS, "alice@example.org", b"Subject: x\r\n\r\nbody\r\n")
        print("# %d reloads, %d messages" % (RELOADS, n))
        check(n > 0, "nothing was delivered")
        equal(len(s.messages("alice@example.org")), n, "messages")
        equal((s.counter("reloads"), s.counter("tls_failed")), (RELOADS, 0), "reloads and failed handshakes")


main()
