#!/usr/bin/env -S python3 -B
"""xclient: a trusted client speaks for another one, as Postfix's XCLIENT has it."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import FakeMilter
from harness import check, equal, main, test
from milterserver import section
from policy import Policy
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
BARE = b"Subject: x\r\n\r\na\nb\r\n"


class XclientServer(Server):
    """127.0.0.1 may use XCLIENT; 127.0.0.2 and up may not."""
    def __init__(self, keys="", **more):
        port = free_port()
        super().__init__(listener='listener "mx" { address = {"127.0.0.1:%d"} xclient_from = {"127.0.0.1/32", '
                         '"203.0.113.1/32"} %s }' % (port, keys), **more)
        self.port = port


@test
def the_claimed_client_stands_in_trace_and_log():
    with XclientServer() as s:
        c = s.client()
        check("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in c.hello("proxy.example").lines, "not listed")
        c.cmd("XCLIENT NAME=sender.example.net ADDR=192.0.2.9 PORT=4711 LOGIN=joe").is_(220)
        c.cmd("MAIL FROM:<a@b.example>").is_(503, "5.5.1")
        c.hello("claimed.example")
        c.message(ALICE, TEXT).is_(250)
        c.cmd("XCLIENT ADDR=IPv6:2001:DB8::9").is_(220)
        c.hello("claimed.example")
        c.message(ALICE, TEXT).is_(250)
        c.cmd("XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]").is_(220)
        c.hello("claimed.example")
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        received = sorted(" ".join(m["Received"].split()).partition(" by ")[0] for m in s.messages(ALICE))
        equal(received, ["from claimed.example (%s)" % x for x in
                         ("[IPv6:2001:db8::9]", "sender.example.net [192.0.2.9]", "unknown")], "Received")
        line = s.line("transaction")
        equal([line[k] for k in ("remote", "port", "proxy", "user")], ["192.0.2.9", "4711", "127.0.0.1", "joe"], "log")
        equal(s.line("transaction", 2)["remote"], "IPv6:2001:db8::9", "log")
        equal(s.line("session")["remote"], "unknown", "log")


@test
def nobody_else_may():
    with XclientServer() as s:
        c = s.client(source="127.0.0.2")
        check(not any("XCLIENT" in x for x in c.hello().lines), "listed")
        c.cmd("XCLIENT ADDR=192.0.2.9").is_(550, "5.7.0")
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        equal(s.line("session")["remote"], "127.0.0.2", "the client")
        check("([127.0.0.2])" in s.messages(ALICE)[0]["Received"], "the client in Received")


@test
def a_claimed_login_is_told_to_filters_as_postfix_tells_it():
    p = Policy()
    with FakeMilter() as m, XclientServer(extra=section(m) + "\n" + p.section("p"), workers=1) as s:
        c = s.client()
        c.cmd("XCLIENT LOGIN=joe").is_(220)
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        said = dict(m.macros_at["M"])
        c.cmd("XCLIENT LOGIN=[UNAVAILABLE]").is_(220)
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        names = ["{auth_type}", "{auth_authen}", "{auth_author}"]
        equal([said.get(x) for x in names], ["XCLIENT", "joe", None], "macros")
        equal([m.macros_at["M"].get(x) for x in names], [None, None, None], "without a login")
        equal([(r["sasl_method"], r["sasl_username"]) for r in p.requests], [("XCLIENT", "joe"), ("", "")], "the policy server")


@test
def limits_count_the_claimed_address():
    with XclientServer(limits="connections_per_ip = 2", workers=2) as s:
        held = [s.client(), s.client()]
        for c in held:
            c.cmd("XCLIENT ADDR=192.0.2.9").is_(220)
        third = s.client()          # the two have left 127.0.0.1
        third.greeting.is_(220)
        third.cmd("XCLIENT ADDR=192.0.2.9").is_(421, "4.7.0")
        third.ended()
        fourth = s.client()
        fourth.cmd("XCLIENT ADDR=192.0.2.10").is_(220)
        held.pop().quit()
        wait_for(lambda: s.sessions_open() == 2, why="the session stays open")
        fourth.cmd("XCLIENT ADDR=192.0.2.9").is_(220)


@test
def bare_newlines_are_allowed_by_the_claimed_address():
    with XclientServer('bare_newline_from = {"127.0.0.1/32", "192.0.2.9/32"}') as s:
        c = s.client()
        c.hello()
        c.message(ALICE, BARE).is_(250)
        c.cmd("XCLIENT ADDR=192.0.2.10").is_(220)
        c.hello()
        c.message(ALICE, BARE).is_(550, "5.5.2")
        c.cmd("XCLIENT ADDR=192.0.2.9").is_(220)
        c.hello()
        c.message(ALICE, BARE).is_(250)
        c.quit()


@test
def a_thousand_of_them_take_no_memory():
    with XclientServer(limits="connections_per_ip = 1") as s:
        c = s.client()
        for i in range(1000):
            c.cmd("XCLIENT ADDR=IPv6:2001:db8:%x::1 NAME=%s.example LOGIN=%s" % (i, "a" * (1 + i % 60), "u" * (1 + i % 250))).is_(220)
        c.hello()
        c.quit()


@test
def behind_a_balancer_the_claimed_address_decides():
    with XclientServer('proxy_from = {"127.0.0.0/8"}') as s:
        for address, code in ("203.0.113.1", 220), ("203.0.113.2", 550):
            c = s.client(greet=False)
            c.send(b"PROXY TCP4 %s 198.51.100.2 4711 25\r\n" % address.encode())
            c.reply().is_(220)
            c.cmd("XCLIENT ADDR=192.0.2.9").is_(code)
            c.quit()
        wait_for(lambda: len(re.findall(r"event=session ", s.log())) == 2, why="two sessions in the log")
        found = re.findall(r"event=session .*remote=(\S+) .*proxy=127.0.0.1 ", s.log())
        equal(sorted(found), ["192.0.2.9", "203.0.113.2"], "the log's clients")


main()
