#!/usr/bin/env -S python3 -B
# check: timeout=300
"""life: the master's life, with a stub for its workers: start, READY, death and
replacement, back-off, reload good and bad, stop, and what it refuses to start with.
The stub's words stand in tests/master/stubworker.c."""
import fcntl
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import harness
from harness import TOP, Skip, check, equal, main, need_root, test
from stubmaster import PORTS, Master, alive, variant, wait_for

STUB = os.path.join(TOP, "build/obj", variant(), "tests/master/stubworker")

# --- start ---

@test
def ready_when_all_workers_are():
    m = Master(workers=3)
    equal(m.said("READY=1"), 1, "READY=1")
    check(m.said("STATUS=serving with 3 workers, generation 1"), "no STATUS in %s" % m.notes)
    equal(len(m.pids()), 3, "workers")
    check(re.fullmatch(r"stub [123] 1\r\n", m.greeting()), "no greeting")
    equal(m.stats()["workers_started"], "3", "workers_started")


@test
def not_ready_while_one_is_mute():
    m = Master(stub="mute", start=False)
    m.start(wait=False)
    wait_for(lambda: len(m.pids()) == 2)
    time.sleep(0.3)
    equal(m.said("READY=1"), 0, "READY=1")
    equal(m.term(), 0, "status after TERM before READY")


@test
def abstract_notify_socket():
    m = Master(abstract=True)
    equal(m.said("READY=1"), 1, "READY=1")


@test
def a_service_manager_that_is_not_there_is_logged():
    m = Master()
    os.unlink(m.path("notify"))
    equal(m.term(), 0, "status")
    m.wait_log(r"event=notify .*STOPPING=1: No such file or directory")


@test
def a_service_manager_that_does_not_read():
    m = Master(start=False)
    text = m.config()
    m.start()
    time.sleep(0.1)
    # Its queue is filled, as far as the kernel lets (net.unix.max_dgram_qlen).
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        try:
            while True:
                s.sendto(b"X=1", m.path("notify"))
        except BlockingIOError:
            pass
    for n in range(12):
        m.write(text=text + "nonsense = 1\n" * (n % 2))
        began = time.monotonic()
        equal(m.ctl("reload").returncode, 75 if n % 2 else 0, "reload")
        check(time.monotonic() - began < 10, "it took long")
    m.wait_log("event=notify msg=.the service manager does not read; what it is told waits")
    # The oldest that matter are lost, the newest are not: 12 reloads are 24 datagrams, of which 16 wait.
    equal(len(re.findall("event=notify msg=.the service manager was not told .*: too much waits", m.text())), 8, "lost")
    wait_for(lambda: m.said("READY=1") >= 9, why=lambda: "not told: %s" % m.notes)
    equal(m.hear()[-1].split("\n")[0], "READY=1", "what it was told last")
    order = [n.split("\n")[0] for n in m.notes if n != "X=1"]
    equal(order[-16:], ["RELOADING=1", "READY=1"] * 8, "order")
    equal(m.term(), 0, "status after TERM")


@test
def a_service_manager_that_is_gone():
    m = Master()
    m.notify.close()
    m.signal(signal.SIGHUP)
    m.wait_log("event=notify msg=.the service manager was not told RELOADING=1: Connection refused")
    m.served_by(2)


@test
def what_a_worker_is_given():
    m = Master(start=False, env={"SECRET": "x"})
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("sock"), "127.0.0.1:%d" % m.port2])
    # A descriptor that the starter left open must not reach a worker.
    leak = os.open("/dev/null", os.O_RDONLY)
    high = fcntl.fcntl(leak, fcntl.F_DUPFD, 200)
    m.start(pass_fds=(leak, high))
    os.close(leak)
    os.close(high)
    g = m.given(1, 1)
    equal(g["nlisten"], ["3"], "nlisten")
    equal(g["fds"], [" ".join(map(str, range(14))) + " "], "descriptors")
    equal(g["umask"], ["77"], "umask")
    equal(g["ppid"], [str(m.child.pid)], "parent")
    if not harness.sanitized():
        equal(g["environ"], ["0"], "environment")
    equal(int(g["seals"][0]) & 15, 15, "seals of the config")
    equal(g.get("blocked", []), [], "blocked signals")
    equal(g.get("ignored", []), [], "ignored signals")
    equal([g["listen%d" % i] for i in range(3)], [["listening"]] * 3, "listeners")


@test
def a_worker_that_cannot_start_ends_the_start():
    m = Master(stub="fail=77", start=False)
    m.start(wait=False)
    equal(m.child.wait(10), 77, "status")
    equal(m.said("READY=1"), 0, "READY=1")
    check("event=start-failed" in m.text(), m.text())


@test
def a_worker_that_exits_at_once_ends_the_start():
    m = Master(stub="exit=1", start=False)
    m.start(wait=False)
    equal(m.child.wait(10), 70, "status")


# --- death ---

@test
def killed_worker_is_replaced_in_its_slot():
    m = Master()
    for n in range(2):
        pid = int(m.given(1, 1)["pid"][0])
        os.kill(pid, signal.SIGKILL)
        m.wait_log(r"event=worker-died slot=1 pid=%d generation=1 how=\"killed by signal 9 \(Killed\)\"" % pid)
        m.wait_log(r"event=worker-ready slot=1 ", n + 2)
    equal(len(m.pids()), 2, "workers")
    check(int(m.given(1, 1)["pid"][0]) in m.pids(), "slot 1 is not the new one's")
    s = m.stats()
    equal((s["workers_died"], s["workers_started"]), ("2", "4"), "died, started")


@test
def back_off_doubles():
    """Whoever dies by itself is started once a second at the most; whoever is killed comes again at once."""
    m = Master(workers=1)
    m.stub("die-after=0")
    os.kill(m.a_worker(), signal.SIGKILL)
    m.wait_log(r"replaced_in_ms=2000\.000")
    waits = re.findall(r"replaced_in_ms=(\d+)\.000", m.text())
    equal(waits[1:4], ["0", "1000", "2000"], "back-off, behind the one that was killed")
    m.stub("")
    n = len(re.findall(r"event=worker-ready", m.text()))
    m.wait_log(r"event=worker-ready", n + 1)
    check(m.greeting().startswith("stub 1 1"), "does not serve again")


@test
def one_that_is_killed_again_and_again_is_replaced_at_once():
    m = Master(workers=1)
    for n in range(12):
        os.kill(m.a_worker(), signal.SIGKILL)
        m.wait_log(r"event=worker-ready", n + 2)
    waits = [float(x) for x in re.findall(r"replaced_in_ms=(\S+)", m.text())]
    check(len(waits) == 12 and max(waits) <= 100, "waits: %s" % waits)


def is_dropped(word, why):
    m = Master()
    m.stub(word)
    os.kill(m.a_worker(), signal.SIGKILL)
    m.wait_log(r'event=worker-dropped .*why="%s"' % why)
    m.stub("")
    m.wait_log(r"how=\"killed by signal 9", 2)


@test
def malformed_message_ends_the_worker():
    is_dropped("garbage", "it sent something malformed")


@test
def one_that_speaks_without_end_is_ended():
    is_dropped("flood", "it speaks without end")


@test
def worker_that_hangs_up_is_replaced():
    m = Master(workers=1)
    m.stub("hangup")
    os.kill(m.a_worker(), signal.SIGKILL)
    m.wait_log(r"event=worker-ready", 2)
    m.stub("")
    m.wait_log(r'event=worker-killed .*why="it did not end in time"', timeout=10)
    m.wait_log(r"event=worker-ready", 3)


# --- reload ---

@test
def reload_takes_the_new_config():
    m = Master()
    old = m.pids()
    m.write(addresses=["127.0.0.1:%d" % m.port, "127.0.0.1:%d" % m.port2], workers=3)
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", 2)
    check(any(re.match(r"RELOADING=1\nMONOTONIC_USEC=\d+\n", n) for n in m.notes), "no RELOADING=1: %s" % m.notes)
    wait_for(lambda: not any(map(alive, old)), why="old workers stay")
    equal(len(m.pids()), 3, "workers")
    check(m.greeting().endswith(" 2\r\n") and m.greeting(m.port2).endswith(" 2\r\n"), "not the new generation")
    s = m.stats()
    equal((s["reloads"], s["reloads_failed"], s["workers_died"]), ("1", "0", "0"), "reloads, failed, died")
    # And back: the second address is let go.
    m.write()
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", 3)
    wait_for(lambda: refuses(m.port2), why="the dropped address still answers")
    m.served_by(3)


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False    # it was in the queue when the socket was closed


@test
def reload_keeps_the_socket_and_its_queue():
    m = Master()
    # Nobody accepts while the workers stand still; what waits in the queue is served by the next generation.
    old = m.pids()
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    c = socket.create_connection(("127.0.0.1", m.port), 5)
    m.signal(signal.SIGHUP)
    equal(c.recv(100)[-4:], b" 2\r\n", "generation that answered")
    c.close()
    for pid in old:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not any(map(alive, old)), why="old workers stay")


@test
def reload_makes_a_removed_unix_socket_anew():
    m = Master(start=False)
    m.write(addresses=["unix:" + m.path("mx.sock")])
    m.start()

    def greeted():
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(30)
            c.connect(m.path("mx.sock"))
            return c.recv(100).decode()
    before = os.stat(m.path("mx.sock")).st_ino
    m.signal(signal.SIGHUP)
    m.wait_log("event=reloaded generation=2")
    equal(os.stat(m.path("mx.sock")).st_ino, before, "a socket that is there is kept: its number")
    os.unlink(m.path("mx.sock"))
    m.signal(signal.SIGHUP)
    m.wait_log("event=reloaded generation=3")
    check(greeted().endswith(" 3\r\n"), "who answers")
    os.unlink(m.path("mx.sock"))
    m.signal(signal.SIGUSR2)
    m.wait_log("event=upgraded generation=4")
    check(greeted().endswith(" 4\r\n"), "who answers")
    equal(m.term(), 0, "status")
    check(not os.path.exists(m.path("mx.sock")), "left behind")


def refused_reload(m, pattern):
    """HUP; the reason is logged, READY=1 said again, and generation 1 serves on."""
    before, n = m.pids(), m.said("READY=1")
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", n + 1)
    m.wait_log(pattern)
    m.wait_log(r"event=reload-refused .*the old config stays in force")
    # Those that were started for nothing are killed, and take a moment.
    wait_for(lambda: m.pids() == before, why=lambda: "workers: %s, were %s" % (m.pids(), before))
    check(m.greeting().endswith(" 1\r\n"), "generation 1 does not serve")
    return m.stats()


@test
def bad_config_is_refused_at_reload():
    m = Master()
    m.write(text=m.config() + "nonsense = 1\n")
    lines = m.config().count("\n") + 1
    s = refused_reload(m, r'event=config msg="%s:%d: unknown key \\"nonsense\\""' % (re.escape(m.path("c.conf")), lines))
    equal((s["reloads"], s["reloads_failed"]), ("0", "1"), "reloads, failed")
    # The mistake mended, it is taken.
    m.write()
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", 3)
    m.served_by(2)


@test
def missing_config_and_folder_are_refused_at_reload():
    m = Master()
    os.rename(m.path("c.conf"), m.path("away"))
    refused_reload(m, r"event=reload-refused .*c.conf: cannot be read: No such file or directory")
    m.write(mail=m.path("nowhere"))
    refused_reload(m, r'nowhere\\" does not exist')


@test
def state_dir_cannot_change_at_reload():
    m = Master()
    os.mkdir(m.path("other"))
    m.write(state=m.path("other"))
    refused_reload(m, r"event=reload-refused .*state_dir has changed")


@test
def taken_port_is_refused_at_reload():
    m = Master()
    with socket.create_server(("127.0.0.1", m.port2)):
        third = next(PORTS)
        m.write(addresses=["127.0.0.1:%d" % m.port, "127.0.0.1:%d" % third, "127.0.0.1:%d" % m.port2])
        refused_reload(m, r"127.0.0.1:%d: address already in use" % m.port2)
        check(refuses(third), "an address of the refused config is still bound")


@test
def new_generation_that_fails_is_undone():
    m = Master()
    m.stub("fail=71@2")
    m.write(addresses=["127.0.0.1:%d" % m.port, "127.0.0.1:%d" % m.port2])
    refused_reload(m, r"the new workers could not start")
    wait_for(lambda: refuses(m.port2), why="its address is still bound")
    equal(m.stats()["reloads_failed"], "1", "reloads_failed")


@test
def hup_during_a_reload_is_remembered():
    m = Master()
    m.stub("mute@2")
    m.signal(signal.SIGHUP)
    wait_for(lambda: len(m.pids()) == 4)
    m.signal(signal.SIGHUP)
    time.sleep(0.2)
    check(not glob.glob(m.path("stub.*.3")), "the second reload began inside the first")
    os.kill(int(m.given(3, 2)["pid"][0]), signal.SIGKILL)
    wait_for(lambda: m.greeting().endswith(" 3\r\n"), why="the second HUP was forgotten")


@test
def retired_workers_may_linger_and_then_go():
    m = Master(stub="linger=700@1")
    old = m.pids()
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", 2)
    check(all(map(alive, old)), "the old ones were not left their time")
    m.served_by(2)
    wait_for(lambda: not any(map(alive, old)), why="old workers stay")
    m.wait_log("event=retired")


def newer_programs(m, word):
    """HUP after a package was installed: workers of the next generation on disk find another build's master."""
    old = os.stat(m.path("bin/letterplate-worker")).st_ino
    m.replace("letterplate-worker", STUB)
    m.stub(word)
    r = m.ctl("reload")
    equal(r.returncode, 0, "status: %s" % r.stderr)
    check('"letterplate ctl upgrade" (USR2) takes the new ones' in r.stderr + r.stdout, r.stderr)
    m.wait_log(r"level=warn .*event=reload .*the programs on disk are of another build")
    m.served_by(3)
    m.wait_log(r"event=retired")
    equal({os.stat("/proc/%d/exe" % p).st_ino for p in m.pids()}, {old}, "their program")
    s = m.stats()
    equal((s["reloads"], s["reloads_failed"]), ("1", "0"), "reloads, failed")
    # Those on disk are tried first, each time.
    equal(m.ctl("reload").returncode, 0, "the next reload")
    m.served_by(4)
    m.wait_log(r"event=retired", 2)
    check({os.stat("/proc/%d/exe" % p).st_ino for p in m.pids()} != {old}, "the programs on disk are not taken")


@test
def programs_of_another_build_on_disk():
    newer_programs(Master(), "fail=76@2")
    newer_programs(Master(workers=64), "exit=76@2")


@test
def programs_of_another_build_twice():
    m = Master()
    m.stub("fail=76")
    r = m.ctl("reload")
    equal(r.returncode, 75, "status: %s" % r.stderr)
    m.wait_log(r"event=reload-refused .*the new workers could not start")
    check(m.greeting().endswith(" 1\r\n"), "generation 1 does not serve")
    m.stub("")
    equal(m.ctl("reload").returncode, 0, "afterwards")


# --- stop ---

@test
def term_drains_and_ends_with_0():
    m = Master(stub="linger=400", start=False)
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("sock")])
    m.start()
    equal(os.stat(m.path("sock")).st_mode & 0o7777, 0o666, "mode of the unix socket")
    pids, began = m.pids(), time.monotonic()
    equal(m.term(), 0, "status")
    check(time.monotonic() - began >= 0.4, "did not wait for its workers")
    equal(m.said("STOPPING=1"), 1, "STOPPING=1")
    check(not any(map(alive, pids)), "workers stay")
    check(not os.path.exists(m.path("sock")), "the unix socket stays")
    check(refuses(m.port), "the port is still bound")
    m.start()
    check(m.greeting(), "cannot be started again")


@test
def int_is_as_term():
    m = Master()
    m.signal(signal.SIGINT)
    equal(m.child.wait(10), 0, "status")


@test
def stubborn_workers_are_killed():
    m = Master(stub="stubborn", start=False)
    m.write(drain="200ms")
    m.start()
    pids, began = m.pids(), time.monotonic()
    equal(m.term(), 0, "status")
    took = time.monotonic() - began
    check(took >= 5, "killed after %.1f s, not drain and 5 s" % took)
    check(not any(map(alive, pids)), "workers stay")
    check(m.text().count('event=worker-killed') == 2, m.text())


@test
def second_term_is_at_once():
    m = Master(stub="stubborn")
    pids = m.pids()
    m.signal(signal.SIGTERM)
    m.wait_log("event=stop ")
    began = time.monotonic()
    m.signal(signal.SIGTERM)
    equal(m.child.wait(10), 0, "status")
    check(time.monotonic() - began < 4, "not at once")
    check(not any(map(alive, pids)), "workers stay")
    equal(len(m.wait_log("event=worker-ended ", n=2)), 2, "workers that ended as they were told to")
    check("worker-died" not in m.text(), m.text())
    equal(m.stats()["workers_died"], "0", "workers_died")


@test
def term_during_a_reload():
    m = Master()
    m.stub("mute@2")
    m.signal(signal.SIGHUP)
    wait_for(lambda: len(m.pids()) == 4)
    pids = m.pids()
    equal(m.term(), 0, "status")
    check(not any(map(alive, pids)), "workers stay")


@test
def killed_master_leaves_no_orphans_and_its_port():
    m = Master()
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("sock")])
    m.signal(signal.SIGHUP)
    m.wait_note("READY=1", 2)
    for _ in range(3):
        pids = m.pids()
        m.signal(signal.SIGKILL)
        m.child.wait()
        m.notify.close()
        m.log.close()
        m.start()               # at once: it has to wait for the orphans to close, and to replace the stale socket
        wait_for(lambda: not any(map(alive, pids)), why="orphans stay")
        check(m.greeting(), "does not serve")
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(m.path("sock"))
            check(c.recv(100), "the unix socket does not serve")


def started_by_a_pipe():
    """A master that still reads its config: it is told by a pipe, whose writing end is the second."""
    m = Master(start=False)
    text = open(m.path("c.conf")).read()
    os.unlink(m.path("c.conf"))
    os.mkfifo(m.path("c.conf"))
    m.start(wait=False)

    def opened():
        try:
            return os.open(m.path("c.conf"), os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
    return m, wait_for(opened), text


@test
def signals_that_come_before_the_config_is_read_are_looked_at_later():
    for sig, event in (signal.SIGHUP, "reloaded"), (signal.SIGUSR2, "upgraded"):
        m, fd, text = started_by_a_pipe()
        m.signal(signal.SIGUSR1)
        m.signal(sig)
        os.unlink(m.path("c.conf"))
        m.write(text)
        os.write(fd, text.encode())
        os.close(fd)
        m.wait_log("event=%s generation=2" % event)
        equal(m.term(), 0, "status")


@test
def term_before_the_config_is_read_ends_it():
    m, fd, _ = started_by_a_pipe()
    m.signal(signal.SIGTERM)
    m.child.wait(10)
    os.close(fd)


@test
def other_signals_do_no_harm():
    m = Master()
    for sig in (signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD):
        m.signal(sig)
    time.sleep(0.1)
    equal(m.child.poll(), None, "status")
    check(m.greeting(), "does not serve")


# In bind()'s place: whoever owns the socket's folder puts a link where the socket was made.
SWAP = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	int rc = ((int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind"))(fd, sa, len);
	const char *path = ((const struct sockaddr_un *)sa)->sun_path;

	if (rc == 0 && sa->sa_family == AF_UNIX && strcmp(strrchr(path, '/'), "/sock") == 0 && unlink(path) == 0)
		(void)!symlink(getenv("SWAP_TO"), path);
	return rc;
}
"""


@test
def a_unix_socket_that_is_swapped_for_a_link_opens_nothing():
    if harness.sanitized():
        raise Skip("a sanitizer's runtime has to be the first that is loaded")
    m = Master(start=False)
    with open(m.path("swap.c"), "w") as f:
        f.write(SWAP)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", "swap.so", "swap.c", "-ldl"], cwd=m.root, check=True, timeout=60)
    os.close(os.open(m.path("victim"), os.O_WRONLY | os.O_CREAT, 0o600))
    m.env = {"LD_PRELOAD": m.path("swap.so"), "SWAP_TO": m.path("victim")}
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("sock")])
    m.start()
    check(os.path.islink(m.path("sock")), "it was not swapped: the test is broken")
    equal(os.stat(m.path("victim")).st_mode & 0o7777, 0o600, "mode of what the link leads to")
    equal(m.term(), 0, "status")
    check(os.path.islink(m.path("sock")), "another's link was removed")


# --- what it refuses to start with ---

@test
def taken_port_is_69():
    m = Master(start=False)
    with socket.create_server(("127.0.0.1", m.port)):
        r = m.run("-c", "c.conf")
    equal(r.returncode, 69, "status")
    equal(r.stderr, 'letterplate: listener "mx": 127.0.0.1:%d: address already in use: another server has it; '
          'stop that one or change the address\n' % m.port, "what it says")


@test
def port_that_becomes_free_is_taken():
    m = Master(start=False)
    s = socket.create_server(("127.0.0.1", m.port))
    m.start(wait=False)
    time.sleep(0.5)
    s.close()
    m.wait_note("READY=1")


@test
def taken_unix_socket_is_69_and_a_file_78():
    m = Master(start=False)
    m.write(addresses=["unix:" + m.path("sock")])
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(m.path("sock"))
        s.listen()
        r = m.run("-c", "c.conf")
        equal(r.returncode, 69, "status: " + r.stderr)
        check(os.path.exists(m.path("sock")), "another's socket was removed")
    os.unlink(m.path("sock"))
    open(m.path("sock"), "w").close()
    r = m.run("-c", "c.conf")
    equal(r.returncode, 78, "status: " + r.stderr)
    check(os.path.isfile(m.path("sock")), "a file was removed")


@test
def no_permission_is_77():
    m = Master(start=False)
    m.write(addresses=["127.0.0.1:25"])
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as f:
        if int(f.read()) <= 25:
            raise Skip("any user may bind port 25 here")
    command = [m.path("bin/letterplate"), "-c", m.path("c.conf")]
    if os.geteuid() == 0:
        for d in ("", "state", "mail"):
            os.chmod(m.path(d), 0o777)
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all"] + command
    r = subprocess.run(command, capture_output=True, text=True, timeout=30)
    equal(r.returncode, 77, "status: " + r.stderr)
    equal(len(r.stderr.splitlines()), 1, "lines")
    check("127.0.0.1:25: no permission: ports below 1024 need root" in r.stderr, r.stderr)


@test
def missing_folder_is_78():
    for what in ("state", "directory", "mail"):
        m = Master(start=False)
        m.write(**{what: m.path("nowhere")})
        r = m.run("-c", "c.conf")
        equal(r.returncode, 78, "status")
        check(re.fullmatch(r'c.conf:\d+: .*"%s" does not exist; create it and give it to .*\n'
                           % re.escape(m.path("nowhere")), r.stderr), r.stderr)


@test
def missing_user_is_78():
    need_root()
    m = Master(start=False)
    m.write(user="nosuchuser")
    r = m.run("-c", "c.conf")
    equal((r.returncode, r.stderr), (78, 'c.conf:2: user "nosuchuser" does not exist; create it or set another\n'), "it")


@test
def bad_configs_are_78():
    m = Master(start=False)
    bad = sorted(glob.glob(os.path.join(TOP, "tests/conf/bad/*.conf")))
    check(len(bad) >= 60, "%d broken configs" % len(bad))
    for path in bad:
        for args in (["-t", "-c", path], ["-c", path]):
            r = m.run(*args)
            equal(r.returncode, 78, "%s: status" % path)
            for line in r.stderr.splitlines():
                check(re.match(re.escape(path) + r":\d+: ", line), "%s: %s" % (path, r.stderr))
            check(r.stderr and not r.stdout, path)


@test
def the_example_is_right():
    m = Master(start=False)
    with open(os.path.join(TOP, "examples/letterplate.conf")) as f:
        text = f.read()
    for a, b in (("/run/letterplate", m.path("state")), ("/var/lib/letterplate", m.path("directory")),
                 ("/var/mail/letterplate", m.path("mail")), ('user = "letterplate"', 'user = "nobody"')):
        check(a in text, "%s is not in the example" % a)
        text = text.replace(a, b)
    m.write(text=text)
    r = m.run("-t", "-c", "c.conf")
    equal((r.returncode, r.stdout, r.stderr), (0, "c.conf: ok\n", ""), "letterplate -t")


@test
def no_config_no_worker():
    m = Master(start=False)
    r = m.run("-c", "nowhere.conf")
    equal((r.returncode, r.stderr), (78, "letterplate: nowhere.conf: the config cannot be read: No such file or directory\n"), "it")
    os.unlink(m.path("bin/letterplate-worker"))
    r = m.run("-c", "c.conf")
    equal(r.returncode, 72, "status: " + r.stderr)
    check("it must stand beside letterplate" in r.stderr, r.stderr)


@test
def two_servers_one_state_dir():
    m, n = Master(), Master(start=False)
    n.write(state=m.path("state"), addresses=["unix:" + n.path("mx.sock")])
    r = n.run("-c", "c.conf")
    equal(r.returncode, 69, "status: " + r.stderr)
    check("is used by another letterplate" in r.stderr, r.stderr)
    check(not os.path.exists(n.path("mx.sock")), "its socket is left behind")
    # The file made anew is locked by nobody: as a server of an earlier build, which has the folder alone.
    os.unlink(m.path("state/lock"))
    r = n.run("-c", "c.conf")
    equal(r.returncode, 69, "status: " + r.stderr)
    check("is used by another letterplate" in r.stderr, r.stderr)
    check(m.greeting(), "the first does not serve")


def locked(path):
    """Whether somebody has that file or folder locked."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@test
def a_folder_that_somebody_locks_keeps_no_server_from_starting():
    m = Master(start=False)
    os.close(os.open(m.path("state/lock"), os.O_RDONLY | os.O_CREAT, 0o644))
    fd = os.open(m.path("state"), os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    m.start()
    m.wait_log("event=start .*somebody who is no letterplate has locked the folder ")
    check(m.greeting(), "does not serve")
    equal(os.stat(m.path("state/lock")).st_mode & 0o7777, 0o600, "mode of the lock")
    check(locked(m.path("state/lock")), "the file is not locked")
    n = Master(start=False)
    n.write(state=m.path("state"))
    equal(n.run("-c", "c.conf").returncode, 69, "status of a second one")
    os.close(fd)
    # At best both: a server of an earlier build looks at the folder.
    equal(m.term(), 0, "status")
    m.start()
    check(locked(m.path("state")) and locked(m.path("state/lock")), "one of the two is not locked")
    equal(m.ctl("upgrade").returncode, 0, "upgrade")
    check(locked(m.path("state")) and locked(m.path("state/lock")), "one of the two is not locked after an upgrade")


@test
def a_lock_that_is_a_link_is_not_followed():
    m = Master(start=False)
    os.symlink(m.path("elsewhere"), m.path("state/lock"))
    r = m.run("-c", "c.conf")
    equal(r.returncode, 73, "status: " + r.stderr)
    check(not os.path.exists(m.path("elsewhere")), "it was made")


@test
def arguments():
    m = Master(start=False)
    r = m.run("-t", "-c", "c.conf")
    equal((r.returncode, r.stdout, r.stderr), (0, "c.conf: ok\n", ""), "-t")
    r = m.run("-V")
    check(r.returncode == 0 and re.fullmatch(r"letterplate \d+\.\d+\.\d+\n", r.stdout), r.stdout)
    r = m.run("-h")
    check(r.returncode == 0 and r.stdout.startswith("usage: letterplate -c FILE"), r.stdout)
    for args in ([], ["-c"], ["-x"], ["-c", "c.conf", "more"], ["-t"]):
        equal(m.run(*args).returncode, 64, "status with %s" % args)


@test
def root_keeps_little():
    need_root()
    m = Master()
    with open("/proc/%d/status" % m.child.pid) as f:
        caps = dict(re.findall(r"^(Cap\w+):\s+(\w+)$", f.read(), re.M))
    little = "%016x" % (1 << 6 | 1 << 7 | 1 << 10)     # SETGID, SETUID, NET_BIND_SERVICE
    equal((caps["CapPrm"], caps["CapEff"]), (little,) * 2, "capabilities")
    equal(int(caps["CapBnd"], 16), int(little, 16) | 1 << 8, "bounding set: with SETPCAP, for workers to empty theirs")


if __name__ == "__main__":
    main()
