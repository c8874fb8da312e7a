"""authserver: a server whose clients can log in, and clients that do."""
import base64
import os
import smtplib
import subprocess
import tempfile

from harness import BIN, equal
from server import Server, free_port
from tls import certificate, context, section


def b64(s):
    return base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode()


def credentials(path, *args, text=""):
    return subprocess.run([os.path.join(BIN, "letterplate-credentials"), "-f", path, *args], input=text, text=True,
                          capture_output=True)


def ec():
    return certificate("mx.test.example", "ec", ["mx.test.example"])


def server(mode="optional", limits="", sections="", **more):
    folder = tempfile.mkdtemp(prefix="auth.")
    path = os.path.join(folder, "credentials")
    r = credentials(path, "import", text="anna sesame\nBert open it\nRen\u00e9 caf\u00e9\n")
    equal(r.returncode, 0, r.stderr)
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" auth = "%s" }' % (port, mode),
               extra='%s\ncredentials = "%s"\n%s' % (section(ec()), path, sections), start=False, count=False, limits="connections_per_ip = 0 " + limits, **more)
    s.port = port
    s.credentials = path
    s.start()
    return s


def smtp(s, at="127.0.0.1"):
    c = smtplib.SMTP_SSL("127.0.0.1", s.port, context=context(ec()), timeout=30, source_address=(at, 0))
    c._host = "mx.test.example"
    c.ehlo("client.example")
    return c


def plain(c, user, password):
    return c.docmd("AUTH", "PLAIN " + b64("\0%s\0%s" % (user, password)))


def pids_of_auth(s):
    return [int(p) for p in subprocess.run(["pgrep", "-P", str(s.pid), "-f", "letterplate-auth"], text=True,
                                           capture_output=True).stdout.split()]
