#!/usr/bin/env -S python3 -B
# check: no
"""policy: postgrey, postfix-policyd-spf-python and postfwd decide about mail."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from dns import Dns
from harness import Skip, check, main, need_root, test
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def need(program):
    if not shutil.which(program):
        raise Skip("%s is not installed: tools/install-deps peers" % program)


def listening(path_or_port):
    import socket
    try:
        with socket.socket(socket.AF_UNIX if isinstance(path_or_port, str) else socket.AF_INET) as s:
            s.connect(path_or_port if isinstance(path_or_port, str) else ("127.0.0.1", path_or_port))
            return True
    except OSError:
        return False


class Peer:
    """A program in the foreground, or one that writes PIDFILE, ended with the block."""
    def __init__(self, where, *argv, pidfile=None):
        self.pidfile = pidfile
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, process_group=0)
        wait_for(lambda: listening(where), 20, "%s does not listen" % argv[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pidfile:
            with open(self.pidfile) as f:
                os.kill(int(f.read()), 15)
        else:
            os.killpg(self.child.pid, 15)
        self.child.wait(20)


def serve(socket, stage="rcpt"):
    port = free_port()
    s = Server(workers=1, listener='listener "mx" { address = {"127.0.0.1:%d"} xclient_from = {"127.0.0.1/32"} }' % port,
               extra='policy "p" { socket = "%s" stage = "%s" }' % (socket, stage))
    s.port = port
    return s


def client(s, address, helo="mail.example.test"):
    c = s.client()
    c.hello()
    c.cmd("XCLIENT ADDR=%s" % address).is_(220)
    c.hello(helo)
    return c


@test
def postgrey_waits_and_then_lets_in():
    need_root()
    need("postgrey")
    root, port = harness.scratch("postgrey."), free_port()
    shutil.chown(root, "postgrey")
    with Peer(port, "postgrey", "--inet=127.0.0.1:%d" % port, "--delay=2", "--dbdir=" + root, "--user=postgrey"):
        with serve("inet:127.0.0.1:%d" % port) as s:
            c = client(s, "198.51.100.10")
            c.cmd("MAIL FROM:<a@example.test>").is_(250)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(450)
            c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
            time.sleep(2.5)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
            c.data(TEXT).is_(250)
            c.quit()
            check(b"X-Greylist: delayed" in s.messages(ALICE)[0].raw, "no X-Greylist: %r" % s.messages(ALICE)[0].raw)
    shutil.rmtree(root, ignore_errors=True)


@test
def policyd_spf_refuses_what_spf_forbids():
    need_root()
    need("policyd-spf")
    need("socat")
    root = harness.scratch("spf.")
    zone = {("TXT", "bad.test"): ["v=spf1 -all"], ("TXT", "example.test"): ["v=spf1 ip4:198.51.100.10 -all"]}
    dns = Dns(zone, ("127.0.0.2", 53))
    with open(os.path.join(root, "resolv.conf"), "w") as f:
        f.write("nameserver 127.0.0.2\n")
    with open(os.path.join(root, "conf"), "w") as f:
        f.write("debugLevel = 0\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPermError_reject = False\n"
                "TempError_Defer = False\nskip_addresses = ::1/128\n")
    sock = os.path.join(root, "sock")
    # A resolver of its own, without touching the system's.
    with Peer(sock, "unshare", "-m", "--propagation", "private", "sh", "-c",
              'mount --bind %s/resolv.conf /etc/resolv.conf && exec socat UNIX-LISTEN:%s,fork,mode=666 '
              'EXEC:"/usr/bin/policyd-spf %s/conf"' % (root, sock, root)):
        with serve("unix:" + sock) as s:
            for sender, code, enhanced in (("a@bad.test", 550, "5.7.23"), ("a@example.test", 250, "2.1.5")):
                c = client(s, "198.51.100.10")
                c.cmd("MAIL FROM:<%s>" % sender).is_(250)
                c.cmd("RCPT TO:<%s>" % ALICE).is_(code, enhanced)
                if code == 250:
                    c.data(TEXT).is_(250)
                c.quit()
            raw = s.messages(ALICE)[0].raw
            check(b"Received-SPF: Pass" in raw or b"spf=pass" in raw, "no word of SPF: %r" % raw)
    check(dns.asked, "nobody asked the DNS")
    dns.sock.close()
    shutil.rmtree(root, ignore_errors=True)


@test
def postfwd_has_its_rules():
    need_root()
    need("postfwd")
    root, port = harness.scratch("postfwd."), free_port()
    with open(os.path.join(root, "rules"), "w") as f:
        f.write("id=1; sender==bad@client.example; action=REJECT not you\n"
                "id=2; protocol_state==END-OF-MESSAGE; size>=5000; action=554 5.3.4 too much\n")
    shutil.chown(root, "nobody", "nogroup")
    with Peer(port, "postfwd1", "-d", "-n", "-f", os.path.join(root, "rules"), "-i", "127.0.0.1", "-p", str(port),
              "--user=nobody", "--group=nogroup", "--pidfile=" + os.path.join(root, "pid"), pidfile=os.path.join(root, "pid")):
        with serve("inet:127.0.0.1:%d" % port) as s:
            c = client(s, "198.51.100.10")
            c.cmd("MAIL FROM:<bad@client.example>").is_(250)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(554, "5.7.1")
            c.cmd("RSET").is_(250)
            c.message(ALICE, TEXT).is_(250)
            c.quit()
        with serve("inet:127.0.0.1:%d" % port, "end") as s:
            c = client(s, "198.51.100.10")
            c.message(ALICE, TEXT).is_(250)
            c.message(ALICE, TEXT + b"x" * 6000 + b"\r\n").is_(554, "5.3.4")
            c.quit()
    shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
