#!/usr/bin/env -S python3 -B
"""networks: who is refused, put off, let in unasked or spared the checks by address alone."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import equal, main, test
from policy import Policy
from server import Server, free_port

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
NETWORKS = """networks {
    accept = {"192.0.2.0/24", "2001:db8:a::/48"}
    reject = {"192.0.2.128/25", "198.51.100.0/24", "2001:db8::/32"}
    defer = {"203.0.113.0/24"}
    skip_checks = {"192.0.2.200/32", "127.0.0.1/32"}
}
"""


class Claims(Server):
    """127.0.0.1 may claim any address; every client that is not in a network that accepts or skips is asked about."""
    def __init__(self, policy, **more):
        port = free_port()
        super().__init__(workers=1, listener='listener "mx" { address = {"127.0.0.1:%d", "unix:%s"} '
                         'xclient_from = {"127.0.0.1/32"} }' % (port, "@SOCKET@"), extra=policy.section("c", "connect") + policy.section("p") + NETWORKS,
                         start=False, **more)
        self.port = port
        self.listener = self.listener.replace("@SOCKET@", self.path("lmtp"))
        self.write_config()
        self.start()


CASES = [
    # address, greeting, is a policy server asked
    ("192.0.2.1", 220, False), ("192.0.2.127", 220, False), ("192.0.2.128", 554, None), ("192.0.2.199", 554, None),
    ("192.0.2.200", 220, False), ("192.0.2.201", 554, None), ("198.51.100.255", 554, None), ("203.0.113.7", 421, None),
    ("8.8.8.8", 220, True), ("IPv6:2001:db8:a::1", 220, False), ("IPv6:2001:db8:b::1", 554, None),
]


@test
def the_smallest_network_decides():
    p = Policy(lambda r, c: "REJECT asked" if r["protocol_state"] == "RCPT" else "DUNNO")
    with Claims(p) as s:
        for address, greeting, asked in CASES:
            c = s.client()
            c.hello()
            c.cmd("XCLIENT ADDR=%s" % address).is_(greeting)
            if greeting == 421:
                c.ended()
                continue
            if greeting == 220:
                c.hello()
                c.cmd("MAIL FROM:<a@client.example>").is_(250)
                c.cmd("RCPT TO:<%s>" % ALICE).is_(554 if asked else 250)
                c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
            else:
                c.cmd("MAIL FROM:<a@client.example>").is_(503)
            c.quit()
        equal([r["client_address"] for r in p.requests], ["8.8.8.8"] * 2, "asked about")
        reasons = {r["reason"]: r["count"] for r in s.stats()["reasons"]}
        equal(reasons["network-rejected"], 5, "rejected")
        equal(reasons["network-deferred"], 1, "deferred")


@test
def another_client_is_looked_at_anew():
    p = Policy(lambda r, c: "REJECT asked" if r["protocol_state"] == "RCPT" else "DUNNO")
    with Claims(p) as s:
        c = s.client()
        c.hello()
        c.cmd("XCLIENT ADDR=192.0.2.1").is_(220)
        c.hello()
        c.cmd("XCLIENT ADDR=8.8.8.8").is_(220)
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(554)
        c.quit()


@test
def a_unix_socket_is_in_no_network():
    p = Policy(lambda r, c: "DUNNO")
    with Claims(p) as s:
        c = s.client(s.path("lmtp"))
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        equal(len(p.requests), 2, "asked")


if __name__ == "__main__":
    main()
