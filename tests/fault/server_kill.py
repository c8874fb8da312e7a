#!/usr/bin/env -S python3 -B
# check: timeout=180
"""server_kill: kill -9 of workers, and of the master, under load: nothing that was acknowledged is lost or torn.

TRUST D2 and D3.  Short here; ROUNDS=1000 kills that many workers and a tenth
as many masters.
"""
import asyncio
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ledger
from harness import check, equal, main, test
from server import Server, stat_fields, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "10"))
LIST = "".join("u%d@example.org\n" % i for i in range(20))


def rcpts(n):
    """One recipient, and now and then three."""
    return ["u%d@example.org" % ((n + k) % 20) for k in range(3 if n % 5 == 0 else 1)]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def reckon(s, book, name):
    """The audit, and that stats and clients agree but for what was on its way at a kill."""
    unknown = ledger.audit(book, s.store_path)
    print("# %s: %s, %d of the unknown ones stored" % (name, book.summary(), unknown))
    equal(book.no_connection, [], "connections refused")
    equal(book.strange, [], "strange replies")
    check(book.count(ledger.ACKED) > ROUNDS, "hardly anything was acknowledged")


@test
def workers_are_killed_under_load():
    with Server(mailboxes=LIST, workers=3, limits="connections_per_ip = 0") as s:
        s.count, s.may_die, s.may_leave_tmp = False, True, True
        book, kills, back = ledger.Ledger(s.path("ledger")), [], []
        until = lambda: len(kills) >= ROUNDS

        async def killer():
            while not until():
                await asyncio.sleep(random.uniform(0.05, 0.5))
                pids = s.workers()
                if not pids:
                    continue
                victim, n = random.choice(pids), len(pids)
                kill(victim)
                kills.append(victim)
                began = time.monotonic()
                while len([p for p in s.workers() if p != victim]) < n:
                    await asyncio.sleep(0.005)
                    check(time.monotonic() - began < 15, "no new worker within 15 s")
                back.append(time.monotonic() - began)

        # Kills would make the master hold back; that is for workers that die by themselves at once.
        asyncio.run(ledger.run(book, ("127.0.0.1", s.port), 24, until, rcpts=rcpts, beside=killer()))
        reckon(s, book, "%d workers killed" % len(kills))
        back.sort()
        print("# a new worker was there after %.0f ms (median), %.0f ms (worst)"
              % (back[len(back) // 2] * 1000, back[-1] * 1000))
        st = s.stats()
        equal(s.counter("workers_died"), len(kills), "workers_died")
        # A reply may be counted and not have left, or have left just before the count: one a session in a worker at its death.
        for code, n in book.seen.items():
            have = s.replies()[code]
            check(abs(have - n) <= 24 * len(kills), "replies of %d: %d counted, %d seen" % (code, have, n))
        acked = book.count(ledger.ACKED)
        check(acked - 24 * len(kills) <= st["messages"] <= acked + 24 * len(kills),
              "messages: %d counted, %d acknowledged" % (st["messages"], acked))


@test
def the_master_is_killed_under_load():
    with Server(mailboxes=LIST, workers=2, limits="connections_per_ip = 0", timeouts='drain = "3s"') as s:
        s.count, s.may_die, s.may_leave_tmp = False, True, True
        book, down, rounds = ledger.Ledger(s.path("ledger")), [False], [0]
        total = max(3, ROUNDS // 10)
        until = lambda: rounds[0] >= total

        async def killer():
            while not until():
                await asyncio.sleep(random.uniform(0.5, 1.0))
                down[0] = True
                pids = s.workers()
                master = s.pid
                kill(master)
                s.child.wait()
                began = time.monotonic()
                while any(alive(p, master) for p in pids):
                    await asyncio.sleep(0.02)
                    check(time.monotonic() - began < 8, "workers outlive their master: %s" % pids)
                s.deafen()
                s.start(wait=False)
                while not any("READY=1" in n for n in s.notes):
                    await asyncio.sleep(0.02)
                    check(s.child.poll() is None, "no start after a killed master: %s" % s.log()[-500:])
                    check(time.monotonic() - began < 40, "no READY after a killed master")
                down[0] = False
                rounds[0] += 1

        asyncio.run(ledger.run(book, ("127.0.0.1", s.port), 16, until, rcpts=rcpts,
                               may_refuse=lambda: down[0], beside=killer()))
        reckon(s, book, "%d masters killed" % rounds[0])


def alive(pid, master):
    f = stat_fields(pid)
    return f is not None and f[0] not in "ZX" and f[2] == master


@test
def what_a_killed_worker_left_in_tmp_goes():
    """tmp/ is swept, new/ is not touched, when a server starts."""
    with Server(mailboxes=LIST) as s:
        s.may_die = True
        s.count = False
        c = s.client()
        c.hello()
        c.envelope("u1@example.org")
        c.data(b"Subject: kept\r\n\r\n").is_(250)
        c.envelope("u1@example.org")
        c.cmd("DATA").is_(354)
        c.send(b"Subject: lost\r\n\r\n" + b"x" * 70 + b"\r\n" + b"y\r\n" * 100000)
        wait_for(s.maildirs_tmp, 5, "nothing in tmp/ while a long message comes in")
        for pid in s.workers():
            kill(pid)
        c.rest()
        c.close()
        wait_for(lambda: len(s.workers()) == 2, 10, "no new workers")
        for name in s.maildirs_tmp():           # the sweep takes those that are old enough
            os.utime(name, (time.time() - 40 * 3600,) * 2)
        s.term()
        s.start()
        c = s.client()
        c.hello()
        c.envelope("u1@example.org")
        c.data(b"Subject: after\r\n\r\n").is_(250)
        c.quit()
        wait_for(lambda: not s.maildirs_tmp(), 10, lambda: "left in tmp/: %s" % s.maildirs_tmp())
        equal(sorted(m.content for m in s.messages("u1@example.org")),
              [b"Subject: after\n\n", b"Subject: kept\n\n"], "messages")


main()
