#!/usr/bin/env -S python3 -B
# check: no
"""exim: Debian's heavy Exim relays to us by BDAT.

Its package cannot stand beside Postfix's, so it is not installed: mk/peers.mk
unpacks it into build/peers/exim.  Its user is made in a mount namespace alone.
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import TOP, Skip, check, equal, main, need_root, test
from server import Server

EXIM = os.path.join(TOP, "build/peers/exim")
ALICE, BOB = "alice@example.org", "bob@example.org"
CONFIG = """\
primary_hostname = relay.test.example
exim_path = {exim}/usr/sbin/exim4
spool_directory = {root}/spool
log_file_path = {root}/log/%slog
tls_advertise_hosts =
message_size_limit = 20M
keep_environment = LD_LIBRARY_PATH
add_environment = <; LD_LIBRARY_PATH={libraries}
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1::{port} byname
  transport = out
  self = send
begin transports
out:
  driver = smtp
  protocol = {protocol}
  port = {port}
  hosts_try_chunking = *
  hosts_avoid_tls = *
  max_rcpt = 100
  message_linelength_limit = 1000000
"""
WRAP = """\
set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
exec "$@"
"""


class Exim:
    def __init__(self, port, protocol="smtp"):
        need_root()
        if not os.path.exists(EXIM + "/usr/sbin/exim4"):
            raise Skip("exim4 is not unpacked: make check-peers")
        self.root = harness.scratch("exim.")
        os.chmod(self.root, 0o755)
        self.libraries = ":".join(EXIM + x for x in ("/usr/lib", "/usr/lib/x86_64-linux-gnu"))
        for d in "spool", "log":
            os.mkdir(os.path.join(self.root, d))
            os.chown(os.path.join(self.root, d), 64990, 64990)
        for name, line in ("passwd", "Debian-exim:x:64990:64990::/nonexistent:/bin/false\n"), ("group", "Debian-exim:x:64990:\n"):
            with open("/etc/" + name) as f, open(os.path.join(self.root, name), "w") as out:
                out.write(f.read() + line)
        with open(os.path.join(self.root, "exim.conf"), "w") as f:
            f.write(CONFIG.format(root=self.root, port=port, protocol=protocol, libraries=self.libraries, exim=EXIM))

    def run(self, *args, text=b""):
        r = subprocess.run(["unshare", "-m", "sh", "-c", WRAP, self.root, EXIM + "/usr/sbin/exim4", "-C",
                            self.root + "/exim.conf", *args], input=text, capture_output=True, timeout=100,
                           env=dict(os.environ, LD_LIBRARY_PATH=self.libraries))
        return r.returncode, (r.stdout + r.stderr).decode(errors="replace")

    def send(self, rcpts, text, sender="a@b.example"):
        """Deliver at once, in the foreground; what its main log says."""
        status, out = self.run("-odf", "-oi", "-f", sender, *rcpts, text=text)
        equal(status, 0, "exim's status: " + out[-1500:])
        with open(self.root + "/log/mainlog") as f:
            return f.read()

    def end(self):
        shutil.rmtree(self.root, ignore_errors=True)


def delivered(log, rcpt):
    return re.search(r"=> %s .* K C=\"250 " % re.escape(rcpt), log)      # K: by CHUNKING


@test
def bdat():
    with Server(count=False, message_size_limit="20MiB") as s:
        x = Exim(s.port)
        bodies = [b"x\n", b".\n..\n.dot\n", b"\xff\xfe caf\xc3\xa9\n", os.urandom(300000).hex().encode() + b"\n",
                  b"".join(b"%060d\n" % i for i in range(100000))]
        for n, body in enumerate(bodies, 1):
            log = x.send([ALICE, BOB], b"Subject: %d\n\n" % n + body)
            check(delivered(log, ALICE), "not delivered by BDAT: " + log[-1500:])
        for box in ALICE, BOB:
            got = sorted(m.content.partition(b"\n\n")[2] for m in s.messages(box))
            equal([len(x) for x in got], [len(x) for x in sorted(bodies)], "lengths for " + box)
            check(got == sorted(bodies), "contents for %s differ" % box)
        x.end()


@test
def bdat_refused():
    with Server(count=False, message_size_limit="10KiB") as s:
        x = Exim(s.port)
        log = x.send(["nobody@example.org", ALICE], b"Subject: x\n\nbody\n")
        check(re.search(r"\*\* nobody@example.org .*550 5\.1\.1", log), "not refused: " + log[-1500:])
        check(delivered(log, ALICE), "not delivered: " + log[-1500:])
        log = x.send(["nobody@example.org"], b"Subject: x\n\nbody\n")
        log = x.send([ALICE], b"Subject: x\n\n" + b"y" * 70 + b"\n" + b"".join(b"%060d\n" % i for i in range(1000)))
        check(re.search(r"\*\* alice@example.org .*(552|size|exceed)", log), "not refused: " + log[-1500:])
        equal(len(s.messages(ALICE)), 1, "messages")
        x.end()


@test
def bdat_over_lmtp():
    s = Server(start=False, count=False)
    s.listener = 'listener "lmtp" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % s.port
    s.write_config()
    with s:
        s.start()
        x = Exim(s.port, "lmtp")
        log = x.send([ALICE, BOB, "nobody@example.org"], b"Subject: x\n\nbody\n")
        for box in ALICE, BOB:
            check(re.search("[=-]> %s" % box, log), "not delivered: " + log[-1500:])
            equal(len(s.messages(box)), 1, "messages of " + box)
        check("with LMTP" in s.messages(ALICE)[0]["Received"], "not LMTP")
        x.end()


main()
