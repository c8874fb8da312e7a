#!/usr/bin/env -S python3 -B
"""dns: host names by reverse and forward look-ups, block and allow lists with weights; and servers
that keep still, are late, lie or talk nonsense."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from dns import Dns, late
from harness import check, equal, main, test
from policy import Policy
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
LISTS = 'blocklists = {"a.dnsbl=6", "b.dnsbl=6", "c.dnsbl"} allowlists = {"w.dnswl=5"} threshold = 10'
ZONE = {
    ("PTR", "10.2.0.192.in-addr.arpa"): ["good.example"], ("A", "good.example"): ["192.0.2.99", "192.0.2.10"],
    ("PTR", "11.2.0.192.in-addr.arpa"): ["forged.example"], ("A", "forged.example"): ["192.0.2.99"],
    ("PTR", "12.2.0.192.in-addr.arpa"): ["bad name\r\nX: y.example"],
    ("PTR", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"): ["six.example"], ("AAAA", "six.example"): ["2001:db8::1"],
    # 192.0.2.50: both lists; .51: one; .52: both, and one that speaks for it; .53, .54: answers that are no listing
    ("A", "50.2.0.192.a.dnsbl"): ["127.0.0.2"], ("A", "50.2.0.192.b.dnsbl"): ["127.0.0.4"],
    ("TXT", "50.2.0.192.a.dnsbl"): ["sent spam\r\nto 7 traps"],
    ("A", "51.2.0.192.a.dnsbl"): ["127.0.0.2"],
    ("A", "52.2.0.192.a.dnsbl"): ["127.0.0.2"], ("A", "52.2.0.192.b.dnsbl"): ["127.0.0.2"],
    ("A", "52.2.0.192.w.dnswl"): ["127.0.0.1"],
    ("A", "53.2.0.192.a.dnsbl"): ["203.0.113.80"], ("A", "53.2.0.192.b.dnsbl"): ["127.255.255.254"],
    ("A", "54.2.0.192.a.dnsbl"): ["203.0.113.80"], ("A", "54.2.0.192.b.dnsbl"): ["128.0.0.2"],
}


def serve(dns, keys="", extra="", **more):
    port = free_port()
    return Server(workers=1, listener='listener "mx" { address = {"127.0.0.1:%d"} xclient_from = {"127.0.0.1/32"} }' % port,
                  extra='%s dns { servers = {"%s"} %s }\n' % (extra, dns.name, keys), **more), port


def client(s, port, address):
    s.port = port
    c = s.client()
    c.hello()
    c.cmd("XCLIENT ADDR=%s" % address).is_(220)
    c.hello("helo.example")
    return c


@test
def names_are_confirmed():
    dns, p = Dns(ZONE), Policy()
    s, port = serve(dns, "client_names = yes")
    s.settings["extra"] += p.section("p", "connect")
    s.write_config()
    with s:
        s.term()
        s.start()
        s.seen.clear()
        s.count = False
        p.requests.clear()
        for address in ("192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13", "IPv6:2001:db8::1"):
            c = client(s, port, address)
            c.message(ALICE, TEXT).is_(250)
            c.quit()
        p.requests[:] = [r for r in p.requests if r["client_address"] != "127.0.0.1"]
        equal([r["client_name"] for r in p.requests],
              ["good.example", "unknown", "unknown", "unknown", "six.example"], "client_name")
        equal([r["reverse_client_name"] for r in p.requests],
              ["good.example", "forged.example", "unknown", "unknown", "six.example"], "reverse_client_name")
        received = sorted(" ".join(m["Received"].split()).partition(" by ")[0] for m in s.messages(ALICE))
        equal(received, sorted(["from helo.example (%s)" % x for x in (
            "good.example [192.0.2.10]", "[192.0.2.11]", "[192.0.2.12]", "[192.0.2.13]",
            "six.example [IPv6:2001:db8::1]")]), "Received")


@test
def lists_have_weights():
    dns = Dns(ZONE)
    s, port = serve(dns, LISTS)
    with s:
        for address, code in (("192.0.2.49", 250), ("192.0.2.50", 554), ("192.0.2.51", 250), ("192.0.2.52", 250),
                              ("192.0.2.53", 250), ("192.0.2.54", 250), ("192.0.2.50", 554)):
            c = client(s, port, address)
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            r = c.cmd("RCPT TO:<%s>" % ALICE)
            check(r.code == code, "%s: %s" % (address, r))
            if code == 554:
                equal(r.enhanced, "5.7.1", "enhanced code")
                check("192.0.2.50 is listed by a.dnsbl: sent spam??to 7 traps" in r.text, "no list named: %s" % r)
            c.quit()
        equal(dns.asked[("A", "50.2.0.192.a.dnsbl")], 1, "questions about the same client again")
        wait_for(lambda: "list b.dnsbl does not answer us" in s.log(), why="no word of 127.255.255.254")
        equal(sum(x["count"] for x in s.stats()["reasons"] if x["reason"] == "dns-list"), 2, "counted")


@test
def only_the_answers_that_are_chosen_count():
    zone = {("A", "%d.2.0.192.a.dnsbl" % n): a for n, a in (
        (60, ["127.0.0.2"]), (61, ["127.0.0.12"]), (62, ["127.0.3.4"]), (63, ["127.0.9.4", "127.0.0.4"]), (64, ["127.0.0.20"]))}
    dns = Dns(zone)
    lists = 'blocklists = {"a.dnsbl=127.0.[0;3].[2..11;20]*6", "a.dnsbl=127.0.3.4*6", "a.dnsbl=127.0.0.20"} threshold = 6'
    s, port = serve(dns, lists)
    with s:
        for n, code in ((60, 554), (61, 250), (62, 554), (63, 554), (64, 554), (65, 250)):
            c = client(s, port, "192.0.2.%d" % n)
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            r = c.cmd("RCPT TO:<%s>" % ALICE)
            check(r.code == code, "192.0.2.%d: %s" % (n, r))
            c.quit()
    s, port = serve(dns, lists.replace("threshold = 6", "threshold = 7"))
    with s:
        for n, code in ((60, 250), (62, 554), (64, 554)):
            c = client(s, port, "192.0.2.%d" % n)
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            check(c.cmd("RCPT TO:<%s>" % ALICE).code == code, "192.0.2.%d, weights" % n)
            c.quit()


@test
def postmaster_hears_everybody():
    dns = Dns(ZONE)
    s, port = serve(dns, LISTS, mailboxes="postmaster@example.org\nalice@example.org\n")
    with s:
        c = client(s, port, "192.0.2.50")
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(554, "5.7.1")
        c.cmd("RCPT TO:<Postmaster@example.org>").is_(250)
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.quit()


@test
def skipped_networks_are_not_looked_up():
    dns = Dns(ZONE)
    s, port = serve(dns, LISTS, 'networks { skip_checks = {"192.0.2.50/32"} }')
    with s:
        dns.asked.clear()
        c = client(s, port, "192.0.2.50")
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        equal([k for k in dns.asked if "50.2.0.192" in k[1]], [], "asked")


@test
def one_that_keeps_still_says_nothing():
    zone = dict(ZONE)
    for n in ("10", "50"):
        zone[("A", n + ".2.0.192.c.dnsbl")] = lambda q: None
    zone[("PTR", "50.2.0.192.in-addr.arpa")] = lambda q: None
    dns = Dns(zone)
    s, port = serve(dns, LISTS + ' client_names = yes timeout = "1s"')
    with s:
        began = time.monotonic()
        c = client(s, port, "192.0.2.50")
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(554, "5.7.1")
        c.quit()
        c = client(s, port, "192.0.2.10")
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        check(time.monotonic() - began < 5, "waited for %.1f s" % (time.monotonic() - began))


@test
def a_late_one_holds_nobody_else_up():
    holder = []
    zone = dict(ZONE)
    key = ("PTR", "77.2.0.192.in-addr.arpa")
    zone[key] = late(holder, key, ["good.example"], 4)
    dns = Dns(zone)
    holder.append(dns)
    s, port = serve(dns, 'client_names = yes timeout = "10s"')
    with s:
        s.port = port
        slow = s.client()
        slow.hello()
        slow.send(b"XCLIENT ADDR=192.0.2.77\r\n")
        time.sleep(0.3)
        began = time.monotonic()
        for _ in range(20):
            c = client(s, port, "192.0.2.10")
            c.message(ALICE, TEXT).is_(250)
            c.quit()
        check(time.monotonic() - began < 3.0, "others took %.1f s" % (time.monotonic() - began))
        slow.reply().is_(220)
        slow.hello()
        slow.quit()


@test
def nonsense_is_no_answer():
    def lie(q):
        return q[:2] + b"\x81\x80\0\1\0\x7f\0\0\0\0" + q[12:]
    ways = [lambda q: b"", lambda q: q[:7], lambda q: b"\0" * 600, lie, lambda q: q, lambda q: bytes([q[0] ^ 1]) + lie(q)[1:]]
    zone = dict(ZONE)
    for i, way in enumerate(ways):
        zone[("PTR", "%d.3.0.192.in-addr.arpa" % i)] = zone[("A", "%d.3.0.192.a.dnsbl" % i)] = way
    dns = Dns(zone)
    s, port = serve(dns, LISTS + ' client_names = yes timeout = "500ms"')
    with s:
        for i in range(len(ways)):
            c = client(s, port, "192.0.3.%d" % i)
            c.message(ALICE, TEXT).is_(250)
            c.quit()


@test
def the_client_may_leave_meanwhile():
    zone = dict(ZONE)
    zone[("PTR", "78.2.0.192.in-addr.arpa")] = lambda q: None
    zone[("A", "78.2.0.192.a.dnsbl")] = lambda q: None
    dns = Dns(zone)
    s, port = serve(dns, LISTS + ' client_names = yes timeout = "2s"', count=False)
    with s:
        for _ in range(10):
            s.port = port
            c = s.client()
            c.hello()
            c.send(b"XCLIENT ADDR=192.0.2.78\r\n")
            c.vanish()
        c = client(s, port, "192.0.2.10")
        c.message(ALICE, TEXT).is_(250)
        c.quit()


if __name__ == "__main__":
    main()
