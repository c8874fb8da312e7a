#!/usr/bin/env -S python3 -B
"""checks: what strangers say of themselves at HELO and MAIL, each check off unless it is switched on."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from dns import Dns, late
from harness import BIN, check, equal, main, test
from server import Server, free_port

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
BOXES = "alice@example.org\n@example.net alias=alice@example.org\n"
ZONE = {
    ("MX", "mx.example"): ["mail.mx.example"], ("A", "a.example"): ["192.0.2.1"], ("AAAA", "six.example"): ["2001:db8::1"],
    ("TXT", "text.example"): ["only a text"], ("MX", "null.example"): [""], ("MX", "xn--bcher-kva.example"): ["m.example"],
    ("MX", "mute.example"): lambda q: None, ("MX", "broken.example"): lambda q: q[:2] + b"\x81\x82" + q[4:],
}
SWITCHES = ("helo_full", "helo_literal", "helo_own", "sender_full", "sender_own", "sender_domain")

# what a stranger from 192.0.2.9 says: HELO, MAIL, and by which switch it is refused with what
CASES = [
    ("c.example", "a@mx.example", None), ("[192.0.2.9]", "a@mx.example", None), ("c.example", "", None),
    ("a_b.example.", "a@mx.example", None),
    ("one", "a@mx.example", ("helo_full", 550, "5.7.1")), ("one.", "", ("helo_full", 550, "5.7.1")),
    ("192.0.2.9", "a@mx.example", ("helo_full", 550, "5.7.1")),
    ("[192.0.2.10]", "a@mx.example", ("helo_literal", 550, "5.7.1")), ("[IPv6:2001:db8::9]", "", ("helo_literal", 550, "5.7.1")),
    ("MX.test.EXAMPLE", "a@mx.example", ("helo_own", 550, "5.7.1")), ("mx.test.example.", "a@mx.example", ("helo_own", 550, "5.7.1")),
    ("mx.test.example", "", ("helo_own", 550, "5.7.1")),
    ("c.example", "a@one", ("sender_full", 550, "5.1.7")), ("c.example", "a@192.0.2.9", ("sender_full", 550, "5.1.7")),
    ("c.example", "a@[192.0.2.8]", ("sender_full", 550, "5.1.7")), ("c.example", "a@[192.0.2.9]", None),
    ("c.example", "bob@example.org", ("sender_own", 550, "5.7.1")), ("c.example", "x@EXAMPLE.net", ("sender_own", 550, "5.7.1")),
    ("c.example", "root@mx.test.example", ("sender_own", 550, "5.7.1")),
    ("c.example", "a@a.example", None), ("c.example", "a@six.example", None),
    ("c.example", "a@no.example", ("sender_domain", 550, "5.1.8")), ("c.example", "a@text.example", ("sender_domain", 550, "5.1.8")),
    ("c.example", "a@null.example", ("sender_domain", 550, "5.7.27")),
    ("c.example", "a@broken.example", ("sender_domain", 451, "4.4.3")), ("c.example", "a@mute.example", ("sender_domain", 451, "4.4.3")),
]
# these are refused by nobody else, but have no mail server either
NOWHERE = {"a@one", "a@192.0.2.9", "bob@example.org", "x@EXAMPLE.net", "root@mx.test.example"}


def serve(dns, on, extra="", timeout="500ms", **more):
    port = free_port()
    keys = " ".join("%s = yes" % k for k in on)
    s = Server(BOXES, workers=1, listener='listener "mx" { address = {"127.0.0.1:%d", "unix:@"} '
               'xclient_from = {"127.0.0.1/32"} }' % port, extra=extra + "checks { %s }\n" % keys +
               'dns { servers = {"%s"} timeout = "%s" }\n' % (dns.name, timeout), start=False, **more)
    s.port = port
    s.listener = s.listener.replace("@", s.path("socket"))
    s.write_config()
    s.start()
    return s


def client(s, helo="c.example", address="192.0.2.9", verb="EHLO"):
    c = s.client()
    c.hello()
    if address:
        c.cmd("XCLIENT ADDR=%s" % address).is_(220)
    c.cmd("%s %s" % (verb, helo)).is_(250)
    return c


def expected(on, sender, refusal):
    if refusal and refusal[0] in on:
        return refusal[1:]
    if "sender_domain" in on and sender in NOWHERE:
        return 550, "5.1.8"
    return 250, "2.1.0"


def each_case(s, on):
    for helo, sender, refusal in CASES:
        c = client(s, helo, verb="HELO" if helo == "one" else "EHLO")
        r = c.cmd("MAIL FROM:<%s>" % sender)
        check((r.code, r.enhanced) == expected(on, sender, refusal), "%s, %s, with %s: %s" % (helo, sender, on, r))
        c.quit()


@test
def each_is_switched_on_by_itself():
    dns = Dns(ZONE)
    for on in SWITCHES:
        with serve(dns, [on]) as s:
            each_case(s, [on])
            refused = sum(expected([on], c[1], c[2])[0] != 250 for c in CASES)
            reasons = [x for x in s.stats()["reasons"] if x["code"] in (550, 451)]
            equal(sum(x["count"] for x in reasons), refused, "counted by reason: %s" % reasons)
            check(all(x["reason"].startswith(on.split("_")[0]) for x in reasons), "reasons of %s: %s" % (on, reasons))


@test
def all_of_them_and_none():
    dns = Dns(ZONE)
    for on in SWITCHES, ():
        with serve(dns, on) as s:
            each_case(s, on)
            equal({x["reason"] for x in s.stats()["reasons"] if x["code"] in (550, 451)}, set() if not on else {
                "helo-not-full", "helo-literal", "helo-own", "sender-not-full", "sender-own", "sender-no-domain",
                "sender-null-mx", "sender-unknown"}, "reasons")


@test
def our_own_address_is_nobody_elses():
    dns = Dns(ZONE)
    with serve(dns, ["helo_own"]) as s:
        for helo in "[127.0.0.1]", "127.0.0.1":
            c = client(s, helo)
            c.cmd("MAIL FROM:<a@mx.example>").is_(550, "5.7.1")
            c.quit()


@test
def who_is_no_stranger():
    dns = Dns(ZONE)
    with serve(dns, SWITCHES, 'networks { skip_checks = {"192.0.2.77/32"} }\n') as s:
        for c in client(s, "mx.test.example", None), client(s, "mx.test.example", "192.0.2.77"), client(s, "mx.test.example", "192.0.2.9 LOGIN=alice"):
            c.message(ALICE, TEXT, sender=ALICE).is_(250)
            c.quit()
        c = s.client(s.path("socket"))
        c.hello("mx.test.example")
        c.message(ALICE, TEXT, sender=ALICE).is_(250)
        c.quit()
        equal(dns.asked, {}, "asked")


@test
def names_beyond_ascii_are_asked_for_as_a_labels():
    dns = Dns(ZONE)
    with serve(dns, ["sender_domain"]) as s:
        c = client(s)
        c.cmd("MAIL FROM:<a@b\u00fccher.example> SMTPUTF8").is_(250)
        c.quit()
        equal(dns.asked, {("MX", "xn--bcher-kva.example"): 1}, "asked")


@test
def a_slow_answer_holds_nobody_else_up_and_is_remembered():
    holder, key, zone = [], ("MX", "slow.example"), dict(ZONE)
    zone[key] = late(holder, key, ["m.example"], 0.8)
    dns = Dns(zone)
    holder.append(dns)
    with serve(dns, ["sender_domain"], timeout="5s") as s:
        slow = client(s)
        slow.send(b"MAIL FROM:<a@slow.example>\r\n")
        c = client(s)
        began = time.monotonic()
        c.message(ALICE, TEXT, sender="a@mx.example").is_(250)
        check(time.monotonic() - began < 0.7, "another waited %.1f s" % (time.monotonic() - began))
        c.quit()
        slow.reply().is_(250)
        slow.quit()
        asked = dict(dns.asked)
        c = client(s)
        c.message(ALICE, TEXT, sender="b@slow.example").is_(250)
        c.quit()
        equal(dns.asked, asked, "questions")


@test
def answers_that_come_one_by_one_let_nobody_in():
    """Each question is answered in time, or not at all; all of them together take longer than the chain waits."""
    holder, key, zone = [], ("MX", "late.example"), dict(ZONE)
    zone[key], zone["A", "late.example"] = late(holder, key, [], 2.5), lambda q: None
    dns = Dns(zone)
    holder.append(dns)
    with serve(dns, ["sender_domain"], timeout="3s") as s:
        c = client(s)
        c.send(b"MAIL FROM:<a@late.example>\r\n")
        c.reply().is_(451)
        c.quit()


@test
def the_client_may_leave_meanwhile():
    dns = Dns(ZONE)
    with serve(dns, ["sender_domain"], count=False) as s:
        for _ in range(10):
            c = client(s)
            c.send(b"MAIL FROM:<a@mute.example>\r\n")
            c.vanish()
        c = client(s)
        c.message(ALICE, TEXT, sender="a@mx.example").is_(250)
        c.quit()


@test
def asked_before_it_is_deployed():
    dns = Dns(ZONE)
    with serve(dns, ["helo_own", "sender_domain"]) as s:
        for args, status, text in ((["--from", "a@mx.example"], 0, "no objection"), (["--from", "a@null.example"], 1, "sender-null-mx"),
                                   (["--helo", "mx.test.example"], 1, "helo-own"), (["--from", "a@mute.example"], 75, "sender-unknown")):
            p = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "check", "-c", s.path("letterplate.conf"), "--ip", "192.0.2.9",
                                "--to", ALICE, *args], capture_output=True, text=True, timeout=60)
            equal(p.returncode, status, "exit status of\n" + p.stdout + p.stderr)
            check("checks" in p.stdout and text in p.stdout, p.stdout)


if __name__ == "__main__":
    main()
