#!/usr/bin/env -S python3 -B
# check: no timeout=600
"""import_postfix: a Postfix with virtual maps, and a Letterplate that imported them: each message is in the same mailboxes of both."""
import glob
import grp
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import postfix
from harness import BIN, check, equal, main, on_end, scratch, test
from postfixmaps import make
from server import Server, wait_for

_folders = []
on_end.append(lambda: [shutil.rmtree(_folders.pop(), ignore_errors=True) for _ in range(len(_folders))])


class Virtual(postfix.Postfix):
    """virtual(8) delivers; a path of a map is a Maildir."""

    def __init__(self, root, maps):
        owner = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
        os.makedirs(os.path.join(maps.root, "base"))
        os.chown(os.path.join(maps.root, "base"), *owner)
        kept = re.sub(r"^(compatibility_level|myhostname|mydestination) .*\n", "", maps.main, flags=re.M)
        postfix.MASTER += "virtual unix - n n - - virtual\n" if "\nvirtual " not in postfix.MASTER else ""
        super().__init__(root, "error", kept + "virtual_uid_maps = static:%d\nvirtual_gid_maps = static:%d\n" % owner +
                         "mydestination = relay.test.example\nsmtpd_relay_restrictions = reject_unauth_destination\n"
                         "smtpd_reject_unlisted_recipient = yes\n")

    def idle(self):
        out = subprocess.run(["/usr/sbin/postqueue", "-c", os.path.join(self.root, "etc"), "-p"], capture_output=True, text=True).stdout
        return "queue is empty" in out


def deliver(port, address, subject):
    """The code that the recipient got, after a message to it."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as c:
        c.ehlo("client.example")
        c.mail("s@client.example")
        code, text = c.rcpt(address)
        if code == 250:
            equal(c.data("Subject: %s\r\n\r\nx\r\n" % subject)[0], 250, "DATA")
        else:
            c.rset()
        return code, text.decode()


def where(base):
    """{subject: the Maildirs that have it}, by path below BASE."""
    found = {}
    for path in glob.glob(os.path.join(base, "**/new/*"), recursive=True):
        with open(path, errors="replace") as f:
            subject = re.search(r"^Subject: (\d+)$", f.read(), re.M).group(1)
        found.setdefault(int(subject), set()).add(os.path.relpath(os.path.dirname(os.path.dirname(path)), base))
    return found


def both(seed):
    folder = scratch("import.")
    _folders.append(folder)
    maps, ask, text = make(os.path.join(folder, "maps"), seed)
    with Server(mailboxes=None, start=False, count=False) as s:
        r = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "-d", s.path("directory"), "import", "postfix", "--main-cf",
                            os.path.join(maps.root, "main.cf")], capture_output=True, text=True, timeout=60)
        if r.returncode == 65:
            return False        # told; tests/tools/import_postfix.py
        equal(r.returncode, 0, r.stderr)
        s.start()
        with Virtual(os.path.join(folder, "postfix"), maps) as p:
            for i, address in enumerate(ask):
                theirs, ours = deliver(p.port, address, i), deliver(s.port, address, i)
                # Postfix takes mail for any name of a domain that is an alias of another, and bounces it later.
                check(ours[0] == theirs[0] or ours[0] == 550 and theirs[0] == 250, "%s: seed %d: %s: %s, %s" % (address, seed, text, ours, theirs))
            wait_for(p.idle, 60, lambda: "the queue stays: " + p.log()[-2000:])
        theirs, ours = where(os.path.join(maps.root, "base")), where(s.store_path)
        for i, address in enumerate(ask):
            equal(ours.get(i, set()), theirs.get(i, set()), "%s: seed %d: %s" % (address, seed, text))
        check(len(ours) >= 5, "only %d messages" % len(ours))
    return True


@test
def the_same_mailboxes():
    done = [seed for seed in range(12) if both(seed)]
    check(len(done) >= 4, "only the seeds %s" % done)


main()
