#!/usr/bin/env -S python3 -B
"""caps: what a master started as root keeps, when something that the config names lies in another user's folder: it can be used
again later as it was at the start, or the message says why not and what helps."""
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import BIN, Skip, check, equal, main, need_root, test
from stubmaster import Master, wait_for
from tls import certificate, section

DAC_OVERRIDE = 1 << 1


def foreign(m, name, mode=0o750):
    """A folder of another user's."""
    os.mkdir(m.path(name))
    give(m.path(name), mode)
    return m.path(name)


def give(path, mode=0o750):
    os.chmod(path, mode)
    shutil.chown(path, "nobody", "nogroup")


def keeps(m):
    with open("/proc/%d/status" % m.child.pid) as f:
        return int(re.search(r"^CapEff:\s+(\w+)$", f.read(), re.M).group(1), 16) & DAC_OVERRIDE != 0


def read(path):
    with open(path) as f:
        return f.read()


def reload(m, code=0, word=""):
    r = m.ctl("reload")
    equal(r.returncode, code, "reload: " + r.stderr)
    check(word in r.stderr, "no %r in %r" % (word, r.stderr))


@test
def a_log_in_a_foreign_folder():
    need_root()
    m = Master(start=False)
    log = foreign(m, "logs", 0o755) + "/log"
    m.write(extra='log { to = "file:%s" }' % log)
    m.start()
    check(keeps(m), "a capability that is needed is dropped")
    check("CAP_DAC_OVERRIDE is kept: \\\"%s\\\"" % m.path("logs") in read(log), read(log))
    os.rename(log, log + ".1")
    m.signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(log) and "opened anew" in read(log), why=lambda: "no new log: " + read(log + ".1"))
    reload(m)


@test
def what_is_not_granted_is_told_at_the_start():
    """As under the unit, whose CapabilityBoundingSet has no CAP_DAC_OVERRIDE."""
    need_root()
    if shutil.which("setpriv") is None:
        raise Skip("no setpriv")
    m = Master(start=False)
    log = foreign(m, "logs", 0o755) + "/log"
    open(log, "w").close()
    m.write(extra='log { to = "file:%s" }' % log)
    m.start(prefix=["setpriv", "--bounding-set", "-dac_override"])
    check(not keeps(m), "it was not dropped")
    check(re.search(r'level=warn .*event=capabilities msg="\\"%s\\" belongs to another user, and CAP_DAC_OVERRIDE is not there' % m.path("logs"),
                    read(log)), read(log))


@test
def credentials_below_a_foreign_folder():
    need_root()
    m = Master(start=False)
    for name in "keys", "auth":
        shutil.copy(os.path.join(BIN, "letterplate-" + name), m.path("bin"))
    path = foreign(m, "theirs", 0o700) + "/credentials"
    with open(path, "w") as f:
        f.write("letterplate-credentials 1 %s\nend 0\n" % (64 * "0"))
    os.chmod(path, 0o600)
    own = certificate("mx.test.example", "ec", ["mx.test.example"])
    text = m.config(extra='%s\ncredentials = "%s"\n' % (section(own), path))
    m.write(text=text.replace('listener "mx" {', 'listener "mx" {\n\ttls = "required"\n\tauth = "optional"\n'))
    m.start()
    check(keeps(m), "a capability that is needed is dropped")
    reload(m)


@test
def what_a_reload_adds_needs_a_restart():
    """What was given up does not come back: it is said, and what helps."""
    need_root()
    m = Master()
    check(not keeps(m), "CAP_DAC_OVERRIDE is kept for nothing")
    foreign(m, "socks")
    m.write(addresses=["127.0.0.1:%d" % m.port, "unix:" + m.path("socks/mx")])
    reload(m, 75, 'gave CAP_DAC_OVERRIDE up when it started, and "%s" belongs to another user: restart it' % m.path("socks"))
    theirs = foreign(m, "keys")
    own = [shutil.copy(p, theirs) for p in certificate("mx.test.example", "ec", ["mx.test.example"])]
    m.write(extra=section(own))
    reload(m, 75, 'and "%s" lies in a folder that is closed to root: restart it' % own[0])
    m.write()
    os.chmod(m.path("c.conf"), 0o600)
    shutil.chown(m.path("c.conf"), "nobody", "nogroup")
    reload(m, 75, 'and "%s" belongs to another user: restart it' % m.path("c.conf"))
    shutil.chown(m.path("c.conf"), "root", "root")
    reload(m)


@test
def what_is_roots_own_and_closed_is_not_anothers():
    """Mode 000 keeps root out too, once it has given CAP_DAC_OVERRIDE up."""
    need_root()
    m = Master()
    check(not keeps(m), "CAP_DAC_OVERRIDE is kept for nothing")
    os.chmod(m.path("c.conf"), 0)
    reload(m, 75, '"%s" is root\'s, but its mode is 0000: chmod u+rw it' % m.path("c.conf"))
    m.wait_log(r"is root's, but its mode is 0000: chmod u\+rw it")
    check("belongs to another user" not in m.text(), m.text())
    os.chmod(m.path("c.conf"), 0o600)
    reload(m)
    # Where it was so at the start, it may be so later.
    os.chmod(m.path("c.conf"), 0)
    m.term()
    m.start()
    m.wait_log(r'CAP_DAC_OVERRIDE is kept: ."%s." is root\'s, but its mode is 0000' % m.path("c.conf"))
    check(keeps(m), "a capability that is needed is dropped")
    reload(m)


@test
def a_log_that_cannot_be_opened_is_not_opened_anew():
    need_root()
    m = Master(start=False)
    os.mkdir(m.path("logs"))
    log = m.path("logs/log")
    m.write(extra='log { to = "file:%s" }' % log)
    m.start()
    check(not keeps(m), "CAP_DAC_OVERRIDE is kept for nothing")
    os.rename(log, log + ".1")
    give(m.path("logs"))
    m.signal(signal.SIGUSR1)
    wait_for(lambda: "the old one stays in use" in read(log + ".1"), why=lambda: read(log + ".1"))
    check("Permission denied" in read(log + ".1") and "restart it" in read(log + ".1"), read(log + ".1"))
    m.term()
    check("opened anew" not in read(log + ".1"), read(log + ".1"))


if __name__ == "__main__":
    main()
