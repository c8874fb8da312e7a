"""filters: real milters and what they need, started in a scratch folder, ended with the test.

    with Filters() as f:
        f.opendkim(mode="v")       # its socket, as the config has it

Each starter raises Skip where the program is not installed, or needs root and
is not.  Names are resolved by an unbound of our own with a closed zone.
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import Skip
from server import free_port

ZONE = """\
local-zone: "." static
local-data: ". SOA ns.test. h.test. 1 3600 600 86400 5"
local-data: 'example.test. A 198.51.100.10'
local-data: 'example.test. MX 10 mail.example.test.'
local-data: 'mail.example.test. A 198.51.100.10'
local-data: 'example.test. TXT "v=spf1 ip4:198.51.100.10 -all"'
local-data: '_dmarc.example.test. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"'
local-data: 'bad.test. A 198.51.100.11'
local-data: 'bad.test. TXT "v=spf1 -all"'
local-data: '_dmarc.bad.test. TXT "v=DMARC1; p=reject"'
local-data: '10.100.51.198.in-addr.arpa. PTR mail.example.test.'
"""
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
PATIENCE = 90.0


def find(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        raise Skip("%s is not installed: tools/install-deps peers" % program)
    return found


def need_root():
    if os.geteuid() != 0:
        raise Skip("not root")


class Filters:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="filters.")
        os.chmod(self.dir, 0o755)
        self.children, self.dns = [], None

    def __enter__(self):
        return self

    def __exit__(self, *what):
        for p in reversed(self.children):
            try:
                os.killpg(p.pid, signal.SIGTERM)
                p.wait(2)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
        return False

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def start(self, *argv, wait=None, resolver=False):
        """A child in the foreground, in a group of its own; WAIT: a port, or the path of a unix socket."""
        if resolver:        # its own /etc/resolv.conf, in a mount name space
            argv = ("unshare", "-m", "--propagation", "private", "sh", "-c",
                    'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.resolver(), *argv)
        with open(self.path("log"), "ab") as log:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.children.append(p)
        end = time.monotonic() + PATIENCE
        while wait is not None and not self.there(wait):
            if p.poll() is not None or time.monotonic() > end:
                with open(self.path("log"), errors="replace") as log:
                    raise AssertionError("%s did not start: %s" % (argv[0], log.read()[-1500:]))
            time.sleep(0.05)
        return p

    @staticmethod
    def there(where):
        s = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        try:
            s.connect(where if isinstance(where, str) else ("127.0.0.1", where))
            return True
        except OSError:
            return False
        finally:
            s.close()

    def resolver(self):
        """A resolv.conf that names an unbound with our zone alone, on port 53 of an address of 127/8 that is its own."""
        need_root()
        if not self.dns:
            self.dns = "127.%d.%d.53" % (os.getpid() >> 8 & 0x7f, os.getpid() & 0xff or 1)
            conf = self.write("unbound.conf", "server:\n interface: %s\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n"
                              " pidfile: \"\"\n use-syslog: no\n access-control: 127.0.0.0/8 allow\n module-config: iterator\n%s"
                              "remote-control:\n control-enable: no\n" % (self.dns, ZONE))
            self.start(find("unbound"), "-d", "-c", conf)
            end = time.monotonic() + 10
            while time.monotonic() < end:
                try:
                    with socket.create_connection((self.dns, 53), 1):
                        break
                except OSError:
                    time.sleep(0.05)
            self.write("resolv.conf", "nameserver %s\n" % self.dns)
        return self.path("resolv.conf")

    # -- the milters: each returns its socket

    def key(self):
        """A DKIM key, its public half where opendkim looks instead of in the DNS."""
        if not os.path.exists(self.path("sel.private")):
            subprocess.run([find("opendkim-genkey"), "-b", "2048", "-d", "example.test", "-s", "sel", "-D", self.dir],
                           check=True, capture_output=True)
            with open(self.path("sel.txt")) as f:
                record = "".join(f.read().split('"')[1::2])
            self.write("keys", "sel._domainkey.example.test %s\n" % record)
        return self.path("sel.private")

    def opendkim(self, mode="v"):
        """It asks the DNS for the names of clients, too."""
        port = free_port()
        key = self.key()
        conf = self.write("opendkim.conf", "Mode %s\nDomain example.test\nSelector sel\nKeyFile %s\nSocket inet:%d@127.0.0.1\n"
                          "TestPublicKeys %s\nAuthservID mx.test\nRequireSafeKeys no\nSyslog no\nBackground no\n"
                          "InternalHosts 198.51.100.10\nCanonicalization relaxed/relaxed\n" % (mode, key, port, self.path("keys")))
        self.start(find("opendkim"), "-f", "-x", conf, wait=port, resolver=True)
        return "inet:127.0.0.1:%d" % port

    def opendmarc(self):
        need_root()
        port = free_port()
        conf = self.write("opendmarc.conf", "AuthservID mx.test\nTrustedAuthservIDs mx.test\nSocket inet:%d@127.0.0.1\n"
                          "RejectFailures true\nSPFSelfValidate true\nBackground false\nSyslog false\nIgnoreHosts %s\n"
                          "HoldQuarantinedMessages false\n" % (port, self.write("ignore", "127.9.9.9\n")))
        self.start(find("opendmarc"), "-f", "-c", conf, wait=port, resolver=True)
        return "inet:127.0.0.1:%d" % port

    def clamav(self, word):
        """A database with one signature: the octets of WORD."""
        need_root()
        port = free_port()
        os.mkdir(self.path("db"))
        self.write("db/test.ndb", "Test.Refused:0:*:%s\n" % word.hex())
        clamd = self.write("clamd.conf", "DatabaseDirectory %s\nLocalSocket %s\nForeground yes\nUser root\n"
                           % (self.path("db"), self.path("clamd.sock")))
        self.start(find("clamd"), "-c", clamd, wait=self.path("clamd.sock"))
        conf = self.write("clamav-milter.conf", "MilterSocket inet:%d@127.0.0.1\nClamdSocket unix:%s\nForeground yes\nUser root\n"
                          "OnInfected Reject\nRejectMsg Infected %%v\nAddHeader Replace\n" % (port, self.path("clamd.sock")))
        self.start(find("clamav-milter"), "-c", conf, wait=port)
        return "inet:127.0.0.1:%d" % port

    def spamassassin(self):
        port = free_port()
        shutil.copytree("/etc/spamassassin", self.path("sa"), dirs_exist_ok=True) if os.path.isdir("/etc/spamassassin") else find("spamd")
        self.write("sa/local.cf", "use_bayes 0\nuse_razor2 0\nuse_pyzor 0\nrequired_score 5\nreport_safe 0\n")
        self.start(find("spamd"), "--port", str(port), "-i", "127.0.0.1", "-A", "127.0.0.1", "-L", "-m", "1", "-x",
                   "--siteconfigpath=" + self.path("sa"), "--configpath=/usr/share/spamassassin", "-s", "stderr", wait=port)
        sock = self.path("spamass.sock")
        self.start(find("spamass-milter"), "-p", sock, "-r", "15", "--", "-d", "127.0.0.1", "-p", str(port), wait=sock)
        os.chmod(sock, 0o777)
        return "unix:" + sock

    def rspamd(self):
        """Its proxy in milter mode, that scans itself."""
        need_root()
        port, control = free_port(), free_port()
        program = find("rspamd")
        for d in ("db", "run", "logs"):
            os.mkdir(self.path(d))
        shutil.copytree("/etc/rspamd", self.path("rspamd"))
        local = {"options.inc": 'dns { nameserver = ["%s:53:1"]; timeout = 1s; retransmits = 1; enable_dnssec = false; }\n'
                                'local_addrs = ["127.9.9.0/24"];\npidfile = "%s";\n' % (self.resolver() and self.dns, self.path("run/pid")),
                 "logging.inc": 'level = "info"; type = "file"; filename = "%s";\n' % self.path("logs/rspamd"),
                 "worker-proxy.inc": 'bind_socket = "127.0.0.1:%d";\nmilter = yes;\ntimeout = 30s;\n'
                                     'upstream "local" { default = yes; self_scan = yes; }\n' % port,
                 "worker-normal.inc": "enabled = false;\n", "worker-fuzzy.inc": "enabled = false;\n",
                 "worker-controller.inc": 'bind_socket = "127.0.0.1:%d"; password = "pw";\n' % control,
                 "milter_headers.conf": 'use = ["x-spam-level", "authentication-results", "x-spam-status"]; skip_local = false; '
                                        "skip_authenticated = false;\n"}
        for module in ("greylist", "history_redis", "ratelimit", "replies", "neural", "phishing", "fuzzy_check", "asn", "url_reputation",
                       "clickhouse", "maps_stats"):
            local[module + ".conf"] = "enabled = false;\n"
        for name, text in local.items():
            os.makedirs(self.path("rspamd/local.d"), exist_ok=True)
            self.write("rspamd/local.d/" + name, text)
        places = {"CONFDIR": "rspamd", "LOCAL_CONFDIR": "rspamd", "DBDIR": "db", "RUNDIR": "run", "LOGDIR": "logs"}
        self.start(program, "-f", "-c", self.path("rspamd/rspamd.conf"), "--insecure",
                   *("--var=%s=%s" % (k, self.path(v)) for k, v in places.items()), wait=port)
        return "inet:127.0.0.1:%d" % port
