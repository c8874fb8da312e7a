#!/usr/bin/env -S python3 -B
# check: timeout=200
"""dsn_powercut: cut the power under the spool of reports: each 250 to a message that asks for one has its report.

As docs/DURABILITY.md has it: none is lost, none tells of a message that is not there, and of one cut at most two are
told twice, the one that the relay was taking and the one that was put into a mailbox here.  Half of the
rounds cut right after a 250, half at a random instant; the relay is quick, slow, or away until the power is back.  ROUNDS=N for more.
"""
import collections
import os
import random
import re
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed
from disk import Disk
from dsnserver import DsnServer
from harness import check, main, test
from server import MAILBOXES, free_port, wait_for
from sink import Sink

ROUNDS = int(os.environ.get("ROUNDS", "4"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
SENDERS = 6
HERE, BOX = "bob@example.org", "alice@example.org"


class Load:
    """Clients that deliver until the power is cut: ACKED has the ids, which are the envelopes' too, of what got its 250."""

    def __init__(self, server, disk, name, cut_at):
        self.server, self.disk, self.name, self.cut_at = server, disk, name, cut_at
        self.acked, self.asked, self.lock, self.off = [], set(), threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(SENDERS)]

    def cut(self):
        if not self.off.is_set():
            self.off.set()
            self.disk.cut()

    def run(self, i):
        n = 0
        try:
            while not self.off.is_set():
                n += 1
                self.one("%s-%d-%d" % (self.name, i, n), HERE if n % 4 == 0 else "s%d@client.example" % i)
        except (OSError, Closed):
            pass

    def one(self, id, sender):
        self.asked.add(id)
        r = self.server.ask(sender=sender, mail="ENVID=" + id, text=b"Subject: %s\r\n\r\nx\r\n" % id.encode())
        with self.lock:
            # What is said while the power goes was heard by nobody.
            if r.code == 250 and not self.off.is_set():
                self.acked.append(id)
                if len(self.acked) == self.cut_at:
                    self.cut()

    def until_cut(self, after_s):
        for t in self.threads:
            t.start()
        if after_s:
            time.sleep(after_s)
            with self.lock:
                self.cut()
        for t in self.threads:
            t.join(60)
        check(self.off.is_set(), "the power stayed on: %d acknowledged" % len(self.acked))


def told(texts, name):
    ids = [re.search(rb"^Original-Envelope-Id: (\S+)", x, re.M).group(1).decode() for x in texts]
    return collections.Counter(x for x in ids if x.startswith(name))


def one_round(disk, n, rng):
    name, relay_is, no_journal = "r%d" % n, rng.choice(("quick", "slow", "away")), rng.random() < 0.5
    cut_at, after_s = (rng.randint(1, 60), 0) if n % 2 == 0 else (0, rng.uniform(0.05, 1))
    what = "%s, round %d of SEED=%d (relay %s, journal %s)" % (disk.kind, n, SEED, relay_is, "off" if no_journal else "on")
    disk.mount()
    path, port = os.path.join(disk.path, name), free_port()
    os.mkdir(path)
    os.sync()               # the store's own folder is the administrator's
    slow = relay_is == "slow"
    relay = None if relay_is == "away" else Sink(port, mode=lambda verb, k: time.sleep(0.02) if slow and verb == "END" else None)
    s = DsnServer("127.0.0.1:%d" % port, no_journal=no_journal, mailboxes=MAILBOXES, store=path, count=False)
    s.may_die = s.may_leave_tmp = True
    load = Load(s, disk, name, cut_at)
    load.until_cut(after_s)
    s.kill()
    disk.umount()
    disk.mount()
    relay = relay or Sink(port)
    relay.mode = lambda verb, k: None
    s.start()
    def lost():
        both = told([m.text for m in list(relay.mails)], name) + told([m.raw for m in s.messages(HERE)], name)
        return [x for x in load.acked if x not in both]
    wait_for(lambda: not lost() and not s.waiting(), 60,
             lambda: "%s: %d of %d have no report: %s" % (what, len(lost()), len(load.acked), lost()[:5]))
    s.stop()
    away = told([m.text for m in relay.mails], name)
    here = told([m.raw for m in s.messages(HERE)], name)
    stand = {m.content.split(b"\n", 1)[0].decode()[9:] for m in s.messages(BOX)}
    relay.close()
    both = away + here
    check(not set(both) - stand, "%s: told of what is not there: %s" % (what, sorted(set(both) - stand)[:5]))
    check(not set(load.acked) - stand, "%s: acknowledged and not there: %s" % (what, sorted(set(load.acked) - stand)[:5]))
    twice = [sum(x.values()) - len(x) for x in (away, here)]
    check(max(twice) <= 1, "%s: told again: %d by the relay, %d here" % (what, *twice))
    shutil.rmtree(s.root)
    shutil.rmtree(path)
    disk.umount()
    return len(load.acked), sum(twice)


def rounds(kind):
    disk, rng = Disk(kind), random.Random(SEED)
    done = [one_round(disk, n, rng) for n in range(ROUNDS)]
    acked, twice = (sum(x) for x in zip(*done))
    print("# %s: %d rounds, SEED=%d: %d acknowledged, 0 reports lost, %d sent twice" % (kind, ROUNDS, SEED, acked, twice))
    check(acked > 0, "nothing was acknowledged in any round")


@test
def ext4():
    rounds("ext4")


@test
def xfs():
    rounds("xfs")


main()
