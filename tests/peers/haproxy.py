#!/usr/bin/env -S python3 -B
# check: no
"""haproxy: the load balancer of Debian in front of us, with both versions of its protocol."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import SMTP
from harness import Skip, check, equal, main, test
from server import Server, free_port, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
CONFIG = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend v1
    bind 127.0.0.1:{v1}
    default_backend v1
backend v1
    server mx 127.0.0.1:{mx} send-proxy
frontend v2
    bind 127.0.0.1:{v2}
    default_backend v2
backend v2
    server mx 127.0.0.1:{mx} send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 200ms check-send-proxy
"""


class Balanced(Server):
    def __init__(self, **more):
        port = free_port()
        super().__init__(listener='listener "mx" { address = {"127.0.0.1:%d"} proxy_from = {"127.0.0.0/8"} }' % port,
                         count=False, **more)      # haproxy's own checks get a greeting too
        self.ports = {"mx": port, "v1": free_port(), "v2": free_port()}

    def __enter__(self):
        if not shutil.which("haproxy") and not os.path.exists("/usr/sbin/haproxy"):
            raise Skip("haproxy is not installed: tools/install-deps peers")
        with open(self.path("haproxy.cfg"), "w") as f:
            f.write(CONFIG.format(**self.ports))
        self.haproxy = subprocess.Popen(["haproxy", "-db", "-f", self.path("haproxy.cfg")], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
        wait_for(self.is_up, why="haproxy does not come up")
        return super().__enter__()

    def is_up(self):
        check(self.haproxy.poll() is None, "haproxy ended")
        try:
            for port in self.ports["v1"], self.ports["v2"]:
                self.client(("127.0.0.1", port)).quit()
            return True
        except (OSError, Exception):    # not listening yet, or its check has not been done
            return False

    def __exit__(self, *exception):
        self.haproxy.terminate()
        self.haproxy.wait()
        return super().__exit__(*exception)


def through(version):
    with Balanced() as s:
        c = s.client(("127.0.0.1", s.ports[version]), source="127.0.3.7")
        port = c.sock.getsockname()[1]
        c.greeting.is_(220)
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        c.quit()
        check("([127.0.3.7])" in s.messages(ALICE)[0]["Received"], "the client in Received")
        wait_for(lambda: "remote=127.0.3.7 port=%d proxy=127.0.0.1 " % port in s.log(), why="no such line in the log")
        with SMTP(s.seen, "127.0.0.1", s.ports[version]) as c:
            equal(c.sendmail("a@b.example", [ALICE], TEXT.decode()), {}, "refused")


@test
def version_1():
    through("v1")


@test
def version_2_with_tlvs_and_a_checksum():
    through("v2")


@test
def limits_count_the_client():
    with Balanced(limits="connections_per_ip = 2") as s:
        address = ("127.0.0.1", s.ports["v2"])
        wait_for(lambda: s.sessions_open() == 0, why="a session of the start is still open")
        held = [s.client(address, source="127.0.3.1") for _ in range(2)]
        equal([c.greeting.code for c in held], [220, 220], "greetings")
        s.client(address, source="127.0.3.1").greeting.is_(421, "4.7.0")
        s.client(address, source="127.0.3.2").greeting.is_(220)


main()
