#!/usr/bin/env -S python3 -B
# check: no timeout=3600
"""deb: the Debian packages by lintian, and under debootstrap: installed, set up, mail delivered, upgraded in place under
load, its log rotated, stopped under load, purged.

The packages are those in build/deb ("make deb"); what is upgraded from is in build/deb-before, where that is there
("make deb DEB=build/deb-before DEB_REF=COMMIT DEB_VERSION=0.0.9"), or else the same one.  The system is a folder that debootstrap makes, or a copy of the one
that LETTERPLATE_ROOT names.  A stand-in for systemd runs the unit's ExecStart and ExecStop alone, not its sandbox.
"""
import glob
import gzip
import os
import re
import shutil
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, check, equal, main, need_root, scratch, test
from server import free_port, wait_for

DEBS = sorted(glob.glob(os.path.join(TOP, "build/deb/*.deb")))
BEFORE = glob.glob(os.path.join(TOP, "build/deb-before/letterplate_*.deb"))


def packages():
    if not DEBS:
        raise Skip("no packages in build/deb: make deb")
    return DEBS


def run(*args, code=0, **kw):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, **kw)
    if code is not None:
        equal(p.returncode, code, "%s: %s" % (" ".join(args), p.stdout[-2000:]))
    return p.stdout


class Root:
    """A Debian in a folder."""

    def __init__(self):
        self.top = scratch("deb.")
        self.path = os.path.join(self.top, "root")
        made = os.environ.get("LETTERPLATE_ROOT")
        if made:
            run("cp", "-a", made, self.path)
        else:
            run("debootstrap", "--variant=minbase", "bookworm", self.path)
        with open(self.file("usr/sbin/policy-rc.d"), "w") as f:
            f.write("#!/bin/sh\nexit 101\n")
        os.chmod(self.file("usr/sbin/policy-rc.d"), 0o755)
        os.makedirs(self.file("proc"), exist_ok=True)
        run("mount", "-t", "proc", "proc", self.file("proc"))

    def file(self, name):
        return os.path.join(self.path, name)

    def run(self, *args, **kw):
        # The scratch folder of the tests is not in there.
        return run("chroot", self.path, "env", "-u", "TMPDIR", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", *args, **kw)

    def close(self):
        run("umount", "-l", self.file("proc"), code=None)
        shutil.rmtree(self.top, ignore_errors=True)


class Service:
    """What systemd would do with the unit's start and stop."""

    def __init__(self, root):
        self.root = root
        with open(root.file("lib/systemd/system/letterplate.service")) as f:
            unit = dict(re.findall(r"^(\w+)=(.*)$", f.read(), re.M))
        os.makedirs(root.file("run/letterplate"), exist_ok=True)
        if "LogsDirectory" in unit:     # an older version has none
            os.makedirs(root.file("var/log/" + unit["LogsDirectory"]), int(unit["LogsDirectoryMode"], 8), exist_ok=True)
        root.run(*unit["ExecStartPre"].split())
        self.log = open(os.path.join(root.top, "log"), "wb")
        self.child = subprocess.Popen(["chroot", root.path] + unit["ExecStart"].split(), stderr=self.log)

    def stop(self):
        self.child.terminate()
        return self.child.wait(90)


def send(port, n):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as c:
        for i in range(n):
            c.sendmail("s@example.com", ["alice@example.org"], "Subject: %d\r\n\r\ntext\r\n" % i)


class Load(threading.Thread):
    """Sends until it is told to end; what was acknowledged, and whatever went wrong but for a server that says 421 or is gone."""

    def __init__(self, port, name, leaving=False):
        super().__init__()
        self.port, self.name, self.leaving = port, name, leaving
        self.acknowledged, self.wrong, self.enough = set(), [], threading.Event()
        self.start()

    def run(self):
        n = 0
        while not self.enough.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as c:
                    for _ in range(5):
                        subject = "%s-%d" % (self.name, n)
                        n += 1
                        c.sendmail("s@example.com", ["alice@example.org"], "Subject: %s\r\n\r\ntext\r\n" % subject)
                        self.acknowledged.add(subject)
            except (OSError, smtplib.SMTPException) as e:
                if self.leaving:
                    return      # a server that stops is gone, or says so
                self.wrong.append(repr(e))
                time.sleep(0.05)

    def end(self):
        self.enough.set()
        self.join()
        return self.acknowledged


def subjects(root):
    """Of what is stored, each as often as it is."""
    found = []
    for name in glob.glob(root.file("var/mail/letterplate/**/new/*"), recursive=True):
        with open(name, errors="replace") as f:
            found += re.findall(r"^Subject: (.*)$", f.read(), re.M)[:1]
    return found


def rotate(root, service):
    """logrotate by its own config, with a stand-in for systemctl that does what the config asks of it, and that alone."""
    os.makedirs(root.file("run/systemd/system"), exist_ok=True)
    with open(root.file("usr/local/bin/systemctl"), "w") as f:
        f.write("#!/bin/sh\n[ \"$*\" = \"kill --kill-who=main --signal=USR1 letterplate.service\" ] || exit 1\nkill -USR1 %d\n" % service.child.pid)
    os.chmod(root.file("usr/local/bin/systemctl"), 0o755)
    root.run("logrotate", "-f", "/etc/logrotate.d/letterplate")
    os.unlink(root.file("usr/local/bin/systemctl"))
    os.rmdir(root.file("run/systemd/system"))


def log_lines(root):
    """Lines of stored messages, in all that was rotated too."""
    n = 0
    for name in glob.glob(root.file("var/log/letterplate/letterplate.log*")):
        with (gzip.open if name.endswith(".gz") else open)(name, "rt", errors="replace") as f:
            n += sum("event=transaction" in line and "result=accepted" in line for line in f)
    return n


def stored(root):
    return len(glob.glob(root.file("var/mail/letterplate/**/new/*"), recursive=True))


def serves(port):
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=2).quit()
        return True
    except OSError:
        return False


@test
def lintian_finds_nothing():
    if not shutil.which("lintian"):
        raise Skip("no lintian")
    out = run("lintian", "--allow-root", "--fail-on", "error,warning", *packages(), code=None)
    found = [line for line in out.splitlines() if line[:2] in ("E:", "W:")]
    equal(found, [], "lintian")


@test
def installed_used_upgraded_and_purged():
    need_root()
    packages()
    if not shutil.which("debootstrap") and not os.environ.get("LETTERPLATE_ROOT"):
        raise Skip("no debootstrap")
    root, service = Root(), None
    try:
        deb = [d for d in DEBS if "/letterplate_" in d][0]
        shutil.copy(deb, root.file("root/letterplate.deb"))
        shutil.copy(BEFORE[0] if BEFORE else deb, root.file("root/before.deb"))
        root.run("apt-get", "update", "-qq")
        root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/before.deb", "logrotate", "apparmor")
        if BEFORE:
            check(root.run("dpkg-query", "-W", "-f", "${Version}", "letterplate") == "0.0.9", "the older version")
        root.run("id", "letterplate")
        equal(root.run("stat", "-c", "%U %a", "/var/mail/letterplate").strip(), "letterplate 700", "the folder for mail")
        if not BEFORE:
            equal(root.run("stat", "-c", "%U %G %a", "/var/lib/letterplate").strip(), "root letterplate 750", "the folder of the list")
        port = free_port()
        with open(root.file("usr/share/doc/letterplate/examples/letterplate.conf")) as f:
            text = re.sub(r"address = \{.*\}", 'address = {"127.0.0.1:%d"}' % port, f.read())
        with open(root.file("etc/letterplate/letterplate.conf"), "w") as f:
            f.write(text)
        root.run("letterplate-mailboxes", "-d", "/var/lib/letterplate", "load",
                 "/usr/share/doc/letterplate/examples/mailboxes.list")
        service = Service(root)
        wait_for(lambda: serves(port), 30, "it does not serve")
        send(port, 5)
        equal(stored(root), 5, "messages")

        # An upgrade is another program in the same process; who has a session keeps it, and nobody hears of it.
        held = smtplib.SMTP("127.0.0.1", port, timeout=60)
        held.ehlo("client.example")
        old = os.stat("/proc/%d/exe" % service.child.pid).st_ino
        loads = [Load(port, "upgrade%d" % i) for i in range(4)]
        out = root.run("dpkg", "-i", "/root/letterplate.deb")
        check("serves on" not in out, out)
        equal(service.child.poll(), None, "the server's process")
        check(os.stat("/proc/%d/exe" % service.child.pid).st_ino != old, "it is still the old program")
        time.sleep(1)
        sent = [load.end() for load in loads]
        equal([load.wrong for load in loads], [[]] * 4, "what senders saw of the upgrade")
        acknowledged = set().union(*sent)
        check(len(acknowledged) > 20, "%d messages only" % len(acknowledged))
        got = subjects(root)
        equal((acknowledged - set(got), len(got) - len(set(got))), (set(), 0), "lost, and twice")
        held.sendmail("s@example.com", ["alice@example.org"], "Subject: held\r\n\r\ntext\r\n")
        held.quit()
        check("held" in subjects(root), "the session that was held")
        root.run("apparmor_parser", "-QK", "/etc/apparmor.d/usr.bin.letterplate")

        # The log in a file, rotated while it is written; its folder is systemd's to make, as the new unit says.
        with open(root.file("lib/systemd/system/letterplate.service")) as f:
            check("\nLogsDirectory=letterplate\n" in f.read(), "LogsDirectory")
        os.makedirs(root.file("var/log/letterplate"), 0o750, exist_ok=True)
        with open(root.file("etc/letterplate/letterplate.conf"), "w") as f:
            f.write(re.sub(r"^log \{", 'log {\n    to = "file:/var/log/letterplate/letterplate.log"', text, flags=re.M))
        root.run("letterplate", "ctl", "-c", "/etc/letterplate/letterplate.conf", "reload")
        wait_for(lambda: os.path.exists(root.file("var/log/letterplate/letterplate.log")), 20, "no log file")
        time.sleep(1)
        lines = log_lines(root)
        load = Load(port, "rotate")
        for n in range(3):
            time.sleep(0.5)
            rotate(root, service)
            wait_for(lambda: os.path.exists(root.file("var/log/letterplate/letterplate.log")), 20, "the log is not opened anew")
        sent = load.end()
        time.sleep(1)
        equal(load.wrong, [], "what a sender saw of it")
        check(len(glob.glob(root.file("var/log/letterplate/*"))) >= 3, os.listdir(root.file("var/log/letterplate")))
        check(log_lines(root) - lines >= len(sent), "%d lines for %d messages" % (log_lines(root) - lines, len(sent)))

        # TERM while mail comes in: what was acknowledged is there, once.
        loads = [Load(port, "term%d" % i, leaving=True) for i in range(4)]
        time.sleep(1.5)
        equal(service.stop(), 0, "status after TERM")
        service = None
        acknowledged = set().union(*(load.end() for load in loads))
        check(len(acknowledged) > 20, "%d messages only" % len(acknowledged))
        got = subjects(root)
        equal((acknowledged - set(got), len(got) - len(set(got))), (set(), 0), "lost by TERM, and twice")
        left = stored(root)

        root.run("dpkg", "--purge", "letterplate")
        for gone in ("etc/letterplate", "var/lib/letterplate", "usr/bin/letterplate", "etc/logrotate.d/letterplate", "var/log/letterplate"):
            check(not os.path.exists(root.file(gone)), gone + " is left")
        equal(stored(root), left, "messages after a purge")
    finally:
        if service is not None:
            service.child.kill()
            service.child.wait()
            time.sleep(1)
        root.close()


main()
