#!/usr/bin/env -S python3 -B
# check: timeout=120
"""sockets: those that a service manager passes (sd_listen_fds(3)): matched by the listener's name, kept over reloads
and upgrades, and what is refused, in which words."""
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import Skip, check, equal, main, test
from proc import descriptors
from stubmaster import Master, wait_for

# Brings the descriptors of its first argument to 3, 4, ... and becomes the rest.
LAUNCHER = """
import fcntl, os, sys
fds = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 100) for n in sys.argv[1].split(",")]
os.closerange(3, 100)
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[3])), LISTEN_FDS=str(len(fds)))
if sys.argv[2] != "-":
    os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[4], sys.argv[4:])
"""


def tcp(port=0):
    s = socket.create_server(("127.0.0.1", port))
    return s


def unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    return s


def launcher(socks, names, pid=0):
    return [sys.executable, "-B", "-c", LAUNCHER, ",".join(str(s.fileno()) for s in socks), names, str(pid)]


def start(m, socks, names, **more):
    m.start(prefix=launcher(socks, names), pass_fds=[s.fileno() for s in socks], **more)


def port(s):
    return s.getsockname()[1]


def ino(s):
    return os.stat("/proc/self/fd/%d" % s.fileno()).st_ino


def holds(m, s):
    """How many descriptors of the master are that socket."""
    return descriptors(m.child.pid).count("socket:[%d]" % ino(s))


def greeted(address):
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as c:
        c.settimeout(5)
        c.connect(address)
        return c.recv(100).decode()


def refusal(config, socks, names, word, code=78):
    """A start that is refused with WORD."""
    m = Master(start=False)
    m.write(**config(m))
    s = socks(m)
    p = subprocess.run(launcher(s, names) + [m.path("bin/letterplate"), "-c", m.path("c.conf")], timeout=20,
                       pass_fds=[x.fileno() for x in s], capture_output=True, text=True)
    equal(p.returncode, code, "status: %s" % p.stderr)
    check(word in p.stderr and p.stderr.count("\n") == 1, "no %r in %r" % (word, p.stderr))
    for x in s:
        x.close()


def plain(m):
    return {}


def two(m):
    return {"addresses": ["127.0.0.1:%d" % m.port, "127.0.0.1:%d" % m.port2]}


@test
def by_name_and_in_the_order_of_addresses():
    m = Master(start=False)
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("mx.sock")],
            extra='listener "lmtp" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % m.port2)
    a, b, c = tcp(), unix(m.path("passed.sock")), tcp()
    start(m, [a, c, b], "mx:lmtp:mx")
    for address in (("127.0.0.1", port(a)), m.path("passed.sock"), ("127.0.0.1", port(c))):
        check(greeted(address).startswith("stub "), "no greeting at %s" % (address,))
    equal(m.given(1, 1)["nlisten"], ["3"], "listeners")
    equal([m.given(1, 1)["listen%d" % i] for i in range(3)], [["listening"]] * 3, "listeners")
    # Nothing is bound beside them, and nobody downstream takes them for his own.
    for p in (m.port, m.port2):
        with socket.socket() as s:
            check(s.connect_ex(("127.0.0.1", p)) != 0, "port %d is bound, too" % p)
    with open("/proc/%d/environ" % m.child.pid, "rb") as f:
        check(b"LISTEN_PID" in f.read(), "the launcher passed nothing")
    equal(m.term(), 0, "status after TERM")
    check(os.path.exists(m.path("passed.sock")), "the service manager's socket was removed")
    # The queue is theirs: it is served by who is started next.
    with socket.create_connection(("127.0.0.1", port(a)), 5) as waiting:
        start(m, [a, c, b], "mx:lmtp:mx")
        check(waiting.recv(100).startswith(b"stub "), "who connected meanwhile is not greeted")


@test
def the_others_are_bound():
    m = Master(start=False)
    m.write(extra='listener "lmtp" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % m.port2)
    a = tcp()
    start(m, [a], "mx")
    check(m.greeting(port(a)) and m.greeting(m.port2), "no greeting")
    equal(m.given(1, 1)["nlisten"], ["2"], "listeners")


@test
def kept_over_reloads_and_upgrades():
    m = Master(start=False)
    a = tcp()
    start(m, [a], "mx")
    equal(m.ctl("reload").returncode, 0, "reload")
    m.wait_log(r"event=reloaded generation=2")
    equal(m.ctl("upgrade").returncode, 0, "upgrade")
    m.wait_log(r"event=upgraded generation=3")
    equal(m.ctl("upgrade").returncode, 0, "upgrade")
    m.wait_log(r"event=retired", 3)
    check(m.greeting(port(a)).endswith(" 4\r\n"), "no greeting")
    equal(holds(m, a), 1, "descriptors of it")
    with socket.socket() as s:
        check(s.connect_ex(("127.0.0.1", m.port)) != 0, "the config's port is bound, too")
    # A config that has no place for it is refused, as it would be at a start.
    text = m.config()
    m.write(text=text.replace('listener "mx"', 'listener "in"'))
    r = m.ctl("reload")
    equal(r.returncode, 75, "status")
    check('a socket is passed by the name "mx", and no listener has it' in r.stderr, r.stderr)
    check(m.greeting(port(a)).startswith("stub "), "no greeting")
    m.write(text=text)
    equal(m.ctl("reload").returncode, 0, "reload")
    check(m.greeting(port(a)).startswith("stub "), "no greeting")


@test
def not_for_us():
    m = Master(start=False)
    a = tcp()
    m.start(prefix=launcher([a], "mx", 1), pass_fds=[a.fileno()])
    check(m.greeting().startswith("stub "), "the config's port is not bound")
    equal(holds(m, a), 1, "another's descriptor is left alone")
    r = subprocess.run(launcher([a], "nonsense") + [m.path("bin/letterplate"), "-t", "-c", m.path("c.conf")], timeout=20,
                       pass_fds=[a.fileno()], capture_output=True, text=True)
    equal((r.returncode, r.stdout), (0, m.path("c.conf") + ": ok\n"), "-t: %s" % r.stderr)


@test
def what_is_refused():
    refusal(plain, lambda m: [tcp()], "submission",
            'a socket is passed by the name "submission", and no listener has it: FileDescriptorName= of the socket unit '
            'says the listener\'s, as "mx"')
    refusal(plain, lambda m: [tcp()], "-", 'a socket is passed by the name "unknown"')
    refusal(plain, lambda m: [tcp(), tcp()], "mx", 'a socket is passed by the name "unknown"')
    refusal(plain, lambda m: [tcp(), tcp()], "mx:mx", 'listener "mx" has 1 address, and more sockets are passed by its name')
    refusal(two, lambda m: [tcp()], "mx", 'listener "mx" has 2 addresses, and 1 is passed by its name')
    refusal(plain, lambda m: [unix(m.path("s"))], "mx", 'is a unix socket: the socket unit names them in the order')
    refusal(lambda m: {"addresses": ["unix:" + m.path("x")]}, lambda m: [tcp()], "mx", "is no unix socket: ")
    refusal(plain, lambda m: [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)], "mx",
            'the descriptor 3, passed as "mx", is no stream socket that listens')
    refusal(plain, lambda m: [socket.socket()], "mx", "is no stream socket that listens")
    refusal(plain, lambda m: [open("/dev/null")], "mx", "is no stream socket that listens")


def dissolve(s):
    """connect(2) with AF_UNSPEC, which ends what the socket was, a listener as well."""
    libc = ctypes.CDLL(None, use_errno=True)
    equal(libc.connect(s.fileno(), b"\0" * 16, 16), 0, "connect: errno %d" % ctypes.get_errno())


@test
def what_a_worker_does_to_all_is_undone():
    """A passed socket is ours as it is a worker's: what one does to it, all have."""
    m = Master(start=False)
    a, other = tcp(m.port2), tcp()
    start(m, [a], "mx")
    pids = m.pids()

    def lead_away():
        dissolve(a)
        check(a.connect_ex(other.getsockname()) in (0, errno.EINPROGRESS), "it is not led away")

    for n, harm in enumerate((lambda: a.shutdown(socket.SHUT_RDWR), lambda: dissolve(a), lead_away), 1):
        m.signal(signal.SIGSTOP)
        harm()
        with socket.socket() as s:
            check(s.connect_ex(("127.0.0.1", m.port2)) != 0, "it still listens: the test is broken")
        m.signal(signal.SIGCONT)
        m.wait_log(r"event=listener .*127\.0\.0\.1:%d did not listen any more.*; mended" % m.port2, n)
        check(m.greeting(m.port2).startswith("stub "), "no greeting")
    a.setblocking(True)
    m.wait_log(r"event=listener .*127\.0\.0\.1:%d was made to block.*; mended" % m.port2)
    check(fcntl.fcntl(a, fcntl.F_GETFL) & os.O_NONBLOCK, "it still blocks")
    # Half of it is what the sandbox lets through, and nothing to a listener.
    a.shutdown(socket.SHUT_WR)
    check(m.greeting(m.port2).startswith("stub "), "no greeting")
    time.sleep(1.2)
    equal(m.text().count("event=listener"), 4, "lines")
    equal(m.pids(), pids, "workers")


@test
def by_systemds_own_tool():
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        raise Skip("no systemd-socket-activate")
    m = Master(start=False)
    m.start(wait=False, prefix=[tool, "--fdname=mx", "-l", "127.0.0.1:%d" % m.port2, "-E", "NOTIFY_SOCKET"])
    # It waits for the first client.
    def answered():
        try:
            return m.greeting(m.port2)
        except ConnectionRefusedError:
            return None
    check(wait_for(answered).startswith("stub "), "no greeting")
    m.wait_note("READY=1")
    equal(m.given(1, 1)["nlisten"], ["1"], "listeners")
    equal(m.term(), 0, "status after TERM")


main()
