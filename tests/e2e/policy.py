#!/usr/bin/env -S python3 -B
"""policy: what a policy server says becomes a verdict or an edit; what it fails to say, or
says wrongly, is the verdict that the config has for that, and nobody else's trouble."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import check, equal, main, test
from policy import Policy, drip
from server import Server, free_port, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
STAGES = ("connect", "helo", "mail", "rcpt", "data", "end")


def serve(*sections, **more):
    return Server(extra="".join(sections), workers=1, **more)


@test
def each_stage_has_its_request():
    p = Policy()
    with serve(*(p.section("p-" + s, s) for s in STAGES)) as s:
        c = s.client()
        c.hello("client.example")
        c.message([ALICE], TEXT, params=" SIZE=1000").is_(250)
        c.quit()
        states = [r["protocol_state"] for r in p.requests]
        equal(states, ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"], "states")
        for r in p.requests:
            equal(r["request"], "smtpd_access_policy", "request")
            equal(r["client_address"], "127.0.0.1", "client_address")
            equal(r["client_name"], "unknown", "client_name")
            equal(r["server_port"], str(s.port), "server_port")
            check(len(r["_lines"]) == len(r) - 1, "an attribute twice")
        equal([r["helo_name"] for r in p.requests], [""] + ["client.example"] * 5, "helo_name")
        equal([r["sender"] for r in p.requests], ["", ""] + ["sender@client.example"] * 4, "sender")
        equal([r["recipient"] for r in p.requests], ["", "", ""] + [ALICE] * 3, "recipient")
        equal([r["recipient_count"] for r in p.requests], ["0"] * 4 + ["1", "1"], "recipient_count")
        equal([r["size"] for r in p.requests], ["0", "0", "1000", "1000", "1000", str(len(TEXT))], "size")
        ids = [r["queue_id"] for r in p.requests]
        equal(ids[:2], ["", ""], "queue_id before MAIL")
        equal(len(set(ids[2:])), 1, "queue_ids of one message")
        equal(s.messages(ALICE)[0].id, ids[2], "queue_id and id")
        equal(len(p.conns), 6, "connections: one for each section")
        rows = s.stats()["handlers"]
        equal([rows["p-" + x]["asked"] for x in STAGES], [1] * 6, "questions that are counted")


@test
def no_client_adds_an_attribute():
    p = Policy()
    with serve(p.section("p", "rcpt")) as s:
        c = s.client()
        c.hello("x")
        c.cmd(b'MAIL FROM:<"a=b action=OK"@client.example>').is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
        equal(p.requests[0]["sender"], '"a=b action=OK"@client.example', "sender")
        c.quit()


ACTIONS = [
    ("OK", 250, "2.1.5"), ("DUNNO", 250, "2.1.5"), ("WARN x", 250, "2.1.5"), ("FILTER smtp:x", 250, "2.1.5"),
    ("REDIRECT a@b.example", 250, "2.1.5"), ("REJECT", 554, "5.7.1"), ("REJECT 5.7.23 no", 554, "5.7.23"),
    ("DEFER", 450, "4.7.1"), ("DEFER_IF_PERMIT Greylisted", 450, "4.7.1"), ("DEFER_IF_REJECT x", 250, "2.1.5"),
    ("550 5.7.23 SPF says no", 550, "5.7.23"), ("451 4.7.24 SPF cannot say", 451, "4.7.24"), ("450 wait", 450, "4.7.1"), ("550 no", 550, "5.7.1"),
    ("nonsense", 451, "4.3.0"), ("", 451, "4.3.0"), ("550", 451, "4.3.0"), ("REJECT a\x01b", 451, "4.3.0"),
]


@test
def actions_become_replies():
    say = []
    p = Policy(lambda r, c: say[0])
    with serve(p.section("p")) as s:
        c = s.client()
        c.hello()
        for action, code, enhanced in ACTIONS:
            say[:] = [action]
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            r = c.cmd("RCPT TO:<%s>" % ALICE)
            check((r.code, r.enhanced) == (code, enhanced), "%s: %s" % (action, r))
            c.cmd("RSET").is_(250)
        c.quit()
        s.says('text="the policy server\'s answer makes no sense: \\"action=nonsense')
        s.says(r'makes no sense: \"action=REJECT a\x01b\"')
        s.says("FILTER is for servers that relay")
        equal(len(p.conns), 4, "connections: a new one after each nonsense")


@test
def a_421_ends_the_session():
    p = Policy(lambda r, c: "421 4.7.1 go away")
    with serve(p.section("p", "mail")) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(421, "4.7.1")
        c.ended()


@test
def a_refusal_at_connect_is_the_greeting():
    p = Policy(lambda r, c: "REJECT 5.7.1 not you")
    with serve(p.section("p", "connect")) as s:
        c = s.client(greet=False)
        c.reply().is_(554)


@test
def deferred_unless_refused():
    """An unknown recipient is refused at once, whatever a greylist says; a known one waits."""
    grey, block = Policy(lambda r, c: "DEFER_IF_PERMIT Greylisted"), Policy(
        lambda r, c: "REJECT no" if r["recipient"].startswith("bob") else "DUNNO")
    with serve(grey.section("grey"), block.section("block")) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(450, "4.7.1")
        c.cmd("RCPT TO:<%s>" % BOB).is_(554, "5.7.1")
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.cmd("RCPT TO:<%s>" % ALICE).is_(450, "4.7.1")
        c.quit()
        equal(len(grey.requests), 3, "questions to the greylist")
        wait_for(lambda: 'by=grey' in s.log(), why="the log does not say who deferred")


@test
def deferred_instead_of_refused():
    first, block = Policy(lambda r, c: "DEFER_IF_REJECT 4.4.3 DNS"), Policy(
        lambda r, c: "REJECT no" if r["recipient"].startswith("bob") else "DUNNO")
    with serve(first.section("first"), block.section("block")) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
        c.cmd("RCPT TO:<%s>" % BOB).is_(450, "4.4.3")
        c.quit()


@test
def deferred_at_the_end_of_data():
    p = Policy(lambda r, c: "DEFER_IF_PERMIT not yet")
    with serve(p.section("p", "end")) as s:
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(450, "4.7.1")
        equal(s.messages(ALICE), [], "messages")
        c.quit()


@test
def prepends_holds_and_discards():
    def answer(r, _):
        to = r["recipient"]
        return "PREPEND X-Grey: seen" if to == ALICE else "HOLD look at it" if to == BOB else "DISCARD"
    p = Policy(answer)
    with serve(p.section("p")) as s:
        c = s.client()
        c.hello()
        c.message([ALICE, ALICE], TEXT).is_(250)
        check(s.messages(ALICE)[0].content.count(b"X-Grey: seen\n") == 1, "not once: %r" % s.messages(ALICE)[0].raw)
        held = os.path.join(s.store_path, "example.org/bob/.Hold/new")
        c.message([BOB], TEXT).is_(250)
        equal(s.messages(BOB), [], "messages in the mailbox itself")
        equal(len(os.listdir(held)), 1, "messages held")
        check(os.path.exists(os.path.join(held, "..", "maildirfolder")), "a folder that is not marked as one")
        c.message(["carol@example.org"], TEXT).is_(250)
        equal(s.messages("carol@example.org"), [], "discarded messages")
        c.quit()


@test
def prepended_as_they_were_said():
    """access(5): the first one stands first; what a filter puts on top later stands above all."""
    first, second = (Policy(lambda r, c, n=n: "PREPEND X-%s: %s" % (n, r["recipient"][0])) for n in ("A", "B"))
    with serve(first.section("first"), second.section("second")) as s:
        c = s.client()
        c.hello()
        c.message([ALICE, BOB], TEXT).is_(250)
        c.quit()
        check(b"\nX-A: a\nX-B: a\nX-A: b\nX-B: b\nSubject: x\n" in s.messages(ALICE)[0].raw, "order: %r" % s.messages(ALICE)[0].raw)


@test
def a_warning_and_a_word():
    say = []
    p = Policy(lambda r, c: say[0])
    with serve(p.section("p")) as s:
        c = s.client()
        c.hello()
        for word in ("WARN", "INFO"):
            say[:] = [word + " look"]
            c.envelope([ALICE])
            c.cmd("RSET").is_(250)
        c.quit()
        equal([(x["level"], x["text"]) for x in s.lines("handler", 2)], [("warn", "look"), ("info", "look")], "log")


@test
def over_a_unix_socket_and_one_connection():
    with Server(start=False, workers=1) as s:
        p = Policy(path=s.path("policy.sock"))
        s.settings["extra"] = p.section("p")
        s.write_config()
        s.start()
        for _ in range(10):
            c = s.client()
            c.hello()
            c.message([ALICE], TEXT).is_(250)
            c.quit()
        equal(len(p.requests), 10, "requests")
        equal(len(p.conns), 1, "connections")
        # The server closes it while it is idle: the next question costs nothing.
        p.conns[0].shutdown(2)
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        equal(len(p.conns), 2, "connections")


@test
def closes_in_the_middle_of_a_question():
    """A connection that worked before, and closes when it is asked: a second one is tried, once."""
    def answer(r, c):
        if len(p.requests) in (2, 4, 5):
            raise RuntimeError
        return "DUNNO"
    p = Policy(answer)
    with serve(p.section("p")) as s:
        c = s.client()
        c.hello()
        c.envelope([ALICE])
        c.cmd("RCPT TO:<%s>" % BOB).is_(250)
        equal(len(p.requests), 3, "requests")
        c.cmd("RCPT TO:<%s>" % BOB).is_(451, "4.3.0")
        equal(len(p.requests), 5, "requests")
        c.cmd("RCPT TO:<%s>" % BOB).is_(250)
        c.quit()


BAD = [
    ("closes at once", lambda r, c: c.close()),
    ("closes in the middle", lambda r, c: (c.sendall(b"action=DUN"), c.close())),
    ("an empty line", lambda r, c: b"\n"),
    ("no action", lambda r, c: b"x=y\n\n"),
    ("two actions", lambda r, c: b"action=OK\naction=OK\n\n"),
    ("another protocol", lambda r, c: b"220 mx.example ESMTP\r\n\r\n"),
    ("a megabyte", lambda r, c: b"action=" + b"x" * 1000000 + b"\n\n"),
    ("NULs", lambda r, c: b"\0" * 5000),
    ("nothing", lambda r, c: None),
    ("half an answer", lambda r, c: b"action=DUNNO\n"),
]


@test
def misbehaviour_is_a_failure_and_no_more():
    how = []
    p = Policy(lambda r, c: how[0](r, c))
    with serve(p.section("p", timeout="1s")) as s:
        for name, bad in BAD:
            how[:] = [bad]
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            r = c.cmd("RCPT TO:<%s>" % ALICE)
            check((r.code, r.enhanced) == (451, "4.3.0"), "%s: %s" % (name, r))
            how[:] = [lambda r, c: "DUNNO"]
            r = c.cmd("RCPT TO:<%s>" % ALICE)
            check(r.code == 250, "after %s: %s" % (name, r))
            c.quit()
        how[:] = [drip(b"x=y\naction=DUNNO\n\n")]
        c = s.client()
        c.hello()
        c.envelope([ALICE])
        c.quit()


@test
def an_answer_too_many_is_nobodys():
    p = Policy(lambda r, c: b"action=DUNNO\n\naction=REJECT\n\n" if len(p.requests) == 1 else "DUNNO")
    with serve(p.section("p")) as s:
        c = s.client()
        c.hello()
        c.envelope([ALICE, BOB])
        c.quit()
        equal(len(p.conns), 2, "connections: the talkative one was closed")


@test
def a_late_answer_is_nobodys():
    """The client leaves while the server thinks; what it says then is not taken for the next client's."""
    go = threading.Event()

    def answer(r, c):
        if r["sender"].startswith("slow"):
            go.wait(3)
            return "REJECT for the slow one"
        return "DUNNO"
    p = Policy(answer)
    # Its reply may have been on the way already: the counters are not compared.
    with serve(p.section("p", timeout="1s"), count=False) as s:
        slow = s.client()
        slow.hello()
        slow.cmd("MAIL FROM:<slow@client.example>").is_(250)
        slow.send(b"RCPT TO:<alice@example.org>\r\n")
        wait_for(lambda: len(p.requests) == 1)
        slow.vanish()
        wait_for(lambda: s.sessions_open() == 0)
        for i in range(5):
            if i == 2:
                go.set()
            c = s.client()
            c.hello()
            c.message([ALICE], TEXT).is_(250)
            c.quit()
        equal(len(s.messages(ALICE)), 5, "messages")


@test
def a_client_that_is_gone_is_not_waited_for():
    """Its reset ends the question at once; one that has closed its half only still hears the answer."""
    go = threading.Event()

    def answer(r, c):
        go.wait(20)
        return "DUNNO"
    p = Policy(answer)
    # What was queued before the reset may not be read: the replies are not compared.
    with serve(p.section("p", timeout="1m"), count=False) as s:
        for n, last in enumerate(("RCPT TO:<alice@example.org>\r\n", "RCPT TO:<alice@example.org>\r\nDATA\r\nQUIT\r\n")):
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            c.send(last.encode())
            wait_for(lambda: len(p.requests) == n + 1)
            c.vanish()
            wait_for(lambda: s.sessions_open() == 0, 5, "it is waited for")
            equal(s.counter("lost_clients"), n + 1, "lost clients")
        equal(s.stats()["handlers"]["p"]["gone"], 2, "questions that were given up")
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.send(b"RCPT TO:<alice@example.org>\r\nQUIT\r\n")
        wait_for(lambda: len(p.requests) == 3)
        c.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        go.set()
        c.reply().is_(250)
        c.reply().is_(221)


@test
def what_a_failure_means_is_in_the_config():
    for on_failure, code, enhanced in (("accept", 250, "2.1.5"), ("tempfail", 451, "4.3.0"), ("reject", 554, "5.3.0")):
        p = Policy()
        p.close()
        with serve(p.section("p", on_failure=on_failure)) as s:
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(code, enhanced)
            c.quit()
            wait_for(lambda: "Connection refused" in s.log(), why="the log does not say why")


@test
def many_wait_and_others_do_not():
    p = Policy(lambda r, c: None)
    port = free_port()
    with serve('policy "p" { socket = "%s" stage = "mail" timeout = "3s" listeners = {"slow"} }\n' % p.name,
               listener='listener "slow" { address = {"127.0.0.1:%d"} }\n' % port +
               'listener "mx" { address = {"127.0.0.1:%d"} }' % (port + 1)) as s:
        waiting = [s.client(("127.0.0.1", port)) for _ in range(200)]
        for c in waiting:
            c.hello()
        for c in waiting:
            c.send(b"MAIL FROM:<a@client.example>\r\n")
        wait_for(lambda: len(p.requests) >= 64)
        began = time.monotonic()
        c = s.client(("127.0.0.1", port + 1))
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        check(time.monotonic() - began < 2.5, "others waited")
        for c in waiting:
            c.reply().is_(451, "4.3.0")
        check(len(p.conns) <= 64 * 4, "%d connections" % len(p.conns))


if __name__ == "__main__":
    main()
