#!/usr/bin/env -S python3 -B
# check: timeout=300
"""upgrade: USR2 and `letterplate ctl upgrade`, with a stub for the workers: the same pid, sockets and counters
go on; a new program that is no good, or whose workers are none, leaves the old one serving."""
import array
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import BIN, TOP, check, equal, main, test
from proc import descriptors
from stubmaster import Master, alive, variant, wait_for

STUB = os.path.join(TOP, "build/obj", variant(), "tests/master/stubworker")
OTHER = os.path.join(TOP, "build/obj", variant(), "other")      # a build with one counter more
LETTERPLATE = os.path.join(BIN, "letterplate")


def exe(pid):
    st = os.stat("/proc/%d/exe" % pid)
    return st.st_dev, st.st_ino


def fds(m):
    return len(os.listdir("/proc/%d/fd" % m.child.pid))


def refused(m, word):
    """An upgrade that comes to nothing: what it says, and that all goes on."""
    m.hear()
    before, generation = exe(m.child.pid), m.text().count("event=upgrade-refused")
    r = m.ctl("upgrade")
    equal(r.returncode, 75, "status: %s" % r.stderr)
    check(word in r.stderr, "no %r in %r" % (word, r.stderr))
    equal(m.text().count("event=upgrade-refused"), generation + 1, "lines of it")
    equal(exe(m.child.pid), before, "the program that runs")
    check(m.greeting().startswith("stub "), "no greeting")


@test
def the_same_process_becomes_the_new_program():
    m = Master(workers=2)
    old, pid, workers = exe(m.child.pid), m.child.pid, m.pids()
    m.greeting()
    before = m.stats()
    m.replace("letterplate", LETTERPLATE)
    r = m.ctl("upgrade")
    equal(r.returncode, 0, r.stderr)
    check(m.child.poll() is None and m.child.pid == pid, "it ended")
    check(exe(pid) != old, "it is still the old program")
    equal(exe(pid), (os.stat(m.path("bin/letterplate")).st_dev, os.stat(m.path("bin/letterplate")).st_ino), "program")
    m.served_by(2)
    wait_for(lambda: not any(alive(p) for p in workers), why="the old workers are still there")
    equal(len(m.pids()), 2, "workers")
    after = m.stats()
    equal((after["upgrades"], after["upgrades_failed"], after["reloads"], after["workers_died"]), ("1", "0", "0", "0"), "counters")
    equal(int(after["workers_started"]), int(before["workers_started"]) + 2, "counters go on")
    with open("/proc/%d/comm" % pid) as f:
        equal(f.read().strip(), "letterplate", "its name")
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        equal(f.read().split(b"\0")[1:3], [b"-c", m.path("c.conf").encode()], "its arguments")
    with open("/proc/%d/environ" % pid, "rb") as f:
        check(b"LETTERPLATE_REHEARSAL" not in f.read(), "its environment")
    equal(m.term(), 0, "status after TERM")


@test
def usr2_again_and_again_leaks_nothing():
    m = Master()
    for n in range(2):
        m.signal(signal.SIGUSR2)
        m.wait_log(r"event=upgraded generation=%d" % (n + 2))
        wait_for(lambda: len(m.pids()) == 2 and m.hear())
    m.wait_log(r"event=retired", 2)
    open_then = fds(m)
    for n in range(5):
        m.signal(signal.SIGUSR2)
        m.wait_log(r"event=upgraded generation=%d" % (n + 4))
        wait_for(lambda: len(m.pids()) == 2 and m.hear())
    wait_for(lambda: fds(m) == open_then, why=lambda: "descriptors: %d, were %d" % (fds(m), open_then))
    equal(m.ctl("reload").returncode, 0, "a reload afterwards")
    equal(m.term(), 0, "status after TERM")


@test
def the_service_manager_is_told():
    m = Master(abstract=True)
    m.signal(signal.SIGUSR2)
    m.wait_note("READY=1", n=2)
    check(m.said("STATUS=upgrading"), "no STATUS: %s" % m.notes)
    check(m.said("STATUS=serving with 2 workers, generation 2"), "no STATUS: %s" % m.notes)
    equal(m.said("STOPPING=1"), 0, "STOPPING=1")


@test
def old_workers_linger_and_are_reaped_by_the_new_program():
    m = Master(stub="linger=700@1")
    old = m.pids()
    equal(m.ctl("upgrade").returncode, 0, "status")
    equal([p for p in old if alive(p)], old, "old workers that finish their sessions")
    m.wait_log(r"event=worker-ended .* generation=1", 2)
    m.wait_log(r"event=retired")
    equal(m.stats()["workers_died"], "0", "workers_died")


@test
def a_worker_that_dies_later_is_replaced():
    m = Master()
    equal(m.ctl("upgrade").returncode, 0, "status")
    wait_for(lambda: len(m.pids()) == 2)
    os.kill(m.a_worker(), signal.SIGKILL)
    m.wait_log(r"event=worker-died")
    wait_for(lambda: len(m.pids()) == 2)


@test
def programs_that_are_no_good():
    m = Master()
    m.replace("letterplate", STUB)
    m.stub("master-exit=3")
    refused(m, "the new program ended with status 3")
    m.stub("master-exit=0")
    refused(m, "the new program ended with status 0")
    m.stub("master-noise")
    refused(m, "the new program ")
    with open(m.path("bin/fresh"), "w") as f:
        f.write("no program\n")
    os.chmod(m.path("bin/fresh"), 0o755)
    os.rename(m.path("bin/fresh"), m.path("bin/letterplate"))
    refused(m, "the new program ended with status 71")
    os.chmod(m.path("bin/letterplate"), 0o644)
    refused(m, "Permission denied")
    os.unlink(m.path("bin/letterplate"))
    m.signal(signal.SIGUSR2)
    m.wait_log(r'event=upgrade-refused msg="\\"%s\\" cannot be run: No such file' % m.path("bin/letterplate"), 1)
    m.stub("")
    m.replace("letterplate", LETTERPLATE)
    equal(m.ctl("upgrade").returncode, 0, "one that is good, afterwards")
    equal(m.stats()["upgrades_failed"], "6", "upgrades_failed")


@test
def a_program_that_hangs():
    m = Master()
    m.replace("letterplate", STUB)
    m.stub("master-hang")
    began = time.monotonic()
    refused(m, "the new program did not answer in time")
    check(time.monotonic() - began < 20, "it took long")
    equal(len(m.pids()), 2, "children")


@test
def a_config_that_is_refused():
    m = Master()
    text = m.config()
    m.write(text=text + "nonsense = 1\n")
    r = m.ctl("upgrade")
    equal(r.returncode, 75, "status")
    check("c.conf:" in r.stderr and "nonsense" in r.stderr and "the config has mistakes" in r.stderr, r.stderr)
    check(m.greeting().startswith("stub "), "no greeting")
    m.write(text=text)
    equal(m.ctl("upgrade").returncode, 0, "afterwards")


@test
def counters_that_do_not_say_what_they_are_are_refused_before_it_is_too_late():
    m = Master()
    with open(m.path("state/stats"), "r+b") as f:
        f.seek(4)
        ours = f.read(4)
        f.seek(4)
        f.write(ours[:3] + bytes([3]))     # as builds were that wrote no form behind the head
        f.flush()
        refused(m, "the new program declines: its counters are laid out differently, and the old ones do not say how; it needs a restart")
        f.seek(4)
        f.write(ours)
    equal(m.ctl("upgrade").returncode, 0, "with the same layout")
    m.replace("letterplate", os.path.join(OTHER, "letterplate"))
    m.replace("letterplate-worker", os.path.join(OTHER, "letterplate-worker"))
    os.mkdir(m.path("state/stats.new"))
    refused(m, "a new file for them cannot be made in state_dir")
    os.rmdir(m.path("state/stats.new"))
    equal(m.ctl("upgrade").returncode, 0, "with room for a new file")


class Looker(threading.Thread):
    """Looks at the counters as fast as it can: none may ever go back, whatever file it is."""

    def __init__(self, m):
        super().__init__()
        self.m, self.ended, self.looks, self.wrong = m, threading.Event(), 0, []
        self.start()

    def run(self):
        before = {}
        while not self.ended.is_set():
            try:
                now = counted(self.m)
            except AssertionError as e:
                self.wrong.append(str(e))
                return
            for k, v in before.items():
                if now[k] < v:
                    self.wrong.append("%s: %d after %d" % (k, now[k], v))
            before, self.looks = now, self.looks + 1

    def end(self):
        self.ended.set()
        self.join()
        equal(self.wrong[:5], [], "counters that went back")
        check(self.looks > 5, "it hardly looked")


def counted(m):
    """What stubs count for each connection, wherever that stands."""
    p = subprocess.run([os.path.join(BIN, "letterplate-stats"), "--json", "-s", m.path("state/stats")], capture_output=True, text=True)
    equal(p.returncode, 0, p.stderr)
    s = json.loads(p.stdout)
    return {"sessions": s["sessions"]["total"], "replies": s["replies"].get("220", 0),
            "reasons": sum(r["count"] for r in s["reasons"] if r["reason"] == "stub"),
            "session_seconds": s["session_seconds"]["count"],
            "handlers": s["handlers"].get("stub", {}).get("asked", 0),
            "tags": s["tags"].get("stub", 0),
            "tls": s["tls_failures"].get("stub", 0)}


def greeted(m, n):
    for _ in range(n):
        m.greeting()
    return n


@test
def counters_of_another_layout_are_carried_over():
    # Old workers of three builds finish at the same time, and go on counting until they end.
    m = Master(stub="linger=3000\nbusy\n")
    ours = [os.path.join(BIN, "letterplate"), os.path.join(TOP, "build/obj", variant(), "tests/master/stubworker")]
    other = [os.path.join(OTHER, "letterplate"), os.path.join(OTHER, "letterplate-worker")]
    looker, n = Looker(m), greeted(m, 20)
    for turn, (master, worker) in enumerate((other, ours, other)):
        before = m.stats()
        m.replace("letterplate", master)
        m.replace("letterplate-worker", worker)
        r = m.ctl("upgrade")
        equal(r.returncode, 0, r.stderr)
        n += greeted(m, 20)
        after = m.stats()
        equal(int(after["upgrades"]), turn + 1, "upgrades")
        check(int(after["workers_started"]) == int(before["workers_started"]) + 2, "workers_started: %s, was %s" % (after, before))
        equal("more" in after, False, "a counter that this tool does not know")
        s = json.loads(subprocess.run([os.path.join(BIN, "letterplate-stats"), "--json", "-s", m.path("state/stats")],
                                      capture_output=True, text=True, check=True).stdout)
        # Those who finish are still seen, with their beats.
        wait_for(lambda: len(m.pids()) > 2)
        check(len(s["workers"]) >= 3, "workers: %s" % s["workers"])
    m.stub("")
    m.wait_log(r"event=retired", 3)
    # Each of six old workers counted 300 on its own, and each connection once in each kind.
    want = {k: n for k in counted(m)}
    want["sessions"] += 6 * 300
    wait_for(lambda: counted(m) == want, why=lambda: "counted %s, not %s" % (counted(m), want))
    time.sleep(2.5)
    equal(counted(m), want, "two seconds later")
    wait_for(lambda: fds_of_stats(m) == 1, why=lambda: "%d segments are held" % fds_of_stats(m))
    m.signal(signal.SIGHUP)
    m.wait_log(r"event=reloaded")
    n += greeted(m, 5)
    looker.end()
    equal(counted(m)["replies"], n, "replies")
    equal(m.term(), 0, "status after TERM")
    equal(counted(m)["replies"], n, "replies, of a server that was stopped")


def fds_of_stats(m):
    """Segments that the master holds."""
    return len({x for x in descriptors(m.child.pid) if "/state/stats" in x})


@test
def the_other_build_comes_to_nothing_and_nothing_is_lost():
    m = Master()
    looker, n = Looker(m), greeted(m, 10)
    m.replace("letterplate", os.path.join(OTHER, "letterplate"))
    m.replace("letterplate-worker", os.path.join(OTHER, "letterplate-worker"))
    m.stub("fail=78@2")
    r = m.ctl("upgrade")
    equal(r.returncode, 75, r.stderr)
    n += greeted(m, 10)
    wait_for(lambda: counted(m)["replies"] == n, why=lambda: "replies: %s, not %d" % (counted(m), n))
    equal((m.stats()["upgrades"], m.stats()["upgrades_failed"]), ("0", "1"), "counters")
    # The workers of before count in the segment of before; one that dies is followed there, and a hung one is seen.
    os.kill(m.a_worker(), signal.SIGKILL)
    m.wait_log(r"event=worker-died")
    wait_for(lambda: len(m.pids()) == 2)
    n += greeted(m, 10)
    wait_for(lambda: counted(m)["replies"] == n, why=lambda: "replies: %s, not %d" % (counted(m), n))
    m.stub("")
    equal(m.ctl("upgrade").returncode, 0, "one that is good")
    n += greeted(m, 10)
    wait_for(lambda: counted(m)["replies"] == n, why=lambda: "replies: %s, not %d" % (counted(m), n))
    looker.end()


@test
def a_deleted_stats_file_is_made_anew():
    m = Master(stub="linger=1500@1\nbusy\n")
    n = greeted(m, 10)
    os.unlink(m.path("state/stats"))
    p = subprocess.run([os.path.join(BIN, "letterplate-stats"), "-s", m.path("state/stats")], capture_output=True, text=True)
    if p.returncode != 0:       # unless the master was quick
        check("makes a lost one anew" in p.stderr, p.stderr)
    wait_for(lambda: os.path.exists(m.path("state/stats")), why="it is not made anew")
    m.wait_log(r"event=stats ")
    equal(counted(m), {k: n for k in counted(m)}, "counted")
    equal(m.stats()["workers_started"], "2", "what the master counted")
    n += greeted(m, 10)
    wait_for(lambda: counted(m)["replies"] == n, why=lambda: "replies: %s, not %d" % (counted(m), n))
    # At once by HUP, and in the place of a file that somebody put there; then the new workers count in the new one.
    with open(m.path("state/other"), "w") as f:
        f.write("not ours\n")
    os.rename(m.path("state/other"), m.path("state/stats"))
    equal(m.ctl("reload").returncode, 0, "reload")
    n += greeted(m, 10)
    wait_for(lambda: counted(m)["replies"] == n, why=lambda: "replies: %s, not %d" % (counted(m), n))
    m.wait_log(r"event=retired")
    wait_for(lambda: counted(m)["sessions"] == n + 2 * 150, why=lambda: "sessions: %s, not %d" % (counted(m), n + 300))
    equal(m.term(), 0, "status after TERM")
    equal(counted(m)["replies"], n, "replies")


@test
def new_workers_that_cannot_start_bring_the_old_program_back():
    m = Master()
    old, workers = exe(m.child.pid), m.pids()
    m.replace("letterplate", LETTERPLATE)
    m.stub("fail=78@2")
    r = m.ctl("upgrade")
    equal(r.returncode, 75, r.stderr)
    check("the new workers could not start" in r.stderr, r.stderr)
    equal(exe(m.child.pid), old, "the program that runs")
    wait_for(lambda: m.pids() == workers, why=lambda: "workers: %s, were %s" % (m.pids(), workers))
    check(m.greeting().endswith(" 1\r\n"), "no greeting")
    equal((m.stats()["upgrades"], m.stats()["upgrades_failed"]), ("0", "1"), "counters")
    # And it can still do all that it could.
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: len(m.pids()) == 2 and m.pids() != workers)
    m.stub("")
    equal(m.ctl("reload").returncode, 0, "reload")
    equal(m.ctl("upgrade").returncode, 0, "upgrade")
    check(exe(m.child.pid) != old, "it is still the old program")


@test
def a_trace_and_whoever_waits_go_over():
    m = Master()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.settimeout(10)
    c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    c.connect(m.path("state/control"))
    c.sendmsg([b"trace\tfilter=all\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [there.fileno()]))])
    equal({here.recv(100) for _ in range(2)}, {b"stub 1 1 all\n", b"stub 2 1 all\n"}, "told")
    equal(m.ctl("upgrade").returncode, 0, "status")
    equal({here.recv(100) for _ in range(2)}, {b"stub 3 2 all\n", b"stub 4 2 all\n"}, "the new workers are told")


@test
def signals_that_come_meanwhile_are_not_lost():
    m = Master()
    m.signal(signal.SIGUSR2)
    m.signal(signal.SIGHUP)
    m.wait_log(r"event=upgraded generation=2")
    m.wait_log(r"event=reloaded generation=3")
    m.replace("letterplate", STUB)
    m.stub("master-hang")
    m.signal(signal.SIGUSR2)
    m.wait_log(r"event=upgrade msg=.trying", 2)
    equal(m.term(), 0, "TERM during a rehearsal")


@test
def not_for_people():
    m = Master(start=False)
    p = subprocess.run([m.path("bin/letterplate"), "-c", m.path("c.conf")], timeout=20, capture_output=True, text=True,
                       env=dict(os.environ, LETTERPLATE_STATE="99"))
    equal(p.returncode, 70, p.stderr)
    check("the upgrade fails" in p.stderr, p.stderr)


main()
