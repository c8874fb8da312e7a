"""mtas: the mail transfer agents that a benchmark compares: Postfix, OpenSMTPD, Exim, each with its package's defaults
for what it syncs, delivering into Maildirs, in a folder of its own.

Debian installs one of them at a time: Postfix is installed, the others are unpacked
into build/peers (mk/peers.mk) and see their users and folders in a mount namespace.
"""
import contextlib
import glob
import os
import pwd
import shutil
import subprocess

import peers
import server as lib

UNPACKED = os.path.join(lib.harness.TOP, "build/peers")
NOBODY, NOGROUP = 65534, 65534


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


class Postfix(peers.Peer):
    name, tls, slow, mail, idle_most = "Postfix", True, True, "mail", 1000
    SMTPD_MOST = 1200       # its default of 100 processes leaves every further client of a cell waiting for one to end

    @staticmethod
    def missing():
        return None if os.geteuid() == 0 and os.path.exists("/usr/lib/postfix/sbin/smtpd") else "needs root and the package postfix"

    def main_cf(self, etc, mail):
        text = ("compatibility_level = 3.6\nqueue_directory = %s/spool\ndata_directory = %s/data\nmyhostname = mx.test.example\n"
                "mydestination =\nalias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
                "mynetworks = 127.0.0.0/8\n"      # spared by its limits for a client, but gets no rights
                "smtpd_relay_restrictions = reject_unauth_destination\nvirtual_mailbox_domains = example.org\n"
                "virtual_mailbox_base = %s\nvirtual_mailbox_maps = hash:%s/boxes\nvirtual_uid_maps = static:%d\n"
                "virtual_gid_maps = static:%d\nvirtual_minimum_uid = 100\nmaillog_file = %s/log\nmaillog_file_prefixes = %s\n"
                % (self.root, self.root, mail, etc, NOBODY, NOGROUP, self.root, self.root))
        if self.pair:
            text += "smtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\nsmtpd_tls_security_level = may\n" % self.pair
        return text

    def master_cf(self):
        lines = []
        with open("/usr/share/postfix/master.cf.dist") as f:
            for line in f:
                w = line.split()
                if len(w) > 7 and not line.startswith(("#", " ")):
                    w[4] = "n"      # in no chroot
                    if w[0] == "smtp" and w[1] == "inet":
                        w[0], w[6] = "127.0.0.1:%d" % self.port, str(self.SMTPD_MOST)
                    line = " ".join(w) + "\n"
                lines.append(line)
        return "".join(lines) + "postlog unix-dgram n - n - 1 postlogd\n"

    def start(self):
        self.etc, mail = os.path.join(self.root, "etc"), os.path.join(self.root, "mail")
        for d in self.etc, mail, self.root + "/spool", self.root + "/data":
            os.makedirs(d)
        os.chown(mail, NOBODY, NOGROUP)
        os.chown(self.root + "/data", pwd.getpwnam("postfix").pw_uid, -1)
        write(self.etc + "/main.cf", self.main_cf(self.etc, mail))
        write(self.etc + "/master.cf", self.master_cf())
        write(self.etc + "/boxes", "".join("%s %s/\n" % (u, u.partition("@")[0]) for u in peers.USERS))
        subprocess.run(["postmap", "-c", self.etc, "hash:%s/boxes" % self.etc], check=True)
        subprocess.run(["postfix", "-c", self.etc, "start"], check=True, capture_output=True)
        self.first = peers.greeting(self.port)

    def pids(self):
        with open(self.root + "/spool/pid/master.pid") as f:
            return peers.descendants(int(f.read()))

    def settle(self):
        queues = [os.path.join(self.root, "spool", q) for q in ("incoming", "active")]
        lib.wait_for(lambda: not any(files for q in queues for _, _, files in os.walk(q)), 120, "Postfix still delivers")

    def stop(self):
        subprocess.run(["postfix", "-c", self.etc, "stop"], capture_output=True)


class Unpacked(peers.Peer):
    """One that is not installed: WRAP, in a mount namespace, puts its users and folders where it looks for them."""
    users = ()      # name, number

    def start(self):
        passwd = "".join("%s:x:%d:%d::/nonexistent:/bin/false\n" % (n, i, i) for n, i in self.users)
        group = "".join("%s:x:%d:\n" % u for u in self.users)
        for name, lines in ("passwd", passwd), ("group", group):
            with open("/etc/" + name) as f:
                write(os.path.join(self.root, name), f.read() + lines)
        self.prepare()
        with open(self.root + "/log", "w") as log:
            self.child = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", self.WRAP, self.root, self.programs],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.first = peers.greeting(self.port)

    def prepare(self):
        """Write its config."""

    def queued(self):
        return []

    def settle(self):
        lib.wait_for(lambda: not self.queued(), 120, lambda: "%s still delivers: %s" % (self.name, self.queued()[:3]))

    def stop(self):
        pids = self.pids()
        self.child.terminate()
        self.child.wait()
        for pid in pids:        # what it left behind
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 15)


class OpenSMTPD(Unpacked):
    name, slow, mail = "OpenSMTPD", True, "mail"     # its handshakes end in an error of OpenSSL 3's
    programs = os.path.join(UNPACKED, "opensmtpd")
    users = ("opensmtpd", 64991), ("opensmtpq", 64992)
    # Its spool is on the disk that is measured.
    WRAP = """\
set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
mount -t tmpfs none /usr/libexec
mkdir /usr/libexec/opensmtpd
mount --bind "$1/usr/libexec/opensmtpd" /usr/libexec/opensmtpd
mount --bind "$0/spool" /var/spool
mkdir -p -m 711 /var/spool/smtpd
mount -t tmpfs none /var/lib
mkdir -p /var/lib/opensmtpd/empty
mount -t tmpfs none /run
exec "$1/usr/sbin/smtpd" -d -f "$0/smtpd.conf"
"""
    CONFIG = """\
table users file:{root}/users
smtp limit max-mails 1000000
listen on 127.0.0.1 port {port} hostname mx.test.example
action "local" maildir "{root}/mail/%{{rcpt.user}}" virtual <users>
match from any for domain "example.org" action "local"
"""

    @classmethod
    def missing(cls):
        there = os.geteuid() == 0 and os.path.exists(cls.programs + "/usr/sbin/smtpd")
        return None if there else "needs root, and make bench-peers"

    def prepare(self):
        for d in "spool", "mail":
            os.mkdir(os.path.join(self.root, d))
        os.chown(self.root + "/mail", NOBODY, NOGROUP)
        write(self.root + "/users", "".join("%s nobody\n" % u for u in peers.USERS))
        write(self.root + "/smtpd.conf", self.CONFIG.format(root=self.root, port=self.port))

    def queued(self):
        return glob.glob(self.root + "/spool/smtpd/queue/*/*")


class Exim(Unpacked):
    name, tls, slow, mail, idle_most = "Exim", True, True, "mail", 1000
    programs = os.path.join(UNPACKED, "exim")
    users = ("Debian-exim", 64990),
    # The libraries that only it needs stand in the loader's cache: it is setuid root, and takes nothing from the environment.
    WRAP = """\
set -e
{ cat /etc/ld.so.conf; echo "$1/usr/lib"; echo "$1/usr/lib/x86_64-linux-gnu"; } >"$0/ld.so.conf"
ldconfig -X -f "$0/ld.so.conf" -C "$0/ld.so.cache"
mount --bind "$0/ld.so.cache" /etc/ld.so.cache
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
mount -t tmpfs none /var/lib
mkdir /var/lib/exim4
cp "$0/exim.conf" /var/lib/exim4/config.autogenerated
exec "$0/exim4" -bdf
"""
    CONFIG = """\
primary_hostname = mx.test.example
exim_path = {root}/exim4
spool_directory = {root}/spool
log_file_path = {root}/logs/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
smtp_accept_max = 1200
smtp_connect_backlog = 4096
smtp_accept_max_per_host = 0
smtp_accept_queue_per_connection = 0
domainlist ours = example.org
acl_smtp_rcpt = rcpt
acl_smtp_data = accept_all
message_size_limit = 50M
{tls}
begin acl
rcpt:
  accept domains = +ours
         verify = recipient
  deny message = no such mailbox
accept_all:
  accept
begin routers
local:
  driver = accept
  domains = +ours
  local_parts = dbm;{root}/users.dbm
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {root}/mail/$local_part_data
  maildir_format
  delivery_date_add
  envelope_to_add
  return_path_add
  user = nobody
  group = nogroup
"""

    @classmethod
    def missing(cls):
        there = os.geteuid() == 0 and os.path.exists(cls.programs + "/usr/sbin/exim4")
        return None if there else "needs root, and make bench-peers"

    def prepare(self):
        for d, owner in ("spool", 64990), ("logs", 64990), ("mail", NOBODY):
            os.mkdir(os.path.join(self.root, d))
            os.chown(os.path.join(self.root, d), owner, NOGROUP if owner == NOBODY else owner)
        shutil.copyfile(self.programs + "/usr/sbin/exim4", self.root + "/exim4")
        os.chmod(self.root + "/exim4", 0o4755)
        write(self.root + "/users", "".join("{0}: {0}\n".format(u.partition("@")[0]) for u in peers.USERS))
        subprocess.run([self.programs + "/usr/sbin/exim_dbmbuild", self.root + "/users", self.root + "/users.dbm"], check=True, capture_output=True)
        offer = "tls_advertise_hosts =\n"
        if self.pair:
            for name, path in zip(("cert", "key"), self.pair):
                shutil.copyfile(path, os.path.join(self.root, name))
                os.chmod(os.path.join(self.root, name), 0o640)
                os.chown(os.path.join(self.root, name), 0, 64990)
            offer = "tls_advertise_hosts = *\ntls_certificate = {0}/cert\ntls_privatekey = {0}/key\n".format(self.root)
        write(self.root + "/exim.conf", self.CONFIG.format(root=self.root, port=self.port, tls=offer))

    def queued(self):
        return glob.glob(self.root + "/spool/input/**/*-D", recursive=True)


PEERS = [Postfix, OpenSMTPD, Exim, peers.SmtpServer, peers.SmtpServerSyncing]
