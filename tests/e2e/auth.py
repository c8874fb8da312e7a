#!/usr/bin/env -S python3 -B
# check: timeout=240
"""auth: who a client is: all mechanisms with real clients, budgets, the process that has the credentials, and its end."""
import base64
import hashlib
import hmac
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.join(HERE, "..", "lib")
from harness import BIN, Skip, check, equal, main, test
from server import Server, free_port, wait_for
from tls import certificate, context, section

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def b64(s):
    return base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode()


def credentials(path, *args, text=""):
    return subprocess.run([os.path.join(BIN, "letterplate-credentials"), "-f", path, *args], input=text, text=True,
                          capture_output=True)


def ec():
    return certificate("mx.test.example", "ec", ["mx.test.example"])




def server(mode="optional", limits="", **more):
    folder = tempfile.mkdtemp(prefix="auth.")
    path = os.path.join(folder, "credentials")
    r = credentials(path, "import", text="anna sesame\nBert open it\n")
    equal(r.returncode, 0, r.stderr)
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" auth = "%s" }' % (port, mode),
               extra='%s\ncredentials = "%s"' % (section(ec()), path), start=False, count=False, limits="connections_per_ip = 0 " + limits, **more)
    s.port = port
    s.credentials = path
    s.start()
    return s




def smtp(s):
    c = smtplib.SMTP_SSL("127.0.0.1", s.port, context=context(ec()), timeout=30)
    c._host = "mx.test.example"
    c.ehlo("client.example")
    return c


def plain(c, user, password):
    return c.docmd("AUTH", "PLAIN " + b64("\0%s\0%s" % (user, password)))


def scram(c, user, password, name="SCRAM-SHA-256", gs2="n,,", binding=b""):
    first = "n=%s,r=clientnonce" % user
    code, text = c.docmd("AUTH", "%s %s" % (name, b64(gs2 + first)))
    if code != 334:
        return code, text
    server_first = base64.b64decode(text).decode()
    f = dict(x.split("=", 1) for x in server_first.split(","))
    final = "c=%s,r=%s" % (b64(gs2.encode() + binding), f["r"])
    message = ",".join([first, server_first, final]).encode()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(f["s"]), int(f["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    sign = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    code, text = c.docmd(b64(final + ",p=" + b64(bytes(a ^ b for a, b in zip(key, sign)))))
    if code != 334:
        return code, text
    want = b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256"))
    equal(base64.b64decode(text), want, "the server's signature")
    return c.docmd("")


@test
def every_mechanism_and_wrong_passwords():
    with server() as s:
        cert = ssl_der(s)
        end_point = hashlib.sha256(cert).digest()
        for how in (lambda c, p: plain(c, "Anna", p), lambda c, p: scram(c, "anna", p),
                    lambda c, p: scram(c, "anna", p, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", end_point)):
            c = smtp(s)
            check(c.has_extn("auth"), "not offered")
            equal(how(c, "wrong")[0], 535, "wrong password")
            equal(how(c, "sesame")[0], 235, "right password")
            equal(c.docmd("AUTH", "PLAIN")[0], 503, "twice")
            c.sendmail("a@client.example", [ALICE], TEXT)
            c.quit()
        c = smtp(s)
        c.user, c.password = "bert", "open it"
        equal(c.auth("LOGIN", c.auth_login)[0], 235, "LOGIN")
        # Nobody may relay.
        equal(c.mail("a@client.example")[0], 250, "MAIL")
        equal(c.rcpt("x@elsewhere.example")[0] // 100, 5, "relayed")
        c.quit()
        texts = [m.raw for m in s.messages(ALICE)]
        equal(len(texts), 3, "messages")
        check(all(b"with ESMTPSA" in t for t in texts), texts[0][:400])
        c = smtp(s)
        equal(scram(c, "anna", "sesame", "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", b"x" * 32)[0], 535, "other TLS")
        equal(plain(c, "nobody", "sesame")[0], 535, "nobody")
        equal(scram(c, "nobody", "sesame")[0], 535, "nobody by SCRAM")
        equal(plain(c, "anna", "sesame")[0], 421, "a fourth guess")
        equal((s.counter("auth_plain"), s.counter("auth_login"), s.counter("auth_scram"), s.counter("auth_scram_plus")),
              (1, 1, 1, 1), "counters")
        equal((s.counter("auth_plain_wrong"), s.counter("auth_scram_wrong"), s.counter("auth_scram_plus_wrong")),
              (2, 2, 2), "wrong ones")
        wait_for(lambda: "event=auth-failed" in s.log() and "claimed=nobody" in s.log(), why="not logged")
        check("sesame" not in s.log() and b64("\0Anna\0sesame") not in s.log(), "a password is in the log")


def ssl_der(s):
    import socket
    with context(ec()).wrap_socket(socket.create_connection(("127.0.0.1", s.port)), server_hostname="mx.test.example") as c:
        return c.getpeercert(True)


@test
def required():
    with server("required") as s:
        c = smtp(s)
        equal(c.mail("a@client.example")[0], 530, "MAIL before AUTH")
        equal(plain(c, "anna", "sesame")[0], 235, "AUTH")
        c.sendmail("a@client.example", [ALICE], TEXT)
        c.quit()


@test
def budgets_hold_over_sessions_and_workers():
    with server(limits="auth_failures_per_ip = 4 auth_failures_per_user = 3", workers=2) as s:
        codes = []
        for i in range(6):
            c = smtp(s)
            codes.append(plain(c, "anna", "wrong")[0])
            c.close()
        equal(codes, [535] * 3 + [454] * 3, "by name")
        c = smtp(s)
        equal(plain(c, "anna", "sesame")[0], 454, "right, but nobody looks")
        equal(plain(c, "bert", "open it")[0], 235, "another name")
        c.close()
        c = smtp(s)
        equal([plain(c, "x%d" % i, "y")[0] for i in range(3)], [535, 454, 454], "by address")
        c.close()
        wait_for(lambda: "reason=auth-budget-ip" in s.log() and "reason=auth-budget-user" in s.log(), why="no reason")


@test
def the_process_dies_and_comes_back():
    with server() as s:
        def pids():
            return [int(p) for p in subprocess.run(["pgrep", "-P", str(s.pid), "-f", "letterplate-auth"], text=True,
                                                   capture_output=True).stdout.split()]
        old = pids()
        equal(len(old), 1, "processes")
        os.kill(old[0], signal.SIGSTOP)
        c = smtp(s)
        c.putcmd("AUTH", "PLAIN " + b64("\0anna\0sesame"))
        time.sleep(0.2)
        os.kill(old[0], signal.SIGKILL)
        check(c.getreply()[0] in (454, 235), "an answer")
        wait_for(lambda: pids() not in ([], old), why="not started again")
        wait_for(lambda: s.counter("auth_died") == 1, why="not counted")
        d = smtp(s)
        equal(plain(d, "anna", "sesame")[0], 235, "afterwards")
        d.quit()


@test
def credentials_tool():
    folder = tempfile.mkdtemp(prefix="auth.")
    path = os.path.join(folder, "credentials")
    equal(credentials(path, "add", "Anna", text="one\n").returncode, 0, "add")
    equal(os.stat(path).st_mode & 0o777, 0o600, "mode")
    equal(credentials(path, "add", "anna", text="one\n").returncode, 65, "twice")
    equal(credentials(path, "-P", "add", "bert", text="two\n").returncode, 0, "add")
    equal(credentials(path, "list").stdout, "anna\tPLAIN LOGIN SCRAM-SHA-256\nbert\tPLAIN LOGIN\n", "list")
    before = open(path).read()
    equal(credentials(path, "passwd", "anna", text="three\n").returncode, 0, "passwd")
    after = open(path).read()
    check(before.splitlines()[0] == after.splitlines()[0] and before.splitlines()[1] != after.splitlines()[1], after)
    check("one" not in before and "three" not in after, "a password is in the file")
    equal(credentials(path, "remove", "bert").returncode, 0, "remove")
    equal(credentials(path, "remove", "bert").returncode, 67, "remove again")
    equal(credentials(path, "add", "a b", text="x\n").returncode, 65, "a blank")
    with open(path, "w") as f:
        f.write(after[:-8])
    equal(credentials(path, "list").returncode, 65, "cut short")
    shutil.rmtree(folder)


@test
def real_clients():
    with server() as s:
        for tool in "swaks", "curl", "msmtp":
            if shutil.which(tool) is None:
                raise Skip("no " + tool)
        for mech in "PLAIN", "LOGIN":
            r = subprocess.run(["swaks", "--server", "127.0.0.1:%d" % s.port, "--tlsc", "--auth", mech, "--auth-user", "anna",
                                "--auth-password", "sesame", "--from", "a@client.example", "--to", ALICE], text=True,
                               capture_output=True)
            equal(r.returncode, 0, r.stdout + r.stderr)
        for mech in "PLAIN", "LOGIN":
            r = subprocess.run(["curl", "-sSk", "--url", "smtps://127.0.0.1:%d/client.example" % s.port, "--user", "anna:sesame",
                                "--login-options", "AUTH=" + mech, "--mail-from", "a@client.example", "--mail-rcpt", ALICE,
                                "-T", "-"], input="Subject: x\r\n\r\nbody\r\n", text=True, capture_output=True)
            equal(r.returncode, 0, mech + r.stderr)
        for mech in "plain", "login", "scram-sha-256":
            r = subprocess.run(["msmtp", "-C", "/dev/null", "--host=127.0.0.1", "--port=%d" % s.port, "--tls=on",
                                "--tls-starttls=off", "--tls-certcheck=off", "--auth=" + mech, "--user=anna",
                                "--passwordeval=echo sesame", "--from=a@client.example", ALICE],
                               input="Subject: x\n\nbody\n", text=True, capture_output=True)
            equal(r.returncode, 0, mech + r.stderr)
        wait_for(lambda: len(s.messages(ALICE)) >= 7, why="messages")


main()
