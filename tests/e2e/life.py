#!/usr/bin/env -S python3 -B
"""life: start, reload, a new directory, drain, stop, and what goes wrong at each."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import stuff
from harness import BIN, check, equal, main, test
from server import Server, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def letterplate(*args):
    return subprocess.run([os.path.join(BIN, "letterplate"), *args], capture_output=True, text=True, timeout=30)


@test
def one_line_and_a_status_when_it_cannot_start():
    with Server() as s:
        conf = s.path("other.conf")

        def status(text, *more):
            with open(conf, "w") as f:
                f.write(text)
            r = letterplate(*more, "-c", conf)
            check(r.returncode != 0 and "Sanitizer" not in r.stderr, "%d: %s" % (r.returncode, r.stderr))
            check(1 <= len(r.stderr.strip().splitlines()) <= 2, "not one line: %s" % r.stderr)
            return r.returncode, r.stderr

        good = s.config()
        equal(letterplate("-t", "-c", s.path("letterplate.conf")).returncode, 0, "-t with a good config")
        code, text = status(good.replace(s.path("state"), s.path("state2")).replace(
            "state2", "state2", 1))
        check("state2" in text, "no folder named: " + text)
        os.mkdir(s.path("state2"))
        code, text = status(good.replace(s.path("state"), s.path("state2")))
        check(str(s.port) in text and code in (69, 71, 75, 77), "port taken: %d: %s" % (code, text))
        code, text = status(good + "colour = 3\n")
        equal(code, 78, "status for an unknown key")
        check("other.conf:" in text and "colour" in text, text)
        code, text = status(good.replace(s.store_path, s.path("nowhere")), "-t")
        check("nowhere" in text, "no folder named: " + text)
        if os.geteuid() == 0:
            code, text = status(good.replace('"nobody"', '"no-such-user"'), "-t")
            equal(code, 78, "status for an unknown user")
            check("no-such-user" in text, text)
        check(letterplate("-c", s.path("missing.conf")).returncode in (66, 78), "missing config")
        equal(letterplate("-x").returncode, 64, "unknown flag")
        check(letterplate("-V").stdout.strip() and letterplate("-h").stdout.strip(), "-V or -h say nothing")


@test
def a_new_directory_is_taken_within_a_second():
    with Server() as s:
        c, other = s.client(), s.client()
        for x in (c, other):
            x.hello()
            x.cmd("MAIL FROM:<a@b.example>").is_(250)
            x.cmd("RCPT TO:<dave@example.org>").is_(550, "5.1.1")
        s.mailboxes("add", "dave@example.org")
        time.sleep(1.2)
        for x in (c, other):
            x.cmd("RCPT TO:<dave@example.org>").is_(250, "2.1.5")
            x.cmd("RSET").is_(250)
        s.mailboxes("remove", "dave@example.org")
        time.sleep(1.2)
        for x in (c, other):
            x.cmd("MAIL FROM:<a@b.example>").is_(250)
            x.cmd("RCPT TO:<dave@example.org>").is_(550, "5.1.1")
        s.mailboxes("rollback")
        time.sleep(1.2)
        for x in (c, other):
            x.cmd("RCPT TO:<dave@example.org>").is_(250, "2.1.5")
            x.quit()


@test
def a_transaction_outlives_a_new_directory():
    with Server() as s:
        c = s.client()
        c.hello()
        c.envelope(ALICE)
        s.load("bob@example.org\n")
        time.sleep(1.2)
        c.data(TEXT).is_(250)
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(550, "5.1.1")
        c.quit()
        equal(len(s.messages(ALICE)), 1, "messages")


@test
def hup_takes_a_new_config_and_keeps_sessions():
    with Server() as s:
        old = s.client()
        old.hello()
        old.envelope(ALICE)
        before = s.workers()
        s.settings["message_size_limit"] = "50KiB"
        s.settings["hostname"] = "new.test.example"
        s.write_config()
        s.reload()
        new = s.client()
        check("new.test.example" in new.greeting.text, "greeting is %s" % new.greeting)
        check("SIZE 51200" in new.hello().lines, "SIZE is not the new one")
        old.data(TEXT).is_(250)         # the old session ends in its own time
        new.message(ALICE, TEXT).is_(250)
        new.quit()
        check(any("RELOADING=1" in n for n in s.notes), "no RELOADING=1: %s" % s.notes)
        old.quit()
        wait_for(lambda: not set(before) & set(s.workers()), 20, "old workers stay")
        equal(len(s.workers()), 2, "workers")
        equal(s.counter("reloads"), 1, "reloads counted")


@test
def hup_with_a_bad_config_keeps_the_old_one():
    with Server() as s:
        before = s.workers()
        s.write_config(s.config() + "colour = 3\n")
        s.signal(signal.SIGHUP)
        wait_for(lambda: "colour" in s.log(), why="the mistake is not logged")
        time.sleep(0.3)
        equal(s.workers(), before, "workers")
        c = s.client()
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        equal(s.counter("reloads_failed"), 1, "reloads_failed counted")


@test
def hup_moves_a_listener():
    from server import free_port
    with Server() as s:
        kept, port = s.client(), free_port()
        s.listener = 'listener "mx" { address = {"127.0.0.1:%d"} }' % port
        s.write_config()
        s.reload()
        c = s.client(("127.0.0.1", port))
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        kept.quit()
        wait_for(lambda: refused(s.port), 15, "the old port still listens")


def refused(port):
    with socket.socket() as k:
        return k.connect_ex(("127.0.0.1", port)) != 0


@test
def term_lets_data_finish_and_tells_the_idle():
    with Server(timeouts='drain = "10s"') as s:
        busy, idle, envelope = s.client(), s.client(), s.client()
        for c in (busy, idle, envelope):
            c.hello()
        envelope.envelope(ALICE)
        busy.envelope(ALICE)
        busy.cmd("DATA").is_(354)
        busy.send(b"Subject: half\r\n\r\nfirst")
        time.sleep(0.2)
        s.signal(signal.SIGTERM)
        began = time.monotonic()
        idle.reply().is_(421, "4.3.2")
        idle.ended()
        check(time.monotonic() - began < 2, "421 after %.1f s" % (time.monotonic() - began))
        time.sleep(0.5)
        check(refused(s.port), "the port still listens while draining")
        busy.send(b" second\r\n.\r\n")
        busy.reply().is_(250, "2.0.0")
        equal(s.maildir(ALICE).one().content, b"Subject: half\n\nfirst second\n", "content")
        replies = busy.rest()
        equal([(r.code, r.enhanced) for r in replies], [(421, "4.3.2")], "after the message")
        check(any("STOPPING=1" in n for n in s.notes), "no STOPPING=1: %s" % s.notes)


@test
def drain_has_an_end():
    with Server(timeouts='drain = "2s"') as s:
        c = s.client()
        c.hello()
        c.envelope(ALICE)
        c.cmd("DATA").is_(354)
        c.send(b"Subject: never ends\r\n")
        began = time.monotonic()
        s.term()
        took = time.monotonic() - began
        check(1.5 < took < 6, "stopped after %.1f s" % took)
        equal(s.status, 0, "status")
        s.stop()
        equal(s.messages(ALICE), [], "messages")


@test
def int_stops_it_too():
    with Server() as s:
        s.signal(signal.SIGINT)
        equal(s.child.wait(20), 0, "status after INT")


@test
def it_starts_again_at_once():
    with Server() as s:
        for n in range(3):
            c = s.client()
            c.hello()
            c.message(ALICE, TEXT).is_(250)
            c.quit()
            equal(s.term(), 0, "status")
            s.seen.clear()
            s.start()
        equal(len(s.messages(ALICE)), 3, "messages")


@test
def stats_can_be_read_while_it_hangs_and_when_it_is_down():
    with Server() as s:
        c = s.client()
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        for pid in s.processes():
            os.kill(pid, signal.SIGSTOP)
        try:
            equal(s.stats()["messages"], 1, "messages while it hangs")
        finally:
            for pid in s.processes():
                os.kill(pid, signal.SIGCONT)
        c.quit()
        s.stop()
        equal(s.stats()["messages"], 1, "messages when it is down")


@test
def a_message_at_the_moment_of_term_is_not_lost():
    with Server() as s:
        acked = 0
        clients = [s.client() for _ in range(20)]
        for c in clients:
            c.hello()
            c.envelope(ALICE)
            c.cmd("DATA").is_(354)
        for c in clients:
            c.send(stuff(TEXT))
        s.signal(signal.SIGTERM)
        for c in clients:
            for r in c.rest():
                acked += r.code == 250
            c.close()
        equal(acked, len(s.messages(ALICE)), "messages acknowledged and stored")
        equal(acked, 20, "acknowledged")


@test
def a_worker_of_another_user_that_hangs_is_killed():
    # The master is root without CAP_KILL, and the worker is another user by then.
    with Server(timeouts='drain = "1s"') as s:
        s.count, s.may_die = False, True
        hung = s.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        try:
            s.child.send_signal(signal.SIGTERM)
            s.child.wait(40)
        finally:
            try:
                os.kill(hung, signal.SIGCONT)
            except ProcessLookupError:
                pass
        s.says("event=worker-killed")


main()
