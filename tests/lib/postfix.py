"""postfix: a Postfix of one's own in a scratch folder, that relays to a test server.

Needs root: its master insists.  Nothing of the installed configuration is used.
"""
import os
import shutil
import smtplib
import subprocess

from harness import Skip, check, need_root
from server import free_port, wait_for

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
myhostname = relay.test.example
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = /dev/stdout
default_transport = {transport}
relayhost =
smtp_dns_support_level = disabled
minimal_backoff_time = 300s
{more}
"""


class Postfix:
    """TRANSPORT: where all mail goes, "lmtp:unix:/path" or "smtp:[127.0.0.1]:port"."""

    def __init__(self, root, transport, more=""):
        if not os.path.exists("/usr/sbin/postfix"):
            raise Skip("postfix is not installed: tools/install-deps peers")
        need_root()
        self.root, self.port = root, free_port()
        os.makedirs(os.path.join(root, "etc"))
        for d in "queue", "data":
            os.makedirs(os.path.join(root, d))
        shutil.chown(os.path.join(root, "data"), "postfix")
        os.chmod(root, 0o755)
        for name, text in ("main.cf", MAIN), ("master.cf", MASTER):
            with open(os.path.join(root, "etc", name), "w") as f:
                f.write(text.format(root=root, port=self.port, transport=transport, more=more))
        self.log_path = os.path.join(root, "log")

    def command(self, word):
        return subprocess.run(["/usr/sbin/postfix", "-c", os.path.join(self.root, "etc"), word], capture_output=True,
                              text=True, timeout=60)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(["/usr/sbin/postfix", "-c", os.path.join(self.root, "etc"), "start-fg"],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_up, 20, lambda: "postfix does not come up: %s" % self.log()[-1500:])
        return self

    def is_up(self):
        check(self.child.poll() is None, "postfix ended: %s" % self.log()[-1500:])
        try:
            with smtplib.SMTP("127.0.0.1", self.port):
                return True
        except OSError:
            return False

    def send(self, sender, rcpts, text, options=()):
        with smtplib.SMTP("127.0.0.1", self.port) as c:
            c.sendmail(sender, rcpts, text, mail_options=options)

    def __exit__(self, *exception):
        self.command("stop")
        self.child.wait(30)
        return False
