#!/usr/bin/env -S python3 -B
# check: no timeout=3600
"""deb: the Debian packages by lintian, and under debootstrap: installed, set up, mail delivered, upgraded in place, purged.

The packages are those in build/deb ("make deb").  The system is a folder that debootstrap makes, or a copy of the one
that LETTERPLATE_ROOT names.  A stand-in for systemd runs the unit's ExecStart and ExecStop alone, not its sandbox.
"""
import glob
import os
import re
import shutil
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, check, equal, main, need_root, scratch, test
from server import free_port, wait_for

DEBS = sorted(glob.glob(os.path.join(TOP, "build/deb/*.deb")))


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
        return run("chroot", self.path, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", *args, **kw)

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
        root.run("apt-get", "update", "-qq")
        root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/letterplate.deb")
        root.run("id", "letterplate")
        equal(root.run("stat", "-c", "%U %a", "/var/mail/letterplate").strip(), "letterplate 700", "the folder for mail")
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

        # The same version again is an upgrade for dpkg; the server must be another program afterwards, in the same process.
        held = smtplib.SMTP("127.0.0.1", port, timeout=60)
        held.ehlo("client.example")
        out = root.run("dpkg", "-i", "/root/letterplate.deb")
        check("serves on" not in out, out)
        equal(service.child.poll(), None, "the server's process")
        held.sendmail("s@example.com", ["alice@example.org"], "Subject: held\r\n\r\ntext\r\n")
        held.quit()
        send(port, 5)
        equal(stored(root), 11, "messages")
        equal(service.stop(), 0, "status after TERM")
        service = None
        equal(stored(root), 11, "messages after TERM")

        root.run("dpkg", "--purge", "letterplate")
        for gone in ("etc/letterplate", "var/lib/letterplate", "usr/bin/letterplate", "etc/logrotate.d/letterplate"):
            check(not os.path.exists(root.file(gone)), gone + " is left")
        equal(stored(root), 11, "messages after a purge")
    finally:
        if service is not None:
            service.child.kill()
            service.child.wait()
            time.sleep(1)
        root.close()


main()
