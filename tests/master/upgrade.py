#!/usr/bin/env -S python3 -B
# check: timeout=180
"""upgrade: USR2 and `letterplate ctl upgrade`, with a stub for the workers: the same pid, sockets and counters
go on; a new program that is no good, or whose workers are none, leaves the old one serving."""
import array
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import BIN, TOP, check, equal, main, test
from stubmaster import Master, alive, variant, wait_for

STUB = os.path.join(TOP, "build/obj", variant(), "tests/master/stubworker")
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
    m.wait_log(r"event=upgrade-refused .*No such file", 1)
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
def counters_of_another_layout_are_refused_before_it_is_too_late():
    m = Master()
    with open(m.path("state/stats"), "r+b") as f:
        f.seek(4)
        ours = f.read(4)
        for other in (ours[0] ^ 1, ours[0] ^ 0x80):     # what a build with another number of counters would see
            f.seek(4)
            f.write(bytes([other]) + ours[1:])
            f.flush()
            refused(m, "the new program declines: its counters are laid out differently; it needs a restart")
        f.seek(4)
        f.write(ours)
    equal(m.ctl("upgrade").returncode, 0, "with the same layout")


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
