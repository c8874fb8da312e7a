#!/usr/bin/env -S python3 -B
# check: no
"""opensmtpd: Debian's OpenSMTPD relays to us, over SMTP in clear and inside TLS, and over LMTP.

Its package cannot stand beside Postfix's: mk/peers.mk unpacks it into build/peers/opensmtpd, and its users,
its queue and its helpers are there in a mount namespace alone.
"""
import os
import re
import shutil
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import tls
from harness import TOP, Skip, check, equal, main, need_root, test
from server import Server, free_port, wait_for

PROGRAMS = os.path.join(TOP, "build/peers/opensmtpd")
ALICE, BOB, CAROL = ("%s@example.org" % x for x in ("alice", "bob", "carol"))
CONFIG = """\
listen on 127.0.0.1 port {port} hostname relay.test.example
action "relay" relay host "{to}"
match from any for any action "relay"
"""
WRAP = """\
set -e
mount -t tmpfs none /usr/libexec
mkdir /usr/libexec/opensmtpd
mount --bind "$1/usr/libexec/opensmtpd" /usr/libexec/opensmtpd
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
mount -t tmpfs none /var/spool
mkdir -m 711 /var/spool/smtpd
mount -t tmpfs none /var/lib
mkdir -p /var/lib/opensmtpd/empty
mount -t tmpfs none /run
exec "$1/usr/sbin/smtpd" -d -f "$0/smtpd.conf"
"""
TEXT = (b"From: a@b.example\r\nTo: x@example.org\r\nSubject: x\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
        b"Message-ID: <1@b.example>\r\n\r\n.dots\r\n..\r\n.\xc3\xbc\r\nbody\r\n")


class OpenSMTPD:
    """TO: where all mail goes, "smtp://127.0.0.1:port"."""

    def __init__(self, to):
        need_root()
        if not os.path.exists(PROGRAMS + "/usr/sbin/smtpd"):
            raise Skip("opensmtpd is not unpacked: make check-peers")
        self.root, self.port = harness.scratch("opensmtpd."), free_port()
        os.chmod(self.root, 0o755)
        for name, lines in ("passwd", "opensmtpd:x:64991:64991::/var/lib/opensmtpd/empty:/bin/false\n"
                            "opensmtpq:x:64992:64992::/var/lib/opensmtpd/empty:/bin/false\n"), \
                           ("group", "opensmtpd:x:64991:\nopensmtpq:x:64992:\n"):
            with open("/etc/" + name) as f, open(os.path.join(self.root, name), "w") as out:
                out.write(f.read() + lines)
        with open(os.path.join(self.root, "smtpd.conf"), "w") as f:
            f.write(CONFIG.format(port=self.port, to=to))
        self.log_path = os.path.join(self.root, "log")

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", WRAP, self.root, PROGRAMS],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def up():
            check(self.child.poll() is None, "OpenSMTPD has ended: %s" % self.log()[-800:])
            try:
                smtplib.SMTP("127.0.0.1", self.port).quit()
                return True
            except OSError:
                return False
        wait_for(up, 20, lambda: "no OpenSMTPD: " + self.log()[-800:])
        return self

    def __exit__(self, kind, value, trace):
        self.child.terminate()
        self.child.wait(20)
        if kind is None:
            shutil.rmtree(self.root, ignore_errors=True)

    def send(self, rcpts, text=TEXT, sender="a@b.example"):
        with smtplib.SMTP("127.0.0.1", self.port) as c:
            c.sendmail(sender, rcpts, text, mail_options=["BODY=8BITMIME"] if c.has_extn("8bitmime") else [])

    def result(self, rcpt):
        """What it logged of a recipient: Ok, TempFail or PermFail, and our reply."""
        def found():
            return re.findall(r"mta delivery .*to=<%s> .*result=\"(\w+)\" stat=\"([^\"]*)\"" % re.escape(rcpt), self.log())
        wait_for(found, 60, lambda: "no result of %s: %s" % (rcpt, self.log()[-1500:]))
        return found()[-1]


def relayed(s, to, keyword, apart=False):
    """APART: a message a recipient.  Its LMTP client reads one reply after the end of data, and hangs up."""
    with s, OpenSMTPD(to) as o:
        rcpts = [ALICE, CAROL, "nobody@example.org", "moving@example.org"]
        for some in [[x] for x in rcpts] if apart else [rcpts]:
            o.send(some)
        equal([o.result(x)[0] for x in (ALICE, CAROL, "nobody@example.org", "moving@example.org")],
              ["Ok", "Ok", "PermFail", "TempFail"], "results")
        check("550 5.1.1" in o.result("nobody@example.org")[1], "reply %s" % (o.result("nobody@example.org"),))
        stored = s.messages(ALICE)[0]
        check("with %s" % keyword in " ".join(stored["Received"].split()), "Received: %s" % stored["Received"])
        # It puts its own Received in front and leaves the rest alone.
        check(stored.content.endswith(TEXT.replace(b"\r\n", b"\n")), "content %r" % stored.content)
        check(s.messages(CAROL), "carol has none")
        s.count = False         # how often it comes, and with what, is its own business


@test
def over_smtp():
    s = Server()
    relayed(s, "smtp://127.0.0.1:%d" % s.port, "ESMTP ")


@test
def inside_tls():
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "required" }\n' % port
               + tls.section(tls.certificate("opensmtpd-mx")))
    relayed(s, "smtp://127.0.0.1:%d" % port, "ESMTPS ")


@test
def over_lmtp():
    port = free_port()
    s = Server(listener='listener "lmtp" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % port)
    relayed(s, "lmtp://127.0.0.1:%d" % port, "LMTP ", apart=True)


main()
