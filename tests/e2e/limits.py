#!/usr/bin/env -S python3 -B
"""limits: time, connections and errors run out with the codes that are promised."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed, connect
from harness import check, equal, main, test
from policy import Policy
import tls
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


@test
def silent_clients_get_421_at_their_deadline():
    with Server(timeouts='command = "2s" data = "3s" drain = "5s"') as s:
        greeted = s.client()
        began = time.monotonic()
        in_data = s.client()
        in_data.hello()
        in_data.envelope(ALICE)
        in_data.cmd("DATA").is_(354)
        in_data.send(b"Subject: half a mess")
        half_line = s.client()
        half_line.send(b"EHLO never")
        greeted.reply().is_(421, "4.4.2")
        check(1.5 < time.monotonic() - began < 4, "421 after %.1f s" % (time.monotonic() - began))
        greeted.ended()
        half_line.reply().is_(421, "4.4.2")
        half_line.ended()
        in_data.reply().is_(421, "4.4.2")
        check(2.5 < time.monotonic() - began < 6, "421 after %.1f s" % (time.monotonic() - began))
        in_data.ended()
        equal(s.messages(ALICE), [], "messages")
        equal(s.counter("timeouts"), 3, "timeouts counted")


@test
def an_octet_now_and_then_does_not_extend_the_deadline():
    """A command has `command` from its first octet on, however it trickles in."""
    with Server(timeouts='command = "2s" data = "5s" drain = "5s"') as s:
        c = s.client(timeout=0.5)
        began = time.monotonic()
        for octet in b"EHLO a-name-that-takes-its-time.example" * 2:
            c.send(bytes([octet]))
            try:
                c.reply().is_(421, "4.4.2")
                break
            except TimeoutError:
                check(time.monotonic() - began < 8, "still served after %.1f s" % (time.monotonic() - began))
        else:
            raise AssertionError("no 421")


@test
def a_message_in_drops_has_one_deadline():
    with Server(timeouts='command = "5s" data = "2s" drain = "5s"') as s:
        c = s.client(timeout=0.3)
        c.hello()
        c.envelope(ALICE)
        c.cmd("DATA").is_(354)
        began = time.monotonic()
        while True:
            c.send(b"x\r\n")
            try:
                c.reply().is_(421, "4.4.2")
                break
            except TimeoutError:
                check(time.monotonic() - began < 6, "still served after %.1f s" % (time.monotonic() - began))
        equal(s.messages(ALICE), [], "messages")


@test
def what_comes_slowly_but_steadily_is_heard_out():
    """A message that takes longer than `data` as a whole; and one over the limit, that is refused at its end."""
    with Server(timeouts='command = "5s" data = "1s" drain = "5s"', message_size_limit="3KiB") as s:
        for lines, code in ((20, 250), (50, 552)):
            c = s.client(timeout=10)
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            for _ in range(lines):
                c.send(b"x" * 98 + b"\r\n")
                time.sleep(0.1)
            c.send(b".\r\n")
            c.reply().is_(code)
            c.quit()


@test
def connections_per_address():
    with Server(limits="connections_per_ip = 5", workers=3) as s:
        held = [s.client() for _ in range(5)]
        for c in held:
            equal(c.greeting.code, 220, "greeting")
        sixth = s.client()
        sixth.greeting.is_(421, "4.7.0")
        sixth.ended()
        equal(s.client(source="127.0.0.2").greeting.code, 220, "greeting of another address")
        held.pop().quit()
        wait_for(lambda: s.sessions_open() == 5, why="the session stays open")
        equal(s.client().greeting.code, 220, "greeting after one left")
        check(s.counter("sessions_refused") == 1, "refused counted")


@test
def who_is_refused_takes_no_place():
    """A socket that stays open after its 421 is nobody's connection (PROTOCOL 1)."""
    with Server(limits="connections = 4 connections_per_ip = 2", workers=3) as s:
        held = [s.client() for _ in range(2)]
        refused = [s.client() for _ in range(3)]
        for c in refused:
            c.greeting.is_(421, "4.7.0")
        others = [s.client(source="127.0.0.2") for _ in range(2)]
        equal([c.greeting.code for c in held + others], [220] * 4, "greetings")
        full = s.client(source="127.0.0.3")
        full.greeting.is_(421, "4.3.2")
        held.pop().quit()
        fifth = s.client(source="127.0.0.3")
        equal(fifth.greeting.code, 220, "greeting after one left")
        for c in held + others + refused + [full, fifth]:
            c.close()


@test
def a_last_word_gives_the_place_back():
    """Also where the client does not close after it."""
    with Server(limits='connections_per_ip = 1 errors = 2 error_pause = "0s"', workers=2) as s:
        kept = []
        for _ in range(3):
            c = s.client()
            c.greeting.is_(220)
            c.send(b"BOGUS\r\n" * 3)
            equal([r.code for r in c.rest()][-1], 421, "its last word")
            kept.append(c)
        s.client().quit()
        for c in kept:
            c.close()


@test
def those_who_linger_are_bounded():
    """A quarter as many as there may be sessions, where descriptors are few; who comes beyond is closed at once."""
    s = Server(limits="connections_per_ip = 1", workers=1, start=False)
    with s:
        s.start(nofile=64)
        held = s.client()
        held.greeting.is_(220)
        refused = [s.client() for _ in range(24)]
        for c in refused:
            c.greeting.is_(421, "4.7.0")
        # Each alone would be kept for two seconds.
        wait_for(lambda: s.sessions_open() <= 1 + 8, 1, lambda: "%d are open" % s.sessions_open())
        other = s.client(source="127.0.0.2")
        other.greeting.is_(220)
        for c in refused + [other, held]:
            c.close()
        wait_for(lambda: s.sessions_open() == 0, why="sessions stay open")


def tls_server(settings, more="", **others):
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" %s }' % (port, more), limits=settings,
               extra=tls.section(tls.certificate("mx.test.example")), workers=3, **others)
    s.port = port
    return s


def closed_at_once(s, first=b"", source=None):
    """Without a word: who waits for TLS would take one for noise."""
    c = connect(("127.0.0.1", s.port), source, timeout=5)
    c.sendall(first)
    try:
        equal(c.recv(100), b"", "what one over the limit hears")
    except ConnectionResetError:
        pass
    c.close()


@test
def connections_count_before_their_handshake():
    """Who says nothing, or half of a ClientHello, is a connection of its address."""
    for settings, reason, source in (("connections_per_ip = 3", "too-many-from-address", None),
                                     ("connections = 3 connections_per_ip = 0", "too-many-connections", "127.0.0.9")):
        with tls_server(settings) as s:
            held = [connect(("127.0.0.1", s.port)) for _ in range(3)]
            held[0].sendall(b"\x16\x03\x01\x02\0\x01\0\x01\xfc")
            wait_for(lambda: s.sessions_open() == 3, why="not open")
            for _ in range(2):
                closed_at_once(s, source=source)
            wait_for(lambda: s.counter("sessions_refused") == 2, why="refused counted")
            equal((s.counter("tls_limited"), s.counter("tls_failed")), (2, 0), "counters")
            wait_for(lambda: s.log().count("event=refusal") == 2 and s.log().count("reason=%s by=limits" % reason) == 2 and
                     s.log().count("end=%s" % reason) == 2, why="not logged")
            if source is None:
                tls.implicit(s, s.port, source="127.0.0.2").quit()
            held.pop().close()
            wait_for(lambda: s.sessions_open() == 2, why="the session stays open")
            tls.implicit(s, s.port).quit()
            for c in held:
                c.close()


@test
def connections_behind_a_proxy_count_for_the_client():
    with tls_server("connections_per_ip = 1", 'proxy_from = {"127.0.0.1"}') as s:
        def header(n):
            return b"PROXY TCP4 192.0.2.%d 192.0.2.99 4711 465\r\n" % n
        held = [connect(("127.0.0.1", s.port)) for _ in range(2)]
        for n, c in enumerate(held):
            c.sendall(header(n))
        wait_for(lambda: s.counter("proxy_headers") == 2, why="not read")
        closed_at_once(s, header(1))
        wait_for(lambda: s.counter("tls_limited") == 1, why="not counted")
        for c in held:
            c.close()


@test
def connections_count_before_a_greeting_that_is_put_off():
    with Server(limits="connections_per_ip = 3", workers=3, greeting_delay="3s") as s:
        held = [s.client(greet=False) for _ in range(3)]
        wait_for(lambda: s.sessions_open() == 3, why="not open")
        began = time.monotonic()
        over = s.client()
        over.greeting.is_(421, "4.7.0")
        check(time.monotonic() - began < 2, "told after %.1f s" % (time.monotonic() - began))
        over.ended()
        for c in held:
            c.reply().is_(220)
            c.quit()
        equal(s.counter("sessions_refused"), 1, "refused counted")


@test
def connections_in_all():
    with Server(limits="connections = 10 connections_per_ip = 0", workers=3) as s:
        held = [s.client(source="127.0.1.%d" % i) for i in range(1, 11)]
        for c in held:
            equal(c.greeting.code, 220, "greeting")
        over = s.client()
        over.greeting.is_(421, "4.3.2")
        over.ended()
        held.pop().quit()
        wait_for(lambda: s.sessions_open() == 9, why="the session stays open")
        equal(s.client().greeting.code, 220, "greeting after one left")


@test
def too_many_errors():
    with Server(limits='connections_per_ip = 0 errors = 20 error_pause = "0s"') as s:
        c = s.client()
        c.hello()
        c.send(b"BOGUS\r\n" * 200)
        replies = c.rest()
        equal([r.code for r in replies[:-1]], [500] * (len(replies) - 1), "codes")
        replies[-1].is_(421, "4.7.0")
        check(19 <= len(replies) - 1 <= 20, "%d errors before 421" % (len(replies) - 1))
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        n = 0
        try:
            while c.cmd("RCPT TO:<u%d@example.org>" % n).code == 550:
                n += 1
        except Closed:
            raise AssertionError("closed without 421 after %d" % n)
        check(19 <= n <= 20, "%d refused recipients before 421" % n)


@test
def accepted_mail_forgives_errors():
    with Server(limits='connections_per_ip = 0 errors = 5 error_pause = "0s"') as s:
        c = s.client()
        c.hello()
        for _ in range(4):
            for _ in range(4):
                c.cmd("BOGUS").is_(500, "5.5.2")
            c.message(ALICE, TEXT).is_(250)
        c.quit()


@test
def without_an_error_limit_there_is_none():
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        c = s.client()
        c.hello()
        c.send(b"BOGUS\r\n" * 1000)
        for _ in range(1000):
            c.reply().is_(500, "5.5.2")
        c.quit()


@test
def errors_that_others_find_make_it_slow_too():
    """A policy server's refusals come while the session waits for them."""
    p = Policy(lambda r, _: "REJECT no")
    with Server(limits='connections_per_ip = 0 errors = 6 error_pause = "1s"', extra=p.section("no")) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.send(b"RCPT TO:<alice@example.org>\r\n" * 6)
        times = []
        for _ in range(6):
            c.reply().is_(554, "5.7.1")
            times.append(time.monotonic())
        gaps = [b - a for a, b in zip(times, times[1:])]
        check(all(g < 0.8 for g in gaps[:2]) and all(0.95 < g < 4 for g in gaps[2:]), "gaps %s" % gaps)
        c.close()
        wait_for(lambda: s.sessions_open() == 0, why="a session stays open")
        equal(s.counter("error_pauses"), 4, "pauses counted")
    p.close()


@test
def half_of_the_errors_make_it_slow():
    with Server(limits='connections_per_ip = 0 errors = 6 error_pause = "1s"') as s:
        c = s.client()
        c.hello()
        c.send(b"BOGUS\r\n" * 10)
        times = []
        for _ in range(7):
            c.reply()
            times.append(time.monotonic())
        gaps = [b - a for a, b in zip(times, times[1:])]
        check(all(g < 0.8 for g in gaps[:2]) and all(0.95 < g < 4 for g in gaps[2:]), "gaps %s" % gaps)
        c.ended()
        c.close()
        equal(s.counter("error_pauses"), 4, "pauses counted")
        other = s.client()          # its pauses are its own
        other.hello()
        began = time.monotonic()
        for _ in range(2):
            other.cmd("BOGUS").is_(500)
        check(time.monotonic() - began < 0.8, "another session waits")
        other.cmd("BOGUS").is_(500)
        other.close()               # goes in its pause
        wait_for(lambda: s.sessions_open() == 0, why="a session stays open")


@test
def http_is_told_from_mail():
    with Server() as s:
        c = s.client()
        c.send(b"GET / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO a\r\n")
        c.reply().is_(554, "5.5.0")
        c.ended()
        c.close()
        wait_for(lambda: "end=http-verb" in s.log(), why="no end=http-verb in the log")
        equal(s.counter("http_verbs"), 1, "counted")


@test
def a_session_does_not_last_for_ever():
    with Server(limits='connections_per_ip = 0 session = "2s"') as s:
        began = time.monotonic()
        idle, busy = s.client(), s.client()
        in_data = s.client()
        in_data.hello()
        in_data.envelope(ALICE)
        in_data.cmd("DATA").is_(354)
        busy.hello()
        while True:
            in_data.send(b"line\r\n")
            r = busy.cmd("NOOP")
            if r.code != 250:
                break
            check(time.monotonic() - began < 5, "still served")
            time.sleep(0.05)
        r.is_(421, "4.7.0")
        check(1.9 < time.monotonic() - began < 4, "after %.1f s" % (time.monotonic() - began))
        for c in idle, in_data:
            c.reply().is_(421, "4.7.0")
        equal(s.counter("long_sessions"), 3, "counted")
        wait_for(lambda: s.log().count("end=session-too-long") == 3, why="not in the log")
        equal(s.messages(ALICE), [], "messages")


@test
def content_has_to_come_at_some_rate():
    with Server(timeouts='data = "2s"', limits='connections_per_ip = 0 data_rate = "1KiB"') as s:
        slow, fair = s.client(), s.client()
        for c in slow, fair:
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
            c.send(b"Subject: x\r\n\r\n")
        began = time.monotonic()
        slow.sock.settimeout(0.1)
        said = None
        while said is None and time.monotonic() - began < 8:
            fair.send(b"x" * 510 + b"\r\n")         # 5 KiB/s and more
            slow.send(b"x")                         # far below
            try:
                said = slow.reply().is_(421, "4.4.2")
            except TimeoutError:
                pass
        check(said is not None, "an octet now and then is enough")
        check(1.9 < time.monotonic() - began < 4, "after %.1f s" % (time.monotonic() - began))
        while time.monotonic() - began < 5:
            fair.send(b"x" * 510 + b"\r\n")
            time.sleep(0.1)
        fair.send(b".\r\n")
        fair.reply().is_(250)
        equal(s.counter("slow_clients"), 1, "counted")
        wait_for(lambda: "end=too-slow" in s.log(), why="not in the log")


@test
def content_by_bdat_has_to_come_at_some_rate():
    with Server(timeouts='data = "1s"', limits='connections_per_ip = 0 data_rate = "1KiB"') as s:
        c = s.client(timeout=0.1)
        c.hello()
        c.envelope(ALICE)
        c.send(b"BDAT 100000\r\n")
        for _ in range(60):
            c.send(b"x")
            try:
                c.reply().is_(421, "4.4.2")
                return
            except TimeoutError:
                pass
        raise AssertionError("an octet now and then is enough")


@test
def connections_an_address_begins_in_a_minute():
    with Server(limits="connections_per_ip = 0 rate_per_ip = 5", workers=3) as s:
        if time.monotonic() % 60 > 55:      # the minute is the clock's
            time.sleep(61 - time.monotonic() % 60)
        for _ in range(5):
            s.client().quit()
        sixth = s.client()
        sixth.greeting.is_(421, "4.7.0")
        sixth.ended()
        sixth.close()
        s.client(source="127.0.0.2").quit()
        check(any(r["reason"] == "too-fast-from-address" and r["count"] == 1 for r in s.stats()["reasons"]), "counted")


@test
def the_rate_is_one_over_all_workers_and_a_reload():
    """TRUST A3: exact to one."""
    with Server(limits="connections_per_ip = 0 rate_per_ip = 60", workers=3) as s:
        if time.monotonic() % 60 > 50:
            time.sleep(61 - time.monotonic() % 60)
        greeted = 0
        for n in range(4):
            cs = [s.client(greet=False) for _ in range(25)]     # all at once, so that all workers have some
            codes = [c.reply().code for c in cs]
            check(set(codes) <= {220, 421}, "codes %s" % codes)
            greeted += codes.count(220)
            for c in cs:
                c.close()
            if n == 0:
                s.reload()
        check(59 <= greeted <= 61, "%d greeted" % greeted)


@test
def more_connections_than_descriptors_are_told_at_the_start():
    for connections, told in (10000, True), (20, False):
        with Server(limits="connections = %d" % connections, workers=1, start=False) as s:
            s.start(nofile=200)
            said = [x for x in s.log().splitlines() if "LimitNOFILE" in x and "connections" in x]
            equal(len(said), told, "a warning with %d: %s" % (connections, s.log()))
            check(not told or ("level=warn" in said[0] and "connections = 10000" in said[0]), said)


@test
def the_greeting_may_be_put_off():
    with Server(greeting_delay="1s") as s:
        began = time.monotonic()
        c = s.client()
        c.greeting.is_(220)
        check(0.9 < time.monotonic() - began < 2.5, "greeted after %.1f s" % (time.monotonic() - began))
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        began = time.monotonic()
        early = s.client(greet=False)
        time.sleep(0.3)
        early.send(b"EHLO early.example\r\n")
        early.reply().is_(554, "5.5.0")
        check(time.monotonic() - began < 0.8, "told after %.1f s" % (time.monotonic() - began))
        early.ended()
        early.close()
        equal(s.counter("early_talkers"), 1, "counted")
        s.client(greet=False).vanish()


@test
def the_greeting_is_put_off_behind_proxy_and_inside_tls():
    port = free_port()
    with Server(greeting_delay="1s", extra=tls.section(tls.certificate("mx.test.example")),
                listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" proxy_from = {"127.0.0.1"} }'
                % port) as s:
        c = tls.TlsClient(("127.0.0.1", port), s.seen, greet=False)
        c.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
        c.wrap(tls.context())
        began = time.monotonic()
        c.reply().is_(220)
        check(0.9 < time.monotonic() - began < 2.5, "greeted after %.1f s" % (time.monotonic() - began))
        c.hello()
        check(c.message(ALICE, TEXT).queued, "not taken")
        c.quit()


main()
