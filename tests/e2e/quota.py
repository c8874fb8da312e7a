#!/usr/bin/env -S python3 -B
"""quota: a mailbox never holds more than its quota, however many workers deliver to it at once."""
import fcntl
import os
import random
import shutil
import signal
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, test
from server import Server, free_port

ALICE, BOB = "alice@example.org", "bob@example.org"
BOXES = "alice@example.org\nbob@example.org quota=64KiB\nboth@example.org alias=alice@example.org,bob@example.org\n"
BODY = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 600     # some 10 KiB


def used(s, address):
    """What stands in the mailbox, and what its maildirsize says: (octets, messages) twice."""
    local, _, domain = address.partition("@")
    home = os.path.join(s.store_path, domain, local)
    files = [os.path.getsize(m.path) for m in s.messages(address)]
    with open(os.path.join(home, "maildirsize")) as f:
        lines = f.read().split("\n")[1:-1]
    says = [sum(int(x.split()[i]) for x in lines) for i in (0, 1)]
    return (sum(files), len(files)), tuple(says)


def fill(s, stop_at, port=None, tries=40):
    c = s.client(("127.0.0.1", port or s.port))
    c.hello()
    codes = []
    for _ in range(tries):
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        r = c.cmd("RCPT TO:<%s>" % BOB)
        if r.code == 250:
            r = c.data(BODY)
        codes.append((r.code, r.enhanced))
        if r.code == stop_at:
            break
        if r.code != 250:
            c.cmd("RSET").is_(250)
    c.quit()
    return codes


@test
def full_is_452_or_552():
    for when_full, code, enhanced in (("defer", 452, "4.2.2"), ("reject", 552, "5.2.2")):
        with Server(BOXES, extra='quota { when_full = "%s" }' % when_full) as s:
            codes = fill(s, code)
            equal(codes[-1], (code, enhanced), "at the end of data")
            equal(len(codes), 7, "messages that fit, and one")
            stands, says = used(s, BOB)
            equal(says, stands, "maildirsize")
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example> SIZE=20000").is_(250)
            c.cmd("RCPT TO:<%s>" % BOB).is_(code, enhanced)         # announced: at once
            c.cmd("RCPT TO:<%s>" % ALICE).is_(250)                  # no quota
            c.cmd("RCPT TO:<both@example.org>").is_(code, enhanced)
            c.cmd("RSET").is_(250)
            c.message(BOB, b"Subject: small\r\n\r\nx\r\n").is_(250)
            c.message(ALICE, BODY).is_(250)
            check(not os.path.exists(os.path.join(s.store_path, "example.org/alice/maildirsize")), "alice pays for it")
            c.quit()
            equal(sum(x["count"] for x in s.stats()["reasons"] if x["reason"] == "over-quota"), 3, "counted")


@test
def without_a_section_it_is_enforced():
    with Server(BOXES) as s:
        equal(fill(s, 452)[-1], (452, "4.2.2"), "the last reply")


@test
def where_it_is_not_to_be_nothing_is_enforced():
    with Server(BOXES, extra="quota { enforce = no }") as s:
        codes = fill(s, 452, tries=9)
        equal(codes, [(250, "2.0.0")] * 9, "replies")


@test
def no_link_is_followed():
    """As the store follows none: what a link leads to is not asked, be it a domain or a mailbox."""
    for name in "example.org", "example.org/bob":
        with Server(BOXES, extra="quota { }") as s:
            fill(s, 452)
            path = os.path.join(s.store_path, name)
            os.rename(path, path + ".away")
            os.symlink(os.path.basename(path) + ".away", path)
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example> SIZE=20000").is_(250)
            c.cmd("RCPT TO:<%s>" % BOB).is_(250)
            c.quit()


@test
def lmtp_fails_for_the_full_one_alone():
    port = free_port()
    with Server(BOXES, extra='quota { when_full = "defer" }',
                listener='listener "l" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % port) as s:
        s.port = port
        c = s.client()
        c.cmd("LHLO x").is_(250)
        for i in range(7):
            c.envelope([ALICE, BOB])
            c.data(BODY).is_(250)
            c.reply().is_(250 if i < 6 else 452)
        c.quit()
        equal(len(s.messages(ALICE)), 7, "alice's messages")
        stands, says = used(s, BOB)
        equal(says, stands, "maildirsize")


@test
def refused_for_another_it_takes_no_room():
    with Server(BOXES + "tiny@example.org quota=1KiB\n", extra='quota { when_full = "defer" }') as s:
        c = s.client()
        c.hello()
        c.message(BOB, b"Subject: x\r\n\r\nx\r\n").is_(250)
        c.message([BOB, "tiny@example.org"], BODY).is_(452, "4.2.2")
        c.quit()
        stands, says = used(s, BOB)
        equal(says, stands, "maildirsize")


@test
def deleted_mail_makes_room_when_the_count_is_old():
    with Server(BOXES, extra='quota { when_full = "defer" }') as s:
        fill(s, 452)
        home = os.path.join(s.store_path, "example.org/bob")
        shutil.rmtree(os.path.join(home, "new"))
        os.mkdir(os.path.join(home, "new"))
        if os.geteuid() == 0:
            shutil.chown(os.path.join(home, "new"), "nobody", "nogroup")
        equal(fill(s, 452, tries=1)[0][0], 452, "at once")
        old = time.time() - 1000
        os.utime(os.path.join(home, "maildirsize"), (old, old))
        equal(fill(s, 452, tries=1)[0][0], 250, "counted anew")
        stands, says = used(s, BOB)
        equal(says, stands, "maildirsize")


@test
def a_mailbox_that_is_kept_locked_holds_nobody_else_up():
    with Server(BOXES, extra='quota { when_full = "defer" }', workers=1) as s:
        def send(to, codes):
            c = s.client()
            c.hello()
            codes.append(c.message(to, b"Subject: x\r\n\r\nx\r\n").code)
            c.quit()
        ready = []
        send(BOB, ready)
        send(ALICE, ready)
        equal(ready, [250] * 2, "before")
        home = os.open(os.path.join(s.store_path, "example.org/bob"), os.O_RDONLY)
        fcntl.flock(home, fcntl.LOCK_EX)        # as a program that was stopped while it counts
        for_bob, for_alice = [], []
        threads = [threading.Thread(target=send, args=(BOB, for_bob)) for _ in range(6)]
        for t in threads:
            t.start()
        time.sleep(0.2)
        began = time.monotonic()
        send(ALICE, for_alice)
        took = time.monotonic() - began
        for t in threads:
            t.join()
        equal((for_alice, for_bob), ([250], [451] * 6), "replies")
        check(took < 4, "alice's took %.1f s" % took)
        os.close(home)
        stands, says = used(s, BOB)
        equal(says, stands, "maildirsize")


@test
def messages_are_counted_too():
    for when_full, code, enhanced in (("defer", 452, "4.2.2"), ("reject", 552, "5.2.2")):
        with Server(BOXES.replace("64KiB", "64KiB quota-messages=3"), extra='quota { when_full = "%s" }' % when_full) as s:
            equal(fill(s, code), [(250, "2.0.0")] * 3 + [(code, enhanced)], "messages that fit, and one")
            home = os.path.join(s.store_path, "example.org/bob")
            with open(os.path.join(home, "maildirsize")) as f:
                equal(f.readline(), "65536S,3C\n", "its first line")
            stands, says = used(s, BOB)
            equal(says, stands, "maildirsize")
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            c.cmd("RCPT TO:<%s>" % BOB).is_(code, enhanced)         # at once: one more is one too many
            c.quit()
            tool = os.path.join(BIN, "letterplate-mailboxes")
            equal(subprocess.run([tool, "quota", home], capture_output=True, text=True).stdout,
                  "%d octets, 3 messages; limit 65536 octets, 3 messages\n" % stands[0], "quota")
            with open(os.path.join(home, "maildirsize"), "a") as f:
                f.write("5 -2\n")                                  # another program's mistake
            equal(subprocess.run([tool, "quota", "--recalculate", home], capture_output=True, text=True).stdout,
                  "%d octets, 3 messages; limit 65536 octets, 3 messages\n" % stands[0], "quota --recalculate")
            equal(fill(s, code, tries=1), [(code, enhanced)], "after the repair")
            equal(sum(x["count"] for x in s.stats()["reasons"] if x["reason"] == "over-quota"), 3, "counted")


def many_workers(quota, meanwhile=None):
    """
    (octets, messages) that stand in the mailbox after sixteen clients filled it over eight workers, who find no maildirsize.
    meanwhile(server, its mailbox's folder) is called again and again while they do.
    """
    with Server(BOXES.replace("quota=64KiB", quota), extra='quota { when_full = "defer" }') as s:
        s.term()
        s.settings["workers"] = 8
        s.write_config()
        s.start()
        s.count = False                         # two starts
        codes, lock, over = [], threading.Lock(), threading.Event()

        def client():
            mine = fill(s, 452, tries=60)
            with lock:
                codes.extend(mine)

        def others():
            while not over.is_set():
                meanwhile(s, os.path.join(s.store_path, "example.org/bob"))
        threads = [threading.Thread(target=client) for _ in range(16)]
        if meanwhile is not None:
            other = threading.Thread(target=others)
            other.start()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if meanwhile is not None:
            over.set()
            other.join()
        c = s.client()                          # whoever finds no file, or an old one, counts anew
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % BOB)
        c.quit()
        (octets, n), says = used(s, BOB)
        equal({c[0] for c in codes}, {250, 452}, "replies")
        equal(n, sum(1 for c in codes if c[0] == 250), "stored and acknowledged")
        equal(says, (octets, n), "maildirsize")
        return octets, n


@test
def many_workers_never_pass_it():
    octets, _ = many_workers("quota=1MiB")
    check(octets <= 1 << 20, "%d octets are over the quota" % octets)
    check(octets > (1 << 20) - 17 * 11000, "%d octets: refused too early" % octets)


@test
def many_workers_never_pass_the_number_of_messages():
    _, n = many_workers("quota-messages=60")
    check(60 - 17 < n <= 60, "%d messages" % n)


def count_anew(s, home):
    subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "quota", "--recalculate", home], capture_output=True)
    time.sleep(0.002)


def remove_the_file(s, home):
    try:
        os.unlink(os.path.join(home, "maildirsize"))
    except FileNotFoundError:
        pass
    time.sleep(0.002)


@test
def counted_anew_all_the_while_they_never_pass_it():
    for meanwhile in (count_anew, remove_the_file):
        _, n = many_workers("quota-messages=60", meanwhile)
        check(60 - 17 < n <= 60, "%d messages, %s" % (n, meanwhile.__name__))


def count_says(home):
    return subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "quota", "--recalculate", home],
                          capture_output=True, text=True).stdout


@test
def killed_workers_hold_nobody():
    """Whatever a worker was at: the others deliver and count at once, and it is never passed; what it left counted too much is repaired."""
    with Server(BOXES.replace("quota=64KiB", "quota-messages=60"), extra='quota { when_full = "defer" }', workers=4) as s:
        s.count, s.may_die, s.may_leave_tmp = False, True, True
        home, over = os.path.join(s.store_path, "example.org/bob"), threading.Event()

        def client():
            while not over.is_set():
                try:
                    with smtplib.SMTP("127.0.0.1", s.port, timeout=10) as c:
                        for _ in range(20):
                            c.sendmail("a@client.example", BOB, BODY)
                except (OSError, smtplib.SMTPException):
                    time.sleep(0.01)
        threads = [threading.Thread(target=client) for _ in range(12)]
        for t in threads:
            t.start()
        for _ in range(8):
            time.sleep(0.15)
            remove_the_file(s, home)
            os.kill(random.choice(s.workers()), signal.SIGKILL)
            check(len(s.messages(BOB)) <= 60, "%d messages" % len(s.messages(BOB)))
            check(count_says(home) != "", "a dead one keeps it locked")
            for m in s.messages(BOB)[:30]:      # its owner makes room, by a program that does not count
                os.unlink(m.path)
        over.set()
        for t in threads:
            t.join()
        n = len(s.messages(BOB))
        check(0 < n <= 60, "%d messages" % n)
        check(" %d messages; limit 60 messages\n" % n in count_says(home), count_says(home))


if __name__ == "__main__":
    main()
