#!/usr/bin/env -S python3 -B
# check: timeout=300
"""ctl: the control socket and `letterplate ctl`: what is answered and with which exit status, who is
not heard, and clients that want to hold the master up."""
import array
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import check, equal, main, need_root, test
from stubmaster import Master, alive, wait_for


def connect(m):
    """A client of its own making."""
    c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    c.settimeout(10)
    c.connect(m.path("state/control"))
    return c


def rest(c):
    """All that is still answered until the master hangs up."""
    out = b""
    while True:
        try:
            got = c.recv(65536)
        except ConnectionResetError:
            return out.decode()
        if not got:
            return out.decode()
        out += got


def refused(m, *args, code, word):
    r = m.ctl(*args)
    equal(r.returncode, code, "%s: %s" % (args, r.stderr))
    check(word in r.stderr, "no %r in %r" % (word, r.stderr))
    return r


@test
def a_removed_control_socket_comes_back():
    m = Master()
    os.unlink(m.path("state/control"))
    wait_for(lambda: os.path.exists(m.path("state/control")), 10, "not made anew")
    equal(stat.S_IMODE(os.stat(m.path("state/control")).st_mode), 0o600, "mode")
    equal(m.ctl("reload").returncode, 0, "reload")
    equal(len(m.wait_log("event=control-gone")), 1, "lines")
    equal(m.ctl("upgrade").returncode, 0, "upgrade")
    os.unlink(m.path("state/control"))
    wait_for(lambda: os.path.exists(m.path("state/control")), 10, "not made anew after an upgrade")
    equal(m.ctl("stop").returncode, 0, "stop")
    check(not os.path.exists(m.path("state/control")), "left behind")


# --- what is answered ---

@test
def status_says_what_runs():
    m = Master(workers=3)
    r = m.ctl("status", "--json")
    equal(r.returncode, 0, r.stderr)
    s = json.loads(r.stdout)
    equal((s["server"]["pid"], s["server"]["state"], s["server"]["generation"]), (m.child.pid, "serving", 1), "server")
    check(abs(s["server"]["since"] - time.time()) < 30, "since")
    equal(s["server"]["program_replaced"], False, "program")
    equal((s["config"]["file"], s["config"]["changed"]), (m.path("c.conf"), False), "config")
    equal(sorted(w["pid"] for w in s["workers"]), m.pids(), "workers")
    equal({w["state"] for w in s["workers"]}, {"serving"}, "their state")
    equal([(x["name"], x["address"]) for x in s["listeners"]], [("mx", "127.0.0.1:%d" % m.port)], "listeners")
    for kind in ("directory", "store", "sandbox", "mail"):
        check(kind in s, "no " + kind)
    screen = m.ctl("status")
    equal(screen.returncode, 0, screen.stderr)
    for word in ("letterplate ", "is serving: pid %d" % m.child.pid, "unchanged since", "127.0.0.1:%d" % m.port):
        check(word in screen.stdout, "no %r in %s" % (word, screen.stdout))
    check(len(screen.stdout.splitlines()) < 25, "more than a screen")


@test
def status_says_that_nobody_serves():
    m = Master(workers=2)
    m.stub("exit=1")
    for pid in m.pids():
        os.kill(pid, signal.SIGKILL)
    m.wait_log("event=worker-died .*status 1", n=2)
    r = m.ctl("status", "--json")
    equal((r.returncode, r.stderr), (75, "letterplate ctl: no worker serves; the log says why they end\n"), "status")
    s = json.loads(r.stdout)
    equal(s["server"]["state"], "failing", "state")
    equal((s["sandbox"], set(s["directory"])), ({}, {"path"}), "what only workers know")
    screen = m.ctl("status")
    equal(screen.returncode, 75, screen.stderr)
    for word in "is failing: pid", "sandbox     not known: no worker serves", "/directory, not known: no worker serves":
        check(word in screen.stdout, "no %r in %s" % (word, screen.stdout))
    m.stub("")
    wait_for(lambda: m.ctl("status").returncode == 0, why="they do not serve again")


@test
def status_sees_that_files_have_changed():
    m = Master()
    with open(m.path("c.conf"), "a") as f:
        f.write("# a remark\n")
    os.link(m.path("bin/letterplate"), m.path("bin/kept"))
    with open(m.path("bin/letterplate"), "rb") as f, open(m.path("bin/fresh"), "wb") as g:
        g.write(f.read())
    os.chmod(m.path("bin/fresh"), 0o755)
    os.rename(m.path("bin/fresh"), m.path("bin/letterplate"))
    s = json.loads(m.ctl("status", "--json").stdout)
    equal((s["config"]["changed"], s["config"]["readable"], s["server"]["program_replaced"]), (True, True, True), "changed")
    os.unlink(m.path("c.conf"))
    s = json.loads(m.ctl("status", "--json").stdout)
    equal((s["config"]["changed"], s["config"]["readable"]), (True, False), "without a config")
    check("CANNOT BE READ" in m.ctl("status").stdout, "screen")


@test
def strange_names_do_not_break_the_answer():
    m = Master(start=False)
    os.rename(m.path("c.conf"), m.path("c\t\\\"\x1b[2J.conf"))
    m.conf_name = "c\t\\\"\x1b[2J.conf"
    m.start()
    s = json.loads(m.ctl("status", "--json").stdout)
    equal(s["config"]["file"], m.path(m.conf_name), "file")
    check("\x1b" not in m.ctl("status").stdout, "an escape character on the screen")


@test
def reload_waits_for_the_outcome():
    m = Master()
    equal(m.ctl("reload").returncode, 0, "status")
    check("event=reloaded generation=2" in m.text(), "it came back before the reload was done")
    check("event=control command=reload pid=" in m.text(), "who asked is not in the log")
    m.write(text="hostname = 7 8\nnonsense = 1\n")
    r = refused(m, "reload", code=75, word="c.conf:1: ")
    check("the config has mistakes" in r.stderr, r.stderr)
    m.write()
    m.stub("fail=78")
    refused(m, "reload", code=75, word="the new workers could not start")
    m.stub("")
    equal(m.ctl("reload").returncode, 0, "status after it was mended")
    equal(m.stats()["control_commands"], "4", "control_commands")


@test
def a_mistake_in_the_config_does_not_hide_the_server():
    """state_dir alone is asked of the file: the server says what is wrong with it, and counts it."""
    m = Master()

    def ctl(*args):
        return subprocess.run([m.path("bin/letterplate"), "ctl", "-c", m.path("c.conf"), *args], capture_output=True,
                              text=True, timeout=60)
    whole = m.config()
    for n, text in enumerate((whole + 'colour = "red"\n', whole.replace('"mx" {', '"mx"'), whole + 'store "maildir" {\n',
                              "nonsense 7 8\n" + whole, whole + 'hostname = "a.example\n'), 1):
        m.write(text=text)
        equal(ctl("status").returncode, 0, "status with %r" % text)
        r = ctl("reload")
        equal(r.returncode, 75, r.stderr)
        check("the config has mistakes" in r.stderr and "c.conf:" in r.stderr, r.stderr)
        equal(m.stats()["reloads_failed"], str(n), "reloads_failed")
    check("event=reload_refused" in m.text() or "the config has mistakes" in m.text(), "the log does not say it")
    equal(ctl("loglevel", "debug").returncode, 0, "loglevel")
    m.write(text=whole.replace('state_dir = "', 'state_dir = "not/absolute'))
    r = ctl("status")
    equal(r.returncode, 78, r.stderr)
    check("c.conf:4: state_dir" in r.stderr and "-d STATE_DIR" in r.stderr, r.stderr)
    m.write(text=whole + 'colour = "red"\n')
    equal(ctl("stop").returncode, 0, "stop")
    equal(m.child.wait(30), 0, "the server's end")


@test
def each_of_two_reloads_has_its_own_outcome():
    m = Master()
    m.stub("mute@2")
    first = subprocess.Popen([m.path("bin/letterplate"), "ctl", "-d", m.path("state"), "reload"],
                             stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "event=reload " in m.text())
    m.write(text="nonsense\n")
    second = subprocess.Popen([m.path("bin/letterplate"), "ctl", "-d", m.path("state"), "reload"],
                              stderr=subprocess.PIPE, text=True)
    wait_for(lambda: m.text().count("command=reload") == 2)
    # The first one fails for its workers, the second for its config.
    for pid in m.pids():
        if pid not in (int(m.given(1, 1)["pid"][0]), int(m.given(2, 1)["pid"][0])):
            # The master may have been quicker with the second one.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    equal(("workers could not start" in first.communicate(timeout=20)[1], first.returncode), (True, 75), "the first")
    equal(("has mistakes" in second.communicate(timeout=20)[1], second.returncode), (True, 75), "the second")


@test
def what_still_waits_is_refused_by_a_drain():
    """Reloads and upgrades that have not begun too."""
    m = Master()
    m.stub("mute@2")

    def begin(command):
        return subprocess.Popen([m.path("bin/letterplate"), "ctl", "-d", m.path("state"), command], stderr=subprocess.PIPE, text=True)
    waiting = [begin("reload")]
    wait_for(lambda: "event=reload " in m.text())
    waiting += [begin("reload"), begin("upgrade")]
    wait_for(lambda: m.text().count("command=reload") == 2 and "command=upgrade" in m.text())
    equal(m.ctl("drain").returncode, 0, "drain")
    for w in waiting:
        equal((w.communicate(timeout=20)[1], w.returncode), ("letterplate ctl: the server is stopping\n", 75), "what waits")


@test
def an_answer_that_cannot_be_written_is_74():
    m = Master()
    for args in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            r = subprocess.run([m.path("bin/letterplate"), "ctl", "-d", m.path("state"), "status", *args], stdout=full,
                               stderr=subprocess.PIPE, text=True)
        equal(r.returncode, 74, "status %s" % args)
        check("No space left" in r.stderr, r.stderr)


@test
def stop_waits_for_the_end():
    m = Master(stub="linger=300")
    equal(m.ctl("stop").returncode, 0, "status")
    check("event=stopped" in m.text(), "it came back before the end")
    equal(m.child.wait(5), 0, "exit status")
    check(not os.path.exists(m.path("state/control")), "the socket is still there")
    refused(m, "status", code=69, word="no server answers")


@test
def stop_now_kills_what_is_stubborn():
    m = Master(stub="stubborn")
    began = time.monotonic()
    equal(m.ctl("stop", "--now").returncode, 0, "status")
    check(time.monotonic() - began < 5, "it waited")


@test
def drain_lets_workers_retire():
    m = Master()
    equal(m.ctl("drain").returncode, 0, "status")
    equal(m.child.wait(5), 0, "exit status")


@test
def loglevel_reaches_all_and_their_successors():
    m = Master()
    equal(m.ctl("loglevel", "debug").returncode, 0, "status")
    m.wait_log(r"stub [12] level 3", 2)
    os.kill(int(m.given(1, 1)["pid"][0]), signal.SIGKILL)
    m.wait_log(r"stub 1 level 3", 2)
    equal(json.loads(m.ctl("status", "--json").stdout)["server"]["log_level"], "debug", "status")
    equal(m.ctl("reload").returncode, 0, "reload")
    equal(json.loads(m.ctl("status", "--json").stdout)["server"]["log_level"], "info", "after a reload")
    refused(m, "loglevel", "loud", code=64, word="one of error")


@test
def wrong_usage_is_64():
    m = Master()
    for args in ([], ["dance"], ["status", "x"], ["reload", "--json"], ["loglevel"], ["-x", "status"],
                 ["--timeout", "0", "status"], ["-c", m.path("c.conf"), "status"]):
        equal(m.ctl(*args).returncode, 64, str(args))
    r = m.run("ctl", "-c", m.path("c.conf"), "status")
    equal(r.returncode, 0, "by config: " + r.stderr)


@test
def no_answer_in_time_is_74():
    m = Master()
    m.stub("mute@2")
    refused(m, "--timeout", "1", "reload", code=74, word="no answer in time")
    m.signal(signal.SIGSTOP)
    try:
        refused(m, "--timeout", "1", "status", code=74, word="no answer in time")
    finally:
        m.signal(signal.SIGCONT)


@test
def a_master_that_dies_is_74():
    m = Master()
    m.stub("mute@2")
    c = subprocess.Popen([m.path("bin/letterplate"), "ctl", "-d", m.path("state"), "reload"],
                         stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "event=reload " in m.text())
    time.sleep(0.5)    # a stub that was forked a moment ago does not know yet to die with its master
    left = m.pids()
    m.signal(signal.SIGKILL)
    equal(("without an answer" in c.communicate(timeout=10)[1], c.returncode), (True, 74), "status")
    wait_for(lambda: not any(alive(p) for p in left))


# --- traces ---

@test
def a_trace_reaches_all_workers_and_those_that_come_later():
    m = Master()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.settimeout(10)
    c = connect(m)
    c.sendmsg([b"trace\tfilter=to bob\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [there.fileno()]))])
    equal({here.recv(100) for _ in range(2)}, {b"stub 1 1 to bob\n", b"stub 2 1 to bob\n"}, "told")
    os.kill(int(m.given(1, 1)["pid"][0]), signal.SIGKILL)
    equal(here.recv(100), b"stub 1 1 to bob\n", "its successor is told")
    equal(m.ctl("reload").returncode, 0, "reload")
    equal({here.recv(100) for _ in range(2)}, {b"stub 3 2 to bob\n", b"stub 4 2 to bob\n"}, "the new generation is told")
    m.wait_log(r"event=retired")                # the old one's descriptors are gone
    held = lambda: len([f for f in os.listdir("/proc/%d/fd" % m.child.pid)])
    with_trace = held()
    c.close()
    wait_for(lambda: held() == with_trace - 2, why=lambda: "%d descriptors of %d" % (held(), with_trace))
    os.kill(int(m.given(3, 2)["pid"][0]), signal.SIGKILL)
    m.wait_log(r"event=worker-ready slot=3", 2)
    here.settimeout(0.3)
    try:
        raise AssertionError("told after the trace was over: %r" % here.recv(100))
    except TimeoutError:
        pass


@test
def a_trace_without_a_descriptor_is_refused():
    m = Master()
    c = connect(m)
    c.send(b"trace\tfilter=x\n")
    check("end\tcode:=76\t" in rest(c), "not refused")


@test
def descriptors_beyond_one_are_not_kept():
    m = Master()
    held = lambda: len(os.listdir("/proc/%d/fd" % m.child.pid))
    before = held()
    with open("/dev/null") as null:
        for n in (1, 2, 3):
            for request in (b"trace\tfilter=x\n", b"nonsense\n", b"")[n == 1:]:
                c = connect(m)
                c.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * n))])
                check("code:=0" not in rest(c), "%d descriptors were taken with %r" % (n, request))
                c.close()
                wait_for(lambda: held() == before, 5, lambda: "%d descriptors of %d" % (held(), before))


# --- who is not heard ---

@test
def the_socket_is_for_its_owner():
    m = Master()
    st = os.stat(m.path("state/control"))
    equal((stat.S_ISSOCK(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid), (True, 0o600, os.geteuid()), "mode")


@test
def another_user_is_refused():
    need_root()
    m = Master()
    os.chmod(m.root, 0o755)
    os.chmod(m.path("state/control"), 0o666)    # so that only the kernel's word is left
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            c = connect(m)
            code = 0 if "end\tcode:=77\t" in rest(c) else 2
        finally:
            os._exit(code)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "nobody's try")
    os.chmod(m.path("state/control"), 0o600)
    equal(m.ctl("status").returncode, 0, "root's")


# --- who wants to hold it up ---

@test
def nonsense_is_answered_and_closed():
    m = Master()
    for text in (b"x", b"\n", b"status", b"status\nstatus\n", b"\0\0", b"status\t\n", b"dance\n", b"x" * 5000, b"\xff" * 2047):
        c = connect(m)
        c.send(text)
        got = rest(c)
        check(got == "" or "end\tcode:=76\t" in got, "%r: %r" % (text[:20], got))
    c = connect(m)
    c.sendmsg([b"status\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 20))])
    rest(c)
    equal(m.ctl("status").returncode, 0, "afterwards")


@test
def silent_and_deaf_clients_do_not_stall_it():
    m = Master()
    before = len(os.listdir("/proc/%d/fd" % m.child.pid))
    silent = [connect(m) for _ in range(15)]
    deaf = connect(m)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % m.child.pid)) == before + 16)
    # All places are taken: the next one is sent away, and the mail goes on.
    refused(m, "status", code=74, word="without an answer")
    check(m.greeting().startswith("stub "), "no greeting")
    os.kill(int(m.given(1, 1)["pid"][0]), signal.SIGKILL)
    m.wait_log(r"event=worker-ready slot=1", 2)
    deaf.send(b"status\n")
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % m.child.pid)) == before, 20, "they were never sent away")
    equal(m.ctl("status").returncode, 0, "afterwards")
    for c in silent:
        c.close()


@test
def idle_master_does_not_spin():
    m = Master()
    c = connect(m)

    def ticks():
        with open("/proc/%d/stat" % m.child.pid) as f:
            w = f.read().rpartition(")")[2].split()
        return int(w[11]) + int(w[12])
    before = ticks()
    time.sleep(1.5)
    check(ticks() - before <= 10, "%d ticks in 1.5 s" % (ticks() - before))
    c.close()


main()
