#!/usr/bin/env -S python3 -B
# check: timeout=240
"""setup: letterplate setup, by flags and by a dialogue on a terminal: what it writes passes -t, serves and takes mail; what is
wrong is said with its exit status, and then no config is there."""
import os
import pty
import re
import select
import shutil
import smtplib
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import tls
from harness import BIN, Skip, check, equal, main, need_root, on_end, sanitized, scratch, test
from maildir import Maildir
from server import free_port, wait_for

PROGRAM = os.path.join(BIN, "letterplate")
USER = "nobody"
_folders, _children = [], []


@on_end.append
def end():
    for c in _children:
        c.kill()
        c.wait()
    _children.clear()
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def folder():
    _folders.append(scratch("setup."))
    return _folders[-1]


def setup(*flags, status=0, run_as=None, **kw):
    command = [PROGRAM, "setup", *flags]
    if run_as:
        command = ["setpriv", "--reuid=" + run_as, "--clear-groups", *command]
    r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **kw)
    equal(r.returncode, status, "%s: %s%s" % (flags, r.stdout, r.stderr))
    return r


def flags(top, port=None, **more):
    """Flags that are right, all below TOP; None takes one away."""
    values = {"under": top, "hostname": "mx.example.org", "domains": "example.org,example.net", "listen": "127.0.0.1:%d" % (port or free_port())}
    if os.geteuid() == 0:
        values["user"] = USER
    values.update({k.replace("_", "-"): v for k, v in more.items()})
    out = [x for k, v in values.items() if v is not None for x in (("--" + k,) if v is True else ("--" + k, v))]
    return out + ([] if "certificate" in more or "key" in more or "no_tls" in more else ["--no-tls"])


def checked(conf):
    r = subprocess.run([PROGRAM, "-t", "-c", conf], capture_output=True, text=True, timeout=60)
    equal((r.returncode, r.stderr), (0, ""), "-t of what setup wrote")


def serve(conf, port, run_as=None):
    command = [PROGRAM, "-c", conf]
    if run_as:
        command = ["setpriv", "--reuid=" + run_as, "--clear-groups", *command]
    _children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def up():
        try:
            smtplib.SMTP("127.0.0.1", port, timeout=5).quit()
            return True
        except OSError:
            return False
    wait_for(up, 30, "it does not serve")


def stop():
    c = _children.pop()
    c.terminate()
    equal(c.wait(60), 0, "status after TERM")


def mode(path):
    st = os.stat(path)
    return "%o" % (st.st_mode & 0o777), st.st_uid


@test
def by_flags_to_a_server_that_takes_mail():
    top, port = os.path.join(folder(), "a", "b"), free_port()
    r = setup(*flags(top, port))
    conf = top + "/letterplate.conf"
    checked(conf)
    uid = int(subprocess.run(["id", "-u", USER], capture_output=True, text=True).stdout) if os.geteuid() == 0 else os.geteuid()
    equal({n: mode(os.path.join(top, n)) for n in ("mail", "directory", "state", "letterplate.conf", "mailboxes.list")},
          {"mail": ("700", uid), "directory": ("750" if os.geteuid() == 0 else "755", os.geteuid()),
           "state": ("755", os.geteuid()), "letterplate.conf": ("644", os.geteuid()), "mailboxes.list": ("600", os.geteuid())}, "modes and owners")
    for word in ("wrote " + conf, "letterplate -c " + conf, "import postfix", "loaded 2 entries in 2 domains"):
        check(word in r.stdout, "no '%s' in %s" % (word, r.stdout))
    serve(conf, port)
    for to in "postmaster@example.org", "postmaster@example.net", "postmaster":
        with smtplib.SMTP("127.0.0.1", port) as c:
            c.ehlo("client.example")
            c.mail("s@client.example")
            equal(c.rcpt(to)[0], 250, to)
            equal(c.data("Subject: x\r\n\r\nx\r\n")[0], 250, "DATA")
    with smtplib.SMTP("127.0.0.1", port) as c:
        c.ehlo("client.example")
        c.mail("s@client.example")
        equal((c.rcpt("who@example.org")[0], c.rcpt("who@example.com")[0]), (550, 550), "others")
    equal(len(Maildir(top + "/mail", "postmaster@example.org").messages()), 3, "messages")
    stop()


@test
def with_a_certificate():
    top, port = folder(), free_port()
    pair = tls.certificate("mx.example.org")
    setup(*flags(top, port, certificate=pair[0], key=pair[1]))
    checked(top + "/letterplate.conf")
    serve(top + "/letterplate.conf", port)
    with smtplib.SMTP("127.0.0.1", port) as c:
        c.ehlo("client.example")
        equal(c.starttls(context=tls.context(pair))[0], 220, "STARTTLS")
    stop()


@test
def as_a_user_for_a_try():
    need_root()
    home, port = folder(), free_port()
    os.chmod(home, 0o755)
    shutil.chown(home, USER)
    setup("--hostname", "mx.example.org", "--domains", "example.org", "--no-tls", "--listen", "127.0.0.1:%d" % port,
          run_as=USER, env=dict(os.environ, HOME=home))
    conf = home + "/letterplate/letterplate.conf"
    check("user =" not in open(conf).read(), "a user who cannot change it")
    serve(conf, port, run_as=USER)
    stop()


@test
def a_config_stays_unless_told():
    top = folder()
    conf = top + "/letterplate.conf"
    with open(conf, "w") as f:
        f.write("mine\n")
    r = setup(*flags(top), status=73)
    check("is there already" in r.stderr and "--force" in r.stderr, r.stderr)
    equal((open(conf).read(), os.listdir(top)), ("mine\n", ["letterplate.conf"]), "the folder")
    setup(*flags(top), "--force")
    checked(conf)
    equal(open(conf + ".old").read(), "mine\n", "the one before")
    # What was loaded stays, and the list that somebody edited too.
    with open(top + "/mailboxes.list", "a") as f:
        f.write("alice@example.org\n")
    r = setup(*flags(top), "--force")
    check("is there already and stays" in r.stdout, r.stdout)
    check("alice@example.org" in open(top + "/mailboxes.list").read(), "the list")


@test
def what_is_wrong():
    pair, other = tls.certificate("mx.example.org"), tls.certificate("other.example")
    old = tls.certificate("mx.example.org-old", days=-1)
    rows = [
        (dict(hostname="mx"), 65, "no full name"), (dict(hostname="192.0.2.1"), 65, "no full name"), (dict(hostname="a_b..c"), 65, "no full name"),
        (dict(domains=""), 65, "at least one"), (dict(domains="example.org,x"), 65, '"x" is no domain name'),
        (dict(postmaster="me"), 65, "needs a '@'"), (dict(postmaster="me@elsewhere.example"), 65, "no address in the domains"),
        (dict(certificate="/nowhere.pem", key=pair[1]), 66, "/nowhere.pem: No such file"), (dict(certificate="x.pem", key=pair[1]), 65, "no absolute path"),
        (dict(certificate=pair[0], key=other[1]), 65, "does not belong"), (dict(certificate=other[0], key=other[1]), 65, "is not for mx.example.org"),
        (dict(certificate=pair[1], key=pair[1]), 65, "no certificate"), (dict(certificate=pair[0], key=pair[0]), 65, "no private key"),
        (dict(certificate=pair[0]), 64, "--key"), (dict(certificate=pair[0], key=pair[1], no_tls=True), 64, "not both"),
        (dict(listen="localhost:25"), 65, "--listen"), (dict(listen="127.0.0.1:0"), 65, "--listen"), (dict(listen=","), 65, "--listen"),
        (dict(store="mail"), 65, "no absolute path"), (dict(domains=None), 64, "--domains"), (dict(hostname=None, domains=None), 64, "--domains"),
        (dict(nonsense="x"), 64, "usage"),
    ]
    if os.geteuid() == 0:
        rows += [(dict(user="no-such-user"), 67, "useradd"), (dict(user="root"), 65, "root")]
    for more, status, word in rows:
        top = folder()
        r = setup(*flags(top, **more), status=status)
        check(word in r.stderr, "%s: no '%s' in %s" % (more, word, r.stderr))
        equal(os.listdir(top), [], "files after %s" % more)
    # One whose time is over is told, and taken: mail comes all the same.
    old = (old[0], old[1])
    r = setup(*flags(folder(), hostname="mx.example.org-old", certificate=old[0], key=old[1]))
    check("warning: --key: the certificate, or one of its chain, has expired" in r.stderr, r.stderr)


@test
def what_would_not_pass_is_not_written():
    need_root()
    top = folder()
    os.mkdir(top + "/mail")
    os.chmod(top + "/mail", 0o755)      # root's: the workers could not write there
    r = setup(*flags(top), status=78)
    check("change its owner or mode" in r.stderr and "was not written" in r.stderr, r.stderr)
    check("letterplate.conf" not in os.listdir(top), os.listdir(top))


@test
def a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as k:
        r = setup(*flags(folder(), k.getsockname()[1]))
    check("Address already in use; stop the server that has it" in r.stderr, r.stderr)


@test
def a_file_has_its_name_when_it_is_on_disk():
    if not shutil.which("strace") or sanitized():
        raise Skip("no strace, or a sanitizer's runtime, which under strace is another program")
    top = folder()
    log = folder() + "/strace"
    r = subprocess.run(["strace", "-f", "-y", "-o", log, "-e", "trace=openat,write,fsync,linkat,renameat,rename,unlinkat", PROGRAM, "setup",
                        *flags(top)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    equal(r.returncode, 0, r.stderr)
    lines = open(log).read()
    for name in "letterplate.conf", "mailboxes.list":
        text = [m.group(0) for m in re.finditer(r"\b(?:write|fsync)\(\d+<[^>]*/%s\.new>|\blinkat\([^\n]*\"%s\.new\"[^\n]*|\bfsync\(\d+<%s>\)" %
                                                (re.escape(name), re.escape(name), re.escape(top)), lines)]
        kinds = [t.split("(")[0] + ("" if "fsync" not in t or ".new" in t else " folder") for t in text]
        at = kinds.index("linkat")
        check("write" in kinds[:at] and kinds[at - 1] == "fsync" and kinds[at + 1] == "fsync folder", "%s: %s" % (name, kinds))


# What somebody does who may write where the store is made: what was made is moved away, and a link leads elsewhere.
SWAP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
swap(int at, const char *name)
{
	const char *last = strrchr(name, '/');

	if (strcmp(last != NULL ? last + 1 : name, "mail") == 0 && unlinkat(at, name, AT_REMOVEDIR) == 0)
		(void)!symlinkat(getenv("SWAP_TO"), at, name);
}

int
mkdirat(int at, const char *name, mode_t mode)
{
	int rc = ((int (*)(int, const char *, mode_t))dlsym(RTLD_NEXT, "mkdirat"))(at, name, mode);

	if (rc == 0)
		swap(at, name);
	return rc;
}

int
mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}
"""


@test
def a_folder_that_is_swapped_for_a_link_gives_nothing_away():
    if sanitized():
        raise Skip("a sanitizer's runtime has to be the first that is loaded")
    top, other = folder(), folder()
    with open(os.path.join(other, "swap.c"), "w") as f:
        f.write(SWAP)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", "swap.so", "swap.c", "-ldl"], cwd=other, check=True, timeout=60)
    victim = os.path.join(other, "victim")
    os.mkdir(victim)
    os.chmod(victim, 0o751)
    was = os.stat(victim)
    setup(*flags(top), status=os.EX_CANTCREAT, env=dict(os.environ, LD_PRELOAD=other + "/swap.so", SWAP_TO=victim))
    now = os.stat(victim)
    equal((now.st_mode, now.st_uid, now.st_gid), (was.st_mode, was.st_uid, was.st_gid), "who has what the link leads to")
    check(not os.path.exists(os.path.join(top, "letterplate.conf")), "a config")


# --- on a terminal ---

class Terminal:
    """setup on a pseudo-terminal."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(PROGRAM, [PROGRAM, "setup", *args])
        self.text = ""
        self.at = 0

    def read(self, timeout):
        if select.select([self.fd], [], [], timeout)[0]:
            try:
                got = os.read(self.fd, 4096)
            except OSError:
                got = b""
            self.text += got.decode().replace("\r\n", "\n")
            return bool(got)
        return None

    def expect(self, word, answer=None):
        until = time.monotonic() + 30
        while word not in self.text[self.at:]:
            check(self.read(1) is not False and time.monotonic() < until, "no '%s' in %s" % (word, self.text))
        self.at = self.text.index(word, self.at) + len(word)
        if answer is not None:
            os.write(self.fd, (answer + "\n").encode())

    def end(self):
        while self.read(30):
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def more_flags():
    return ("--user", USER) if os.geteuid() == 0 else ()


@test
def a_dialogue():
    top, port = folder(), free_port()
    pair = tls.certificate("mx.example.org")
    t = Terminal("--under", top, *more_flags())
    t.expect("How do others know this machine", "mx")
    t.expect("no full name")
    t.expect("How do others know this machine", "mx.example.org")
    t.expect("Whose mail comes here")
    t.expect("[example.org]", "")
    t.expect("Who gets mail for postmaster? [postmaster@example.org]", "alice@example.com")
    t.expect("no address in the domains")
    t.expect("Who gets mail for postmaster?", "alice@example.org")
    t.expect("certificate and its chain", "/nowhere")
    t.expect("/nowhere: No such file")
    t.expect("certificate and its chain", pair[0])
    t.expect("private key", pair[1])
    t.expect("which addresses", "127.0.0.1:%d" % port)
    t.expect("Where to store mail? [%s/mail]" % top, "")
    t.expect('hostname = "mx.example.org"')
    equal(os.listdir(top), [], "files before the last yes")
    t.expect("Write it, and make the folders that are missing? [yes]", "")
    equal(t.end(), 0, t.text)
    checked(top + "/letterplate.conf")
    text = open(top + "/letterplate.conf").read()
    for word in ('postmaster = "alice@example.org"', 'certificate = "%s"' % pair[0], 'address = {"127.0.0.1:%d"}' % port):
        check(word in text, "no %s in %s" % (word, text))


@test
def a_dialogue_that_ends_early():
    for last, status in (("no", 66), ("\x04", 66), ("\x03", -2)):
        top = folder()
        t = Terminal("--under", top, *more_flags(), "--hostname", "mx.example.org", "--no-tls", "--domains", "example.org")
        t.expect("Who gets mail for postmaster?", "")
        t.expect("which addresses", "127.0.0.1:%d" % free_port())
        t.expect("Where to store mail?", "")
        t.expect("[yes]", last)
        equal(t.end(), status, "%r: %s" % (last, t.text))
        equal(os.listdir(top), [], "files")


@test
def a_dialogue_of_wrong_answers_ends():
    top = folder()
    t = Terminal("--under", top, *more_flags())
    for _ in range(5):
        t.expect("How do others know this machine", "mx")
    t.expect("too many wrong answers")
    equal((t.end(), os.listdir(top)), (65, []), "status and files")


@test
def help_and_yes():
    check(setup("--help").stdout.startswith("usage: letterplate setup"), "help")
    t = Terminal(*flags(folder()), "--yes")
    equal(t.end(), 0, t.text)


main()
