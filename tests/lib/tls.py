"""tls: certificates of one's own, and what a client needs to speak TLS.

Certificates are made once a program by openssl(1), in a scratch folder that
goes when the program ends.
"""
import atexit
import os
import shutil
import ssl
import subprocess
import threading

import harness
from client import Client

_folder = []


def openssl(*args, ok=True, **more):
    if not shutil.which("openssl"):
        raise harness.Skip("openssl is not installed")
    r = subprocess.run(["openssl", *args], capture_output=True, timeout=60, **more)
    if ok and r.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(args), r.stderr.decode(errors="replace")[-600:]))
    return r


def folder():
    if not _folder:
        _folder.append(harness.scratch("tls."))
        atexit.register(shutil.rmtree, _folder[0], ignore_errors=True)
    return _folder[0]


KINDS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
         "p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
         "rsa": ["-newkey", "rsa:2048"], "rsa1024": ["-newkey", "rsa:1024"], "ed25519": ["-newkey", "ed25519"]}


def certificate(name, kind="ec", names=None, days=90):
    """(certificate, key): files, made when asked for the first time.  NAMES: of its subjectAltName."""
    base = os.path.join(folder(), name)
    if days < 0 and not os.path.exists(base + ".pem"):
        return expired(base, name)
    if not os.path.exists(base + ".pem"):
        sans = ",".join("DNS:" + n for n in names or [name])
        openssl("req", "-x509", "-nodes", *KINDS[kind], "-keyout", base + ".key", "-out", base + ".pem",
                "-days", str(days), "-subj", "/CN=" + name, "-addext", "subjectAltName=" + sans)
        os.chmod(base + ".key", 0o600)
    return base + ".pem", base + ".key"


def expired(base, name):
    """One whose time is over: openssl-req(1) of OpenSSL 3.0 makes none, openssl-ca(1) does."""
    ca = certificate("expired-ca.example")
    conf = base + ".cnf"
    with open(conf, "w") as f:
        f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s.txt\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n"
                "rand_serial=yes\n[p]\ncommonName=supplied\n" % (base, folder()))
    open(base + ".txt", "w").close()
    openssl("req", "-new", "-nodes", *KINDS["ec"], "-keyout", base + ".key", "-out", base + ".csr", "-subj", "/CN=" + name)
    openssl("ca", "-batch", "-config", conf, "-cert", ca[0], "-keyfile", ca[1], "-in", base + ".csr", "-out", base + ".pem",
            "-notext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    return base + ".pem", base + ".key"


def section(pair, title="", more=""):
    """A tls section of the config."""
    return 'tls %s { certificate = "%s" key = "%s" %s }' % ('"%s"' % title if title else "", *pair, more)


def context(pair=None, version=None, tickets=True):
    """A client's context that trusts the certificate of PAIR, or, with None, all of them."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if pair:
        c.verify_mode = ssl.CERT_REQUIRED
        c.load_verify_locations(pair[0])
    if version:
        c.minimum_version = c.maximum_version = version
    if not tickets:
        c.options |= ssl.OP_NO_TICKET
    return c


class TlsClient(Client):
    """A client that may go on inside TLS."""

    def wrap(self, ctx, sni=None, session=None):
        self.sock = ctx.wrap_socket(self.sock, server_hostname=sni, session=session)
        return self

    def starttls(self, ctx=None, sni=None, session=None):
        self.cmd("STARTTLS").is_(220, "2.0.0")
        if self.buf:
            raise AssertionError("the server said more behind 220: %r" % self.buf)
        return self.wrap(ctx or context(), sni, session)

    @property
    def subject(self):
        """The common name of the server's certificate (needs a context that verifies)."""
        return dict(x[0] for x in self.sock.getpeercert()["subject"])["commonName"]


def starttls(s, port=None, ctx=None, sni=None, session=None):
    """A client of Server S that has said EHLO and STARTTLS."""
    c = TlsClient(("127.0.0.1", port or s.port), s.seen)
    s.clients.append(c)
    c.hello()
    return c.starttls(ctx, sni, session)


def implicit(s, port, ctx=None, sni=None, session=None, source=None):
    c = TlsClient(("127.0.0.1", port), s.seen, source, greet=False)
    s.clients.append(c)
    c.wrap(ctx or context(), sni, session)
    c.greeting = c.reply()
    return c


def reloads_under_load(s, n, address, text, clients=4):
    """N reloads while CLIENTS deliver over TLS without a pause; how many they delivered.  None may fail (TRUST T4)."""
    over, failures, delivered = threading.Event(), [], [0] * clients

    def deliver(i):
        try:
            while not over.is_set():
                c = TlsClient(("127.0.0.1", s.port), s.seen)
                c.hello()
                c.starttls()
                c.hello()
                c.message(address, text).is_(250)
                c.quit()
                delivered[i] += 1
        except Exception as e:
            failures.append(repr(e))

    threads = [threading.Thread(target=deliver, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    try:
        for _ in range(n):
            s.reload()
    finally:
        over.set()
        for t in threads:
            t.join()
    if failures:
        raise AssertionError("%d clients failed: %s" % (len(failures), failures[0]))
    return sum(delivered)
