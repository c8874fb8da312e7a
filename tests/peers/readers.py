#!/usr/bin/env -S python3 -B
# check: no
"""readers: Dovecot (IMAP, doveadm), mutt and notmuch read the Maildirs that we write, while we write them."""
import imaplib
import os
import pty
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Skip, check, equal, main, need_root, test
from maildir import Maildir
from server import Server, free_port, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
DOVECOT = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{store}/%d/%n
first_valid_uid = 1
first_valid_gid = 1
mail_debug = no
mail_plugins = quota
plugin {{
  quota = maildir:User quota
}}
passdb {{
  driver = static
  args = password=x
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/home/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""
TEXTS = {
    "plain": b"Subject: plain\r\nMessage-ID: <plain@x.example>\r\n\r\nbody\r\n",
    "long": b"Subject: long\r\nMessage-ID: <long@x.example>\r\n\r\n" + b"".join(b"line %d\r\n" % i for i in range(20000)),
    "dots": b"Subject: dots\r\nMessage-ID: <dots@x.example>\r\n\r\n.\r\n..\r\n.dot\r\n",
    "eight": "Subject: eight\r\nMessage-ID: <eight@x.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode(),
    "empty": b"Subject: empty\r\nMessage-ID: <empty@x.example>\r\n\r\n",
    "from": b"Subject: from\r\nMessage-ID: <from@x.example>\r\n\r\nFrom here on\r\n",
}


class Dovecot:
    def __init__(self, store):
        need_root()
        if not os.path.exists("/usr/sbin/dovecot") or not os.path.exists("/usr/lib/dovecot/imap"):
            raise Skip("dovecot-imapd is not installed: tools/install-deps peers")
        self.root, self.port = harness.scratch("dovecot."), free_port()
        os.chmod(self.root, 0o755)
        for d in "run", "state", "home":
            os.mkdir(os.path.join(self.root, d))
        owner = os.stat(store)
        os.chown(os.path.join(self.root, "home"), owner.st_uid, owner.st_gid)
        with open(self.path("conf"), "w") as f:
            f.write(DOVECOT.format(root=self.root, store=store, port=self.port, uid=owner.st_uid, gid=owner.st_gid))
        self.child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", self.path("conf")])

    def path(self, name):
        return os.path.join(self.root, name)

    def log(self):
        try:
            with open(self.path("log"), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def __enter__(self):
        def up():
            try:
                imaplib.IMAP4("127.0.0.1", self.port).logout()
                return True
            except (OSError, imaplib.IMAP4.abort):
                return False
        wait_for(up, 20, lambda: "no Dovecot: " + self.log()[-800:])
        return self

    def __exit__(self, kind, value, trace):
        self.child.terminate()
        self.child.wait(20)
        if kind is None:
            bad = [x for x in self.log().splitlines() if re.search(r"(Error|Warning|Panic|Fatal):", x) and "Killed with signal 15" not in x]
            equal(bad, [], "what Dovecot complains of")
            shutil.rmtree(self.root, ignore_errors=True)

    def login(self, user):
        c = imaplib.IMAP4("127.0.0.1", self.port)
        c.login(user, "x")
        return c

    def doveadm(self, *args):
        r = subprocess.run(["doveadm", "-c", self.path("conf"), *args], capture_output=True, text=True, timeout=60)
        check(r.returncode == 0, "doveadm %s: %d: %s" % (args, r.returncode, r.stderr))
        return r.stdout


def fill(s, rcpt=ALICE):
    c = s.client()
    c.hello()
    for text in TEXTS.values():
        c.message(rcpt, text).is_(250)
    c.quit()


def fetch(c):
    """All of the selected folder: subject -> (octets by RFC822.SIZE, text)."""
    out = {}
    status, data = c.fetch("1:*", "(RFC822.SIZE BODY.PEEK[])")
    equal(status, "OK", "FETCH")
    for item in data:
        if isinstance(item, tuple):
            size = int(re.search(rb"RFC822.SIZE (\d+)", item[0]).group(1))
            out[re.search(rb"^Subject: (\w+)", item[1], re.M).group(1).decode()] = size, item[1]
    return out


@test
def dovecot_counts_as_we_do():
    """It reads our maildirsize, and when it has deleted mail we read what it wrote."""
    with Server("alice@example.org\nbob@example.org quota=1MiB quota-messages=100\n", extra='quota { when_full = "defer" }') as s:
        fill(s, BOB)
        stands = sum(os.path.getsize(m.path) for m in s.messages(BOB))

        def says():
            with open(os.path.join(s.store_path, "example.org/bob/maildirsize")) as f:
                lines = f.read().split("\n")
            return lines[0], sum(int(x.split()[0]) for x in lines[1:-1]), sum(int(x.split()[1]) for x in lines[1:-1])
        equal(says(), ("1048576S,100C", stands, len(TEXTS)), "maildirsize")
        with Dovecot(s.store_path) as d:
            got = [x.split("\t") for x in d.doveadm("-f", "tab", "quota", "get", "-u", BOB).splitlines()[1:]]
            got = {x[1]: x[2:4] for x in got}
            equal(got["STORAGE"], [str(-(-stands // 1024)), "1024"], "KiB by Dovecot")
            equal(got["MESSAGE"], [str(len(TEXTS)), "100"], "messages by Dovecot")
            c = d.login(BOB)
            c.select()
            c.store("1", "+FLAGS", "\\Deleted")
            c.expunge()
            c.logout()
        home = os.path.join(s.store_path, "example.org/bob")
        left = [os.path.join(home, x, f) for x in ("new", "cur") for f in os.listdir(os.path.join(home, x))]
        equal(len(left), len(TEXTS) - 1, "messages left")
        equal(says()[0], "1048576S,100C", "the limits after EXPUNGE")
        equal(says()[1:], (sum(os.path.getsize(f) for f in left), len(left)), "maildirsize after EXPUNGE")


@test
def imap_has_what_was_sent():
    with Server() as s:
        fill(s)
        raw = {m.content.split(b"\n")[0].split()[-1].decode(): m.raw for m in s.messages(ALICE)}
        with Dovecot(s.store_path) as d:
            c = d.login(ALICE)
            equal(int(c.select()[1][0]), len(TEXTS), "messages in INBOX")
            got = fetch(c)
            for name, sent in TEXTS.items():
                size, text = got[name]
                equal(size, len(text), "RFC822.SIZE of " + name)
                check(text.endswith(sent), "%s differs: %r" % (name, text[-200:]))
                equal(text.replace(b"\r\n", b"\n"), raw[name], name + " as stored")
            c.logout()
            equal(s.maildir(ALICE).files(), [], "what is left in new/: Dovecot moves it to cur/")
            fill(s)
            c = d.login(ALICE)
            equal(int(c.select()[1][0]), 2 * len(TEXTS), "messages after more have come")
            c.logout()


@test
def the_sizes_in_names_are_right():
    """Dovecot believes S= for quota and sizes, and complains where a file is of another."""
    with Server() as s:
        fill(s)
        sizes = {m.content.split(b"\n")[0].split()[-1].decode(): len(m.raw) for m in s.messages(ALICE)}
        with Dovecot(s.store_path) as d:
            out = d.doveadm("-f", "tab", "fetch", "-u", ALICE, "hdr.subject size.physical size.virtual", "mailbox", "INBOX")
            rows = [x.split("\t") for x in out.splitlines()[1:]]
            equal({r[0]: int(r[1]) for r in rows}, sizes, "size.physical")
            text = d.doveadm("fetch", "-u", ALICE, "text", "mailbox", "INBOX", "subject", "long")
            check("line 19999" in text, "text")


@test
def a_folder_for_an_extension():
    with Server() as s:
        fill(s)
        with Dovecot(s.store_path) as d:
            c = d.login(ALICE)
            equal(c.create("lists")[0], "OK", "CREATE")
            c.logout()
            fill(s, "alice+lists@example.org")
            fill(s, "alice+none@example.org")
            c = d.login(ALICE)
            equal(int(c.select("lists")[1][0]), len(TEXTS), "messages in the folder")
            equal(sorted(fetch(c)), sorted(TEXTS), "which")
            equal(int(c.select()[1][0]), 2 * len(TEXTS), "messages in INBOX")
            c.logout()


@test
def read_while_it_is_written():
    with Server() as s:
        with Dovecot(s.store_path) as d:
            seen = 0
            for i in range(20):
                c = s.client()
                c.hello()
                c.message(BOB, TEXTS["plain"]).is_(250)
                c.quit()
                c = d.login(BOB)
                n = int(c.select()[1][0])
                check(n == i + 1, "%d messages after %d" % (n, i + 1))
                seen += len(fetch(c))
                c.store("%d" % n, "+FLAGS", "(\\Seen)")
                c.logout()
        equal(len(os.listdir(os.path.join(Maildir(s.store_path, BOB).path, "cur"))), 20, "messages in cur/")


class Mutt:
    """mutt(1) on a terminal, as a person has it; it does KEYS and ends."""
    def __init__(self, store, address):
        if not shutil.which("mutt"):
            raise Skip("mutt is not installed: tools/install-deps peers")
        self.folder, self.root = Maildir(store, address).path, harness.scratch("mutt.")

    def out(self):
        return os.path.join(self.root, "out")

    def do(self, keys, folder=""):
        rc = os.path.join(self.root, "rc")
        with open(rc, "w") as f:
            f.write('set folder="%s" mbox_type=Maildir wait_key=no confirmappend=no pipe_split=yes pipe_sep="" pipe_decode=no move=no '
                    'header_cache="" sleep_time=0 mail_check=1 read_inc=0 abort_unmodified=no quit=yes delete=yes\n' % self.folder)
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm", HOME=self.root, LC_ALL="C.UTF-8")
            os.execvp("mutt", ["mutt", "-n", "-F", rc, "-f", os.path.join(self.folder, folder), "-e", 'push "%s"' % keys])
        screen = b""
        try:
            while data := os.read(fd, 4096):
                screen += data
        except OSError:
            pass            # it has closed the terminal
        os.close(fd)
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "exit status of mutt, which showed %r" % screen[-400:])

    def messages(self, pattern="~A", folder=""):
        """All messages that match, as mutt has them."""
        shutil.rmtree(self.out(), ignore_errors=True)
        os.mkdir(self.out())
        self.do("<tag-pattern>%s<enter><tag-prefix-cond><pipe-message>cat >$(mktemp -p %s)<enter><end-cond><exit>" % (pattern, self.out()), folder)
        return [open(os.path.join(self.out(), x), "rb").read() for x in sorted(os.listdir(self.out()))]


def subjects(texts):
    return sorted(re.search(rb"^Subject: (\w+)", x, re.M).group(1).decode() for x in texts)


@test
def mutt_has_what_was_sent():
    """All is new to it, and octet by octet what is stored; what was read is so afterwards, what it deletes is gone."""
    with Server() as s:
        fill(s)
        m = Mutt(s.store_path, ALICE)
        raw = {x.content.split(b"\n")[0].split()[-1].decode(): x.raw for x in s.messages(ALICE)}
        got = m.messages("~N")
        equal(subjects(got), sorted(TEXTS), "new ones")
        for text in got:
            name = re.search(rb"^Subject: (\w+)", text, re.M).group(1).decode()
            equal(text, raw[name], name)
        m.do("<limit>~s dots<enter><display-message><exit><limit>~s plain<enter><delete-message><quit>")
        cur = os.listdir(os.path.join(m.folder, "cur"))
        equal(len([x for x in cur if x.endswith(":2,S")]), 1, "seen, in %s" % cur)
        equal(subjects(m.messages("~R")), ["dots"], "read")
        equal(subjects(m.messages("! ~R")), sorted(set(TEXTS) - {"dots", "plain"}), "not read")
        fill(s)
        equal(len(m.messages("~A")), 2 * len(TEXTS) - 1, "after more have come")


@test
def mutt_reads_while_it_is_written():
    with Server() as s:
        m = Mutt(s.store_path, BOB)
        for i in range(6):
            c = s.client()
            c.hello()
            c.message(BOB, TEXTS["plain"]).is_(250)
            c.quit()
            equal(subjects(m.messages("~N")), ["plain"], "new at turn %d" % i)
            m.do("<display-message><exit><quit>")
            equal(len(m.messages("~A")), i + 1, "all")


@test
def notmuch_has_what_was_sent():
    if not shutil.which("notmuch"):
        raise Skip("notmuch is not installed: tools/install-deps peers")
    with Server() as s:
        fill(s)
        root = harness.scratch("notmuch.")
        conf = os.path.join(root, "conf")
        os.mkdir(os.path.join(root, "db"))
        with open(conf, "w") as f:
            f.write("[database]\npath=%s/db\nmail_root=%s\n[user]\nname=x\nprimary_email=%s\n[new]\ntags=new\n"
                    "[maildir]\nsynchronize_flags=false\n" % (root, s.store_path, ALICE))

        def notmuch(*args):
            r = subprocess.run(["notmuch", *args], env=dict(os.environ, NOTMUCH_CONFIG=conf, HOME=root),
                               capture_output=True, timeout=60)
            check(r.returncode == 0, "notmuch %s: %s" % (args, r.stderr))
            return r.stdout
        check(b"Added %d new messages" % len(TEXTS) in notmuch("new"), "count")
        for m in s.messages(ALICE):
            name = m.content.split(b"\n")[0].split()[-1].decode()
            equal(notmuch("show", "--format=raw", "id:%s@x.example" % name), m.raw, name)
        shutil.rmtree(root)


main()
