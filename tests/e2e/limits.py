#!/usr/bin/env -S python3 -B
"""limits: time, connections and errors run out with the codes that are promised."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed
from harness import check, equal, main, test
from server import Server, wait_for

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
    with Server(limits="connections_per_ip = 0 errors = 20") as s:
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
    with Server(limits="connections_per_ip = 0 errors = 5") as s:
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


main()
