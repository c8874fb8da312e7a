#!/usr/bin/env -S python3 -B
"""dsn_tls: reports go to the relay inside TLS when it offers STARTTLS, and nothing that somebody else says is believed."""
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from dsnserver import DsnServer
from harness import check, equal, main, test
from server import wait_for
from sink import HANG, Sink
import tls


def relay_context(**how):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(*tls.certificate("relay.example"))
    for name, value in how.items():
        setattr(ctx, name, value)
    return ctx


OFFERS = ("8BITMIME", "SMTPUTF8", "STARTTLS")


def counters(s):
    return [s.counter("reports_" + x) for x in ("sent", "tls", "failed")]


@test
def inside_tls_where_it_is_offered():
    """Several over one connection; its offers are asked for anew inside TLS (RFC 3207 4.2)."""
    with Sink(offers=OFFERS, tls=relay_context()) as relay, DsnServer(relay.address) as s:
        for i in range(3):
            s.ask(sender="jörg%d@client.example" % i, mail="SMTPUTF8").is_(250)
        equal([m.tls for m in relay.wait(3)], ["TLSv1.3"] * 3, "how they came")
        wait_for(lambda: not s.waiting(), why="records in the spool")
        equal(counters(s), [3, 3, 0], "sent, tls, failed")
        line = s.line("report")
        equal((line["tls"], line["cipher"], line["result"]), ("TLSv1.3", "TLS_AES_256_GCM_SHA384", "sent"), "log line")
        check(relay.verbs[:4] == ["CONNECT", "EHLO", "STARTTLS", "EHLO"], relay.verbs)


@test
def tls_1_2_is_the_least():
    """A relay of TLS 1.2 is served; one of 1.1 alone is spoken to in clear."""
    with Sink(offers=OFFERS, tls=relay_context(maximum_version=ssl.TLSVersion.TLSv1_2)) as relay, \
            DsnServer(relay.address) as s:
        s.ask().is_(250)
        equal(relay.wait(1)[0].tls, "TLSv1.2", "how it came")
    old = relay_context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with Sink(offers=OFFERS, tls=old) as relay, DsnServer(relay.address) as s:
        s.ask().is_(250)
        equal(relay.wait(1)[0].tls, None, "how it came")
        s.says("the TLS handshake failed")


@test
def nothing_offered_in_clear_counts_inside():
    """What SMTPUTF8 needs is offered in clear alone: it cannot go."""
    class Forgetful(Sink):
        def _commands(self, s, f, tls=None):
            if tls:
                self.offers = ()
            super()._commands(s, f, tls)
    with Forgetful(offers=OFFERS, tls=relay_context()) as relay, DsnServer(relay.address) as s:
        s.ask(sender="jörg@client.example", mail="SMTPUTF8").is_(250)
        wait_for(lambda: s.counter("reports_failed") == 1, why="not given up")
        equal(relay.mails, [], "mails")


@test
def a_relay_that_is_not_ready_is_spoken_to_in_clear():
    """RFC 3207 4.1: 454, and what else is no 220."""
    said = {1: "454 4.7.0 not now", 2: "501 what?"}
    with Sink(offers=OFFERS, tls=relay_context(), mode=lambda verb, n: said.get(n) if verb == "STARTTLS" else None) as relay, \
            DsnServer(relay.address) as s:
        for i in range(3):
            s.ask().is_(250)
            equal(relay.wait(i + 1)[i].tls, None if i < 2 else "TLSv1.3", "how it came")
            wait_for(lambda: relay.counts.get("QUIT") == i + 1, why="no QUIT")
        equal(counters(s), [3, 1, 0], "sent, tls, failed")


@test
def a_broken_handshake_is_followed_by_one_in_clear():
    """Garbage, hanging up, silence: no report is lost; the connection after it tries TLS again."""
    said = {1: "\x00\x00 this is no TLS", 2: "", 3: HANG}
    with Sink(offers=OFFERS, tls=relay_context(), mode=lambda verb, n: said.get(n) if verb == "SHAKE" else None) as relay, \
            DsnServer(relay.address, timeouts='command = "700ms" data = "700ms" drain = "5s"') as s:
        for i in range(4):
            s.ask(sender="s%d@client.example" % i).is_(250)
            equal(relay.wait(i + 1, 30)[i].tls, None if i < 3 else "TLSv1.3", "how it came")
            wait_for(lambda: relay.counts.get("QUIT") == i + 1, why="no QUIT")
        wait_for(lambda: not s.waiting(), why="records in the spool")
        equal(counters(s), [4, 1, 0], "sent, tls, failed")
        s.says("does not serve: the TLS handshake failed", 3)
        equal(len({m.rcpts[0] for m in relay.mails}), 4, "who was told")


@test
def what_is_put_behind_starttls_ends_it():
    """One who sits between answers in the relay's place, in clear, and hopes that it counts inside (CVE-2011-0411)."""
    more = "250-sink\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken"
    said = {1: "220 go ahead\r\n" + more, 2: "220 go ahead\r\n2"}
    with Sink(offers=OFFERS, tls=relay_context(), mode=lambda verb, n: said.get(n) if verb == "STARTTLS" else None) as relay, \
            DsnServer(relay.address) as s:
        s.ask().is_(250)
        equal(relay.wait(1, 30)[0].tls, "TLSv1.3", "how it came")
        wait_for(lambda: not s.waiting(), why="records in the spool")
        equal(counters(s), [1, 1, 0], "sent, tls, failed")
        s.says("does not serve: somebody spoke in clear behind its STARTTLS", 2)
        equal(relay.counts["MAIL"], 1, "MAIL was said")


@test
def one_that_stops_offering_it():
    """The report goes, in clear, and a line warns."""
    with Sink(offers=OFFERS, tls=relay_context()) as relay, DsnServer(relay.address) as s:
        s.ask().is_(250)
        equal(relay.wait(1)[0].tls, "TLSv1.3", "how it came")
        wait_for(lambda: relay.counts.get("QUIT") == 1, why="no QUIT")
        relay.offers = OFFERS[:2]
        for i in range(2):
            s.ask().is_(250)
            equal(relay.wait(i + 2)[i + 1].tls, None, "how it came")
            wait_for(lambda: relay.counts.get("QUIT") == i + 2, why="no QUIT")
        check(["tls" in x for x in s.lines("report", 3)] == [True, False, False], "lines that say TLS")
        equal(s.log().count("took reports inside TLS before, and has taken one in clear"), 1, "warnings")
        relay.offers = OFFERS
        s.ask().is_(250)
        equal(relay.wait(4)[3].tls, "TLSv1.3", "how it came")
        equal(counters(s), [4, 2, 0], "sent, tls, failed")


@test
def no_name_is_checked():
    """A certificate for another name, and one that has expired, are taken: TLS keeps listeners out, no more."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(*tls.certificate("expired-relay.example", days=-1))
    names = []
    ctx.sni_callback = lambda _s, name, _c: names.append(name)
    with Sink(offers=OFFERS, tls=ctx) as relay, DsnServer("localhost:%d" % relay.port) as s:
        s.ask().is_(250)
        equal(relay.wait(1)[0].tls, "TLSv1.3", "how it came")
        equal(names, ["localhost"], "SNI")


@test
def a_large_report_inside_tls():
    """More than a record and a socket's buffer hold."""
    header = b"".join(b"X-%d: %s\r\n" % (i, b"\xfc" * 60) for i in range(500))
    with Sink(offers=OFFERS, tls=relay_context()) as relay, DsnServer(relay.address) as s:
        s.ask(text=header + b"\r\nx\r\n").is_(250)
        m = relay.wait(1)[0]
        equal(m.tls, "TLSv1.3", "how it came")
        check(len(m.text) > 60000, "only %d octets" % len(m.text))
        check(m.text.rstrip().endswith(b"--"), "not whole")


main()
