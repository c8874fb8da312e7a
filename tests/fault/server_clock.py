#!/usr/bin/env -S python3 -B
# check: timeout=240
"""server_clock: the wall clock jumps by a day and more, both ways, while the server runs (TRUST O6): names stay unique,
deadlines stay where they were, no worker is taken for hung, and nothing of anybody is swept away before its time.

All programs of the server run below clockshift.so; the clock of the machine, and so that of the file system, is not touched.
"""
import calendar
import os
import re
import shutil
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from dsnserver import DsnServer
from harness import Skip, check, equal, main, sanitized, test
from maildir import NAME
from server import Server, wait_for
from sink import Sink
from store import obj

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
DAY = 86400
JUMPS = (DAY, -DAY, 0, 3 * DAY, -400 * DAY, 0)


class Shifted(Server):
    """Its clock is what set() says beside the machine's."""

    def __init__(self, **settings):
        if sanitized():
            raise Skip("the library would come before the sanitizer's")
        super().__init__(own_bin=True, start=False, **settings)
        self.shift = os.path.join(self.bin, "clock")
        with open(self.shift, "wb") as f:
            f.write(struct.pack("@q", 0))
        os.chmod(self.bin, 0o755)
        os.chmod(self.shift, 0o644)
        self.shim = os.path.join(self.bin, "letterplate.so")
        shutil.copy(obj("clockshift.so"), self.shim)
        # The master gives those that it starts no environment.
        for name in ("letterplate-worker", "letterplate-reports", "letterplate-auth", "letterplate-keys"):
            program = os.path.join(self.bin, name)
            os.rename(program, program + ".real")
            shutil.copy(os.path.join(os.path.dirname(obj("clockshift.so")), "../load/preload"), program)
            shutil.copy(self.shim, program + ".so")
        self.start(through=["env", "LD_PRELOAD=" + self.shim])

    def set(self, seconds):
        with open(self.shift, "r+b") as f:
            f.write(struct.pack("@q", seconds))

    def log_clock(self):
        """The time of the newest line, by the server's clock, against ours."""
        last = re.findall(r"time=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", self.log())[-1]
        return calendar.timegm(time.strptime(last, "%Y-%m-%dT%H:%M:%S")) - time.time()


def new_names(s, address):
    folder = s.maildir(address).path + "/new"
    return os.listdir(folder) if os.path.isdir(folder) else []


@test
def names_are_unique_and_nobody_is_replaced():
    with Shifted(workers=2, limits="rate_per_ip = 0") as s:
        pids = sorted(s.workers())
        stayed = s.client()
        stayed.hello()
        ids, sessions, n = [], [], 0
        for shift in JUMPS:
            s.set(shift)
            time.sleep(1.5)     # the master looks at the beats once a second
            for _ in range(10):
                c = s.client()
                sessions.append(c.cmd("NONSENSE").session)
                c.hello()
                ids.append(c.message(ALICE, TEXT).is_(250, "2.0.0").queued)
                c.quit()
                ids.append(stayed.message(ALICE, TEXT).is_(250, "2.0.0").queued)
                n += 2
            wait_for(lambda: abs(s.log_clock() - shift) < 3600, why=lambda: "the log's clock is %d s off" % s.log_clock())
        stayed.quit()
        check(all(ids) and all(sessions), "an id is missing")
        equal(len(set(ids)), n, "messages with an id of their own")
        equal(len(set(sessions)), n // 2, "sessions with an id of their own")
        equal(len(set(ids) & set(sessions)), 0, "messages that are called as a session")
        names = new_names(s, ALICE)
        check(all(NAME.fullmatch(x) for x in names), names)
        equal(len(names), n, "files")
        # Without the size, and without the second: process, slot and count are unique by themselves.
        equal(len({re.search(r"P\d+Q\d+_\d+", x)[0] for x in names}), n, "files with a name of their own")
        equal(sorted(s.workers()), pids, "workers after all jumps")
        equal(s.counter("workers_died"), 0, "workers that died")


@test
def deadlines_stay_where_they_were():
    with Shifted(workers=1, timeouts='command = "4s" data = "60s" drain = "5s"') as s:
        for shift in JUMPS:
            early, late = s.client(), s.client()
            early.hello()
            late.hello()
            began = time.monotonic()
            s.set(shift)
            time.sleep(1)
            early.cmd("NOOP").is_(250)
            early.envelope(ALICE)
            early.cmd("DATA").is_(354)
            early.send(b"Subject: half\r\n\r\n")
            # Who keeps still is let go when it is time, whatever the clock says.
            late.reply().is_(421)
            took = time.monotonic() - began
            check(3.5 < took < 12, "a deadline of 4 s came after %.1f s" % took)
            early.send(b"whole\r\n.\r\n")
            early.reply().is_(250, "2.0.0")
            early.quit()


@test
def limits_of_a_minute_are_a_minute():
    with Shifted(workers=1, limits="rate_per_ip = 5") as s:
        began = time.monotonic()
        for _ in range(5):
            c = s.client()
            equal(c.greeting.code, 220, "a greeting")
            c.hello()
            c.quit()
        for shift in JUMPS:
            s.set(shift)
            c = s.client()
            check(c.greeting.code in (421, 450, 554) or time.monotonic() - began > 55, "a jump of %d s: %s" % (shift, c.greeting))
            c.close()


class ShiftedDsn(Shifted, DsnServer):
    pass


@test
def a_report_is_not_given_up_by_a_jump():
    def busy(verb, n):
        if verb == "RCPT":
            s.set(6 * DAY)              # more than a report's life
            return "451 4.7.1 later"
        return None
    with Sink(mode=busy) as relay, ShiftedDsn(relay=relay.address, workers=1) as s:
        s.ask().is_(250)
        equal(s.line("report")["result"], "deferred", "a report that was deferred once")
        equal(len(s.waiting()), 1, "reports that wait")


@test
def what_others_write_is_not_swept_before_its_time():
    with Shifted(workers=1) as s:
        c = s.client()
        c.hello()
        c.message(ALICE, TEXT).is_(250)         # the worker has begun, and knows alice's mailbox alone
        tmp = s.maildir("bob@example.org").path + "/tmp"
        os.makedirs(tmp)
        for name, age in (("1700000000.M1P1.other", 0), ("1700000000.M1P2.other", 37 * 3600)):
            with open(os.path.join(tmp, name), "w"):
                pass
            os.utime(os.path.join(tmp, name), (time.time() - age,) * 2)
        if os.geteuid() == 0:
            for where, _, files in os.walk(os.path.dirname(os.path.dirname(os.path.dirname(tmp)))):
                for name in [where] + [os.path.join(where, f) for f in files]:
                    shutil.chown(name, "nobody", "nogroup")
        s.set(3 * DAY)
        c.message("bob@example.org", TEXT).is_(250)
        equal(os.listdir(tmp), ["1700000000.M1P1.other"], "what somebody has just begun, and not what is old")
        os.unlink(os.path.join(tmp, "1700000000.M1P1.other"))
        c.quit()


main()
