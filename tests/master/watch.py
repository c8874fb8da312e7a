#!/usr/bin/env -S python3 -B
# check: timeout=300
"""watch: a worker whose loop hangs is replaced, WATCHDOG=1 is said while all loops turn, and nobody is killed for a
time in which the master was held up; new ones that are never ready come to nothing.  With a stub for the workers; five seconds are the shortest patience."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import check, equal, main, test
from stubmaster import Master, wait_for

SOON = {"WATCHDOG_USEC": "10000000"}


@test
def a_stopped_worker_is_replaced():
    m = Master(env=SOON)
    pid, other = int(m.given(1, 1)["pid"][0]), int(m.given(2, 1)["pid"][0])
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    m.wait_log(r"event=worker-hung slot=1 pid=%d " % pid, timeout=15)
    check(time.monotonic() - began >= 4, "after %.1f s" % (time.monotonic() - began))
    m.wait_log(r"event=worker-ready slot=1 ", 2)
    check(other in m.pids() and pid not in m.pids(), "the wrong one")
    check(m.greeting().startswith("stub "), "no greeting")
    s = m.stats()
    equal((s["workers_hung"], s["workers_died"]), ("1", "1"), "hung, died")
    # No beat while it was about to be given up, and beats again now.
    m.notes.clear()
    m.wait_note("WATCHDOG=1", timeout=8)


@test
def a_loop_that_never_turns_is_ended_by_abrt():
    m = Master(stub="stuck@1", workers=1, env=SOON)
    m.stub("")
    m.wait_log(r"event=worker-hung slot=1 .* in=stub ", timeout=15)
    m.wait_log(r"event=worker-died slot=1 .*signal 6.* in=stub ")
    m.wait_log(r"event=worker-ready slot=1 ", 2)


@test
def no_beat_while_a_loop_hangs():
    m = Master(workers=1, env=SOON)
    m.wait_note("WATCHDOG=1", timeout=8)
    os.kill(m.a_worker(), signal.SIGSTOP)
    time.sleep(3.5)             # it is half given up
    m.hear()
    m.notes.clear()
    wait_for(lambda: "event=worker-hung" in m.text(), 10)
    equal(m.said("WATCHDOG=1"), 0, "beats")


@test
def a_machine_that_sleeps_costs_nobody_his_life():
    m = Master(env=SOON)
    time.sleep(1)
    pids = m.pids()
    for sig in (signal.SIGSTOP, signal.SIGCONT):
        for pid in [m.child.pid] + pids:
            os.kill(pid, sig)
        time.sleep(8 if sig == signal.SIGSTOP else 2)
    equal(m.pids(), pids, "workers")
    check("worker-hung" not in m.text(), "one was taken for hung")


@test
def no_watchdog_no_beat():
    m = Master(env=dict(SOON, WATCHDOG_PID="1"))
    n = Master()
    time.sleep(4)
    equal((m.said("WATCHDOG=1"), n.said("WATCHDOG=1")), (0, 0), "beats")
    equal(m.given(1, 1)["environ"] if "ASAN_OPTIONS" not in os.environ else ["0"], ["0"], "environment of a worker")


@test
def the_watchdog_goes_over_at_an_upgrade():
    m = Master(env=SOON)
    equal(m.ctl("upgrade").returncode, 0, "status")
    m.hear()
    m.notes.clear()
    m.wait_note("WATCHDOG=1", timeout=8)


@test
def new_workers_that_are_never_ready_are_undone():
    """Half a minute is what they have.  Whoever asked is told, and not pointed to lines that nobody wrote."""
    m = Master()
    m.stub("mute@2")
    m.signal(signal.SIGHUP)
    m.wait_log(r"event=reload-refused .*the new workers were not ready within 30 seconds", timeout=90)
    check("their own lines say why" not in m.text(), m.text())


main()
