#!/usr/bin/env -S python3 -B
# check: timeout=240
"""auth: who a client is: all mechanisms with real clients, budgets, the process that has the credentials, and its end."""
import base64
import hashlib
import hmac
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.join(HERE, "..", "lib")
from authserver import b64, credentials, ec, pids_of_auth, plain, server, smtp
from fakemilter import FakeMilter
from harness import BIN, TOP, Skip, check, equal, main, test
import milterserver
from policy import Policy, drip
from server import Server, free_port, wait_for
from tls import context, section

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


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


def door():
    """A section with the module that lets in whom it knows."""
    path = os.path.join(tempfile.mkdtemp(prefix="auth."), "door.so")
    os.chmod(os.path.dirname(path), 0o755)
    shutil.copy(os.path.join(TOP, "build", "modules", "door.so"), path)
    os.chmod(path, 0o755)
    return 'handler "door" { module = "%s" }' % path


@test
def a_module_decides_before_the_credentials():
    with server(sections=door()) as s:
        c = smtp(s)
        for user, password, code in (("evil", "open it", 535), ("guest", "wrong", 535), ("broken", "x", 454), ("guest", "welcome", 235)):
            equal(plain(c, user, password)[0], code, user)
        c.sendmail("a@client.example", ["alice@example.org"], b"Subject: x\r\n\r\nx\r\n")
        c.quit()
        wait_for(lambda: re.search(r"event=transaction .*user=visitor", s.log()), why="not as who it was let in")
        # Who the module does not know is the file's.
        c = smtp(s)
        equal(plain(c, "bert", "open it")[0], 235, "of the file")
        c.quit()
        wait_for(lambda: re.search(r"event=auth-failed .*claimed=evil", s.log()), why="the refusal is not logged")


@test
def filters_hear_who_it_is():
    """As from Postfix and Sendmail: {auth_author} is what MAIL's AUTH= says, as given."""
    with FakeMilter() as m, server(sections=milterserver.section(m), workers=1) as s:
        c = smtp(s)
        equal(plain(c, "bert", "open it")[0], 235, "AUTH")
        said = []
        for more in ("", "AUTH=x+2By@b.example", "AUTH=<>"):
            equal(c.docmd("MAIL", "FROM:<a@client.example> " + more)[0], 250, "MAIL")
            said.append([m.macros_at["M"].get(x) for x in ("{auth_type}", "{auth_authen}", "{auth_author}")])
            c.rset()
        c.quit()
        equal(said, [["PLAIN", "bert", x] for x in (None, "x+2By@b.example", None)], "macros")


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
def who_was_let_in_before_is_not_kept_out_by_others():
    with server(limits="auth_failures_per_user = 3", workers=2) as s:
        def attempt(at, user, password, by=plain):
            c = smtp(s, at)
            code = by(c, user, password)[0]
            c.close()
            return code
        equal(attempt("127.0.0.2", "anna", "sesame"), 235, "at home")
        equal(attempt("127.0.0.3", "anna", "sesame", by=scram), 235, "at work")
        equal([attempt("127.0.1.%d" % i, "anna", "guess") for i in range(1, 6)], [535] * 3 + [454] * 2, "guesses from elsewhere")
        equal(attempt("127.0.0.4", "anna", "sesame"), 454, "from where nobody has seen her")
        equal([attempt("127.0.0.2", "anna", "sesame"), attempt("127.0.0.2", "anna", "sesame", by=scram)], [235] * 2, "at home again")
        equal(attempt("127.0.0.3", "anna", "sesame", by=scram), 235, "at work again")
        # Who is known has no more guesses than others, and they are its own.
        equal([attempt("127.0.0.2", "anna", "guess") for _ in range(5)], [535] * 3 + [454] * 2, "somebody else at home")
        equal([attempt("127.0.0.2", "anna", "sesame"), attempt("127.0.0.3", "anna", "sesame")], [454, 235], "there, and not here")
        equal(attempt("127.0.0.2", "bert", "open it"), 235, "another name")
        s.reload()
        equal(attempt("127.0.0.3", "anna", "sesame"), 235, "after a reload")


@test
def budgets_hold_over_a_reload_a_crash_and_an_upgrade():
    with server(limits="auth_failures_per_user = 4 auth_failures_per_ip = 0") as s:
        def guess():
            c = smtp(s)
            code = plain(c, "anna", "wrong")[0]
            c.close()
            return code
        kept = smtp(s)
        equal(guess(), 535, "first")
        s.reload()
        equal(guess(), 535, "after a reload")
        # The old generation's process counts in the same table.
        equal(plain(kept, "anna", "wrong")[0], 535, "in an old session")
        kept.close()
        wait_for(lambda: len(pids_of_auth(s)) == 1, why="the old process stays")
        old = pids_of_auth(s)
        os.kill(old[0], signal.SIGKILL)
        wait_for(lambda: pids_of_auth(s) not in ([], old), why="not started again")
        wait_for(lambda: s.log().count("who=master event=auth-ready") == 3, why="not ready again")
        n = s.log().count("event=upgraded")
        s.signal(signal.SIGUSR2)
        wait_for(lambda: s.log().count("event=upgraded") == n + 1, why="not upgraded")
        equal([guess(), guess()], [535, 454], "after a crash and an upgrade")
        c = smtp(s)
        equal(plain(c, "anna", "sesame")[0], 454, "right, but nobody looks")
        equal(plain(c, "bert", "open it")[0], 235, "another name")
        c.quit()


@test
def the_same_letters_are_the_same_password():
    with server() as s:
        # As typed on another machine: decomposed, and with wide letters and another blank.
        for user, password in ("Ren\u00e9", "caf\u00e9"), ("rene\u0301", "cafe\u0301"), ("\uff32en\u00e9", "\uff43af\u00e9"), \
                ("bert", "open\u00a0it"), ("\uff22ert", "open\u3000it"):
            c = smtp(s)
            equal(plain(c, user, password)[0], 235, user)
            equal(c.mail("a@client.example")[0], 250, "MAIL")
            c.close()
        for user, password in ("ren\u00e9", "caf\u00c9"), ("rene", "cafe"), ("ren\u00e9", "caf\u00e9\ue000"):
            c = smtp(s)
            equal(plain(c, user, password)[0], 535, user)
            c.close()
        c = smtp(s)
        for raw in b"\0anna\0\xff\xfe", b"\0\xff\0sesame", b"\0anna\0sesame\t":
            equal(c.docmd("AUTH", "PLAIN " + b64(raw))[0], 535, raw)
        c.close()
        c = smtp(s)
        equal(scram(c, "ren\u00e9", "caf\u00e9")[0], 235, "SCRAM")
        c.close()
        wait_for(lambda: s.log().count("event=auth ") == 6, why="not logged")
        s.says("user=ren\u00e9")
        check("rene\u0301" not in s.log(), "the name is not the one of the file")
    folder = tempfile.mkdtemp(prefix="auth.")
    path = os.path.join(folder, "credentials")
    r = subprocess.run([os.path.join(BIN, "letterplate-credentials"), "-f", path, "add", "anna"], input=b"caf\xe9\n", capture_output=True)
    equal(r.returncode, 65, "Latin-1")
    check(b"UTF-8" in r.stderr, r.stderr)
    equal(credentials(path, "add", "a\ue000", text="x\n").returncode, 65, "a private character")
    shutil.rmtree(folder)


def memory_of(pid, needle):
    """Where ${needle} stands in what ${pid} may write."""
    found = []
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            where, mode = line.split()[:2]
            if not mode.startswith("rw"):
                continue
            a, b = (int(x, 16) for x in where.split("-"))
            if b - a > 1 << 30:     # a sanitizer's own
                continue
            try:
                mem.seek(a)
                text = mem.read(b - a)
            except (OSError, ValueError, OverflowError):
                continue
            if needle in text:
                found.append(line.strip())
    return found


@test
def nothing_of_a_password_stays_in_memory():
    if os.geteuid() != 0:
        raise Skip("only root reads the memory of a worker")
    secret = "correct-horse-battery-staple-%d" % os.getpid()
    with server(workers=1) as s:
        r = credentials(s.credentials, "passwd", "anna", text=secret + "\n")
        equal(r.returncode, 0, r.stderr)
        s.reload()
        wait_for(lambda: len(pids_of_auth(s)) == 1, why="the old process stays")
        marker = "a-marker-that-stays-%d" % os.getpid()
        c = smtp(s)
        # The test sees what is there.
        c.putcmd("HELO", marker)
        equal(c.getreply()[0], 250, "HELO")
        worker = s.workers()[0]
        check(memory_of(worker, marker.encode()), "the marker is not found: this test sees nothing")
        sessions = [c]
        def again():
            d = smtp(s)
            sessions.append(d)
            return d
        full = b64("\0anna\0" + secret)
        needles = secret[:20].encode(), full[12:40].encode(), b64(secret)[:20].encode()

        def gone(after):
            """Looked for at once: what comes next may write over it."""
            for pid, who in [(worker, "worker")] + [(p, "letterplate-auth") for p in pids_of_auth(s)]:
                for needle in needles:
                    equal(memory_of(pid, needle), [], "%s: %s has %s" % (after, who, needle))
        d = again()
        equal(plain(d, "anna", secret)[0], 235, "right")
        gone("right")
        equal(d.docmd("AUTH", "PLAIN " + full)[0], 503, "twice")
        gone("twice")
        d = again()
        equal(plain(d, "anna", secret + "x")[0], 535, "wrong")
        gone("wrong")
        d = again()
        equal(d.docmd("AUTH", "PLAIN")[0], 334, "PLAIN")
        equal(d.docmd(full)[0], 235, "right")
        gone("in a line of its own")
        d = again()
        equal(d.docmd("AUTH", "LOGIN")[0], 334, "LOGIN")
        equal(d.docmd(b64("anna"))[0], 334, "LOGIN")
        equal(d.docmd(b64(secret))[0], 235, "right")
        gone("LOGIN")
        d = again()
        equal(d.docmd("AUTH", "NOSUCH " + full)[0], 504, "no such mechanism")
        gone("no such mechanism")
        d = again()
        equal(d.docmd("AUTH", "PLAIN " + full + "!")[0], 501, "not base64")
        gone("not base64")
        d = again()
        d.sock.sendall(("AUTH PLAIN %s\r\nNOOP\r\n" % full).encode())    # with something behind it
        equal([d.getreply()[0], d.getreply()[0]], [235, 250], "pipelined")
        gone("pipelined")
        d = again()
        # Far into its record, where no reply is written over it.
        d.sock.sendall(("NOOP %s\r\nAUTH PLAIN %s\r\n" % ("x" * 1000, full)).encode())
        equal([d.getreply()[0], d.getreply()[0]], [250, 235], "behind a long line")
        gone("behind a long line")
        d = again()
        d.sock.sendall(("AUTH PLAIN " + full)[:-4].encode())                 # and the rest never comes
        time.sleep(0.2)
        d.close()
        wait_for(lambda: not any(memory_of(worker, n) for n in needles), why="a line that never ended stays")
        # The hashes are in one process alone.
        stored = [bytes.fromhex(w) for line in open(s.credentials) if line.startswith("anna ") for w in line.split() if len(w) == 64]
        equal(len(stored), 3, "hashes")
        check(memory_of(pids_of_auth(s)[0], stored[0]), "letterplate-auth does not have the hash: this test sees nothing")
        for h in stored:
            for pid in s.workers() + [s.pid]:
                equal(memory_of(pid, h), [], "a hash outside letterplate-auth")
        for x in sessions:
            x.close()


@test
def who_does_not_exist_takes_as_long():
    with server(workers=1, limits="auth_failures_per_ip = 0 auth_failures_per_user = 0") as s:
        took = {"anna": [], "nobody": []}
        for _ in range(4):
            for user, times in took.items():
                c = smtp(s)
                began = time.monotonic()
                equal(plain(c, user, "wrong")[0], 535, user)
                times.append(time.monotonic() - began)
                c.close()
        # The exact figures are in docs/decisions/054-auth.md; what must not be is a quick no.
        known, unknown = min(took["anna"]), min(took["nobody"])
        check(unknown > known / 2, "a name that exists took %.0f ms, another %.0f" % (1000 * known, 1000 * unknown))


@test
def a_damaged_file_is_refused_and_the_old_one_stays():
    with server(workers=1) as s:
        with open(s.credentials) as f:
            text = f.read()
        for damage in text[:-8], "", text + "x", text.replace("scrypt", "crypt", 1):
            with open(s.credentials, "w") as f:
                f.write(damage)
            n = s.log().count("event=reload-refused")
            s.signal(signal.SIGHUP)
            wait_for(lambda: s.log().count("event=reload-refused") == n + 1, why="a damaged file is taken")
            c = smtp(s)
            equal(plain(c, "anna", "sesame")[0], 235, "the old one")
            c.close()
        os.unlink(s.credentials)
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.log().count("event=reload-refused") == 5, why="a file that is gone is taken")
        s.says("letterplate-credentials -f %s add NAME" % s.credentials)
        # What it had open it has when it is started again, whatever became of the name.
        equal(credentials(s.credentials, "add", "carl", text="x\n").returncode, 0, "add")
        old = pids_of_auth(s)
        c = smtp(s)
        equal(plain(c, "carl", "x")[0], 535, "not yet")
        c.close()
        s.reload()
        wait_for(lambda: len(pids_of_auth(s)) == 1 and pids_of_auth(s) != old, why="the old process stays")
        c = smtp(s)
        equal(plain(c, "carl", "x")[0], 235, "now")
        c.close()
        # Cut under a process that dies: nobody gets in until it is whole again, and nothing else suffers.
        with open(s.credentials, "r+") as f:
            whole = f.read()
            f.truncate(20)
        os.kill(pids_of_auth(s)[0], signal.SIGKILL)
        wait_for(lambda: "its end is missing" in s.log() or "is none that letterplate-credentials writes" in s.log(), why="not said")
        c = smtp(s)
        equal(c.noop()[0], 250, "NOOP")
        with open(s.credentials, "r+") as f:
            f.write(whole)
        wait_for(lambda: plain(c, "carl", "x")[0] == 235, why="whole again")
        c.close()


@test
def the_process_dies_and_comes_back():
    with server() as s:
        def pids():
            return pids_of_auth(s)
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
def who_comes_before_it_is_ready_waits_for_it():
    """Workers listen before letterplate-auth has its list; READY=1 is said behind both."""
    def caught():
        """Stopped before it was ready: it has passwords to hash first."""
        s.start(wait=False)
        while not pids_of_auth(s):
            check(s.child.poll() is None, "it ended")
        os.kill(pids_of_auth(s)[0], signal.SIGSTOP)
        s.says("event=worker-ready")
        if "event=auth-ready" not in s.log():
            return True
        os.kill(pids_of_auth(s)[0], signal.SIGCONT)
        s.term()
        os.truncate(s.log_path, 0)
        return False
    with server(workers=1) as s:
        s.term()
        os.truncate(s.log_path, 0)
        check(any(caught() for _ in range(50)), "it was always ready at once")
        c = smtp(s)
        c.putcmd("AUTH", "PLAIN " + b64("\0anna\0sesame"))
        time.sleep(1)               # its question is on its way
        os.kill(pids_of_auth(s)[0], signal.SIGCONT)
        equal(c.getreply()[0], 235, "AUTH")
        s.wait_note("READY=1")
        c.quit()


GOOD = "ya29.a0Af_H6SM-c1~2/3+4=="


def token_server(answer, extra="timeout = \"2s\"", passwords=False, workers=1, limits="", **more):
    p = Policy(answer)
    folder = tempfile.mkdtemp(prefix="auth.")
    path = os.path.join(folder, "credentials")
    equal(credentials(path, "import", text="anna sesame\n").returncode, 0, "import")
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" auth = "optional" }' % port,
               extra='%s\ntokens { socket = "%s" %s }\n%s' % (section(ec()), p.name, extra,
                                                            'credentials = "%s"' % path if passwords else ""),
               start=False, count=False, limits="connections_per_ip = 0 " + limits, workers=workers, **more)
    s.port, s.policy = port, p
    s.start()
    return s


def bearer(c, token, user="anna@example.org"):
    code, text = c.docmd("AUTH", "OAUTHBEARER " + b64("n,%s,\1host=mx\1port=25\1auth=Bearer %s\1\1" % ("a=" + user if user else "", token)))
    if code != 334:
        return code, text
    equal(base64.b64decode(text), b'{"status":"invalid_token","schemes":"bearer"}', "why")
    return c.docmd("AQ==")


def xoauth2(c, token, user="anna@example.org"):
    code, text = c.docmd("AUTH", "XOAUTH2 " + b64("user=%s\1auth=Bearer %s\1\1" % (user, token)))
    if code != 334:
        return code, text
    equal(base64.b64decode(text), b'{"status":"401","schemes":"bearer"}', "why")
    return c.docmd("")


@test
def tokens_are_asked_about():
    def answer(r, _):
        return "OK " + ("Anna@Example.org" if r["sasl_username"] == "" else "") if r["token"] == GOOD else "REJECT"
    with token_server(answer) as s:
        c = smtp(s)
        equal(c.esmtp_features["auth"].split(), ["OAUTHBEARER", "XOAUTH2"], "offered")
        equal(plain(c, "anna", "sesame")[0], 504, "no passwords here")
        equal(bearer(c, "wrong")[0], 535, "wrong")
        equal(bearer(c, GOOD)[0], 235, "right")
        c.sendmail("a@client.example", [ALICE], TEXT)
        c.close()
        d = smtp(s)
        equal(xoauth2(d, "wrong")[0], 535, "wrong")
        equal(xoauth2(d, GOOD)[0], 235, "right")
        d.close()
        e = smtp(s)
        equal(bearer(e, GOOD, user="")[0], 235, "whose the token is, is for the server to say")
        e.close()
        f = smtp(s)
        equal([bearer(f, "wrong")[0] for _ in range(3)] + [f.docmd("AUTH", "XOAUTH2")[0]], [535] * 3 + [421], "three")
        r = s.policy.requests[1]
        equal((r["request"], r["protocol_state"], r["sasl_method"], r["sasl_username"], r["token"], r["client_address"],
               r["helo_name"], r["encryption_protocol"]), ("oauth_token", "AUTH", "OAUTHBEARER", "anna@example.org", GOOD,
               "127.0.0.1", "client.example", "TLSv1.3"), "request")
        check(len(r["_lines"]) == len(r) - 1, "an attribute twice")
        equal((s.counter("auth_oauthbearer"), s.counter("auth_oauthbearer_wrong"), s.counter("auth_xoauth2"),
               s.counter("auth_xoauth2_wrong")), (2, 4, 1, 1), "counters")
        wait_for(lambda: s.log().count("method=OAUTHBEARER") == 6, why="not logged")
        equal(len(s.lines("auth-failed", 5)), 5, "failures")
        s.says("user=anna@example.org")
        check(GOOD not in s.log() and b64("Bearer " + GOOD)[4:20] not in s.log(), "a token is in the log")
        equal(len(s.messages(ALICE)), 1, "messages")
        check(b"with ESMTPSA" in s.messages(ALICE)[0].raw, "not ESMTPSA")
        if os.geteuid() == 0:
            for pid in s.workers():
                equal(memory_of(pid, GOOD.encode()), [], "a token stays")


@test
def wrong_tokens_count_as_wrong_passwords_do():
    asked = []
    def answer(r, _):
        asked.append(r["token"])
        return {GOOD: "OK", "later": "DEFER"}.get(r["token"], "REJECT")
    for passwords in (False, True):
        with token_server(answer, passwords=passwords, workers=2, limits="auth_failures_per_ip = 5 auth_failures_per_user = 2") as s:
            def attempt(what, *args, at="127.0.0.1"):
                c = smtp(s, at)
                code = what(c, *args)[0]
                c.close()
                return code
            equal([attempt(bearer, GOOD) for _ in range(8)], [235] * 8, "right ones")
            equal([attempt(bearer, "later") for _ in range(8)], [454] * 8, "those of which nobody knows")
            n = 5
            if passwords:
                equal([attempt(plain, "anna", "wrong"), attempt(plain, "anna", "sesame")], [535, 235], "passwords")
                n -= 1
            # The name is a claim: no guess at it keeps its owner out.
            equal([attempt(bearer, "wrong", "anna") for _ in range(n)], [535] * n, "wrong ones")
            del asked[:]
            equal([attempt(xoauth2, "wrong"), attempt(bearer, GOOD)], [454] * 2, "too many")
            equal(asked, [], "and nobody is asked any more")
            if passwords:
                equal(attempt(plain, "anna", "sesame"), 454, "nor about passwords")
                equal(attempt(plain, "anna", "sesame", at="127.0.0.2"), 235, "the name is not locked")
            equal(attempt(bearer, GOOD, at="127.0.0.2"), 235, "another address")
            equal(len(pids_of_auth(s)), 1, "who counts")


@test
def what_a_module_refuses_counts_too():
    with server(sections=door(), limits="auth_failures_per_ip = 3") as s:
        def attempt(user, password):
            c = smtp(s)
            code = plain(c, user, password)[0]
            c.close()
            return code
        equal([attempt("guest", "welcome") for _ in range(5)], [235] * 5, "let in by the module")
        equal([attempt("broken", "x") for _ in range(5)], [454] * 5, "it cannot tell")
        equal([attempt("bert", "open it") for _ in range(5)], [235] * 5, "let in by the file")
        equal([attempt("evil", "x"), attempt("bert", "x"), attempt("evil", "x"), attempt("guest", "welcome")], [535] * 3 + [454], "together")


@test
def what_is_no_answer_lets_nobody_in():
    answers = {"silence": None, "closes": 1, "nonsense": b"hello\n\n", "dunno": "DUNNO", "defer": "DEFER", "number": "200",
               "code": "450 4.7.1 later", "twice": b"action=OK\naction=REJECT\n\n", "empty": b"\n\n", "control": b"action=OK a\1b\n\n",
               "permit": "PERMIT", "prepend": "PREPEND X-A: b", "discard": "DISCARD", "long": b"action=OK " + b"x" * 5000 + b"\n\n",
               "nobody": "OK", "name": "OK \u00a0x"}
    def answer(r, _):
        a = answers[r["token"]]
        if a == 1:
            raise OSError
        return a
    with token_server(answer) as s:
        for token in answers:
            c = smtp(s)
            began = time.monotonic()
            code = bearer(c, token, user="" if token == "nobody" else "anna")[0]
            equal(code, 454, token)
            check(time.monotonic() - began < 5, "%s took too long" % token)
            equal(c.mail("a@client.example")[0], 250, "the session goes on")
            c.close()
        equal(s.counter("auth_deferred"), len(answers), "deferred")
        s.policy.answer = drip(b"action=OK\n\n")
        c = smtp(s)
        equal(bearer(c, GOOD)[0], 235, "octet by octet")
        c.close()
        s.policy.answer = lambda r, c: "REJECT" if r["token"] == "x" else "550 5.7.1 no"
        c = smtp(s)
        equal([bearer(c, "x")[0], xoauth2(c, "y")[0]], [535, 535], "no")
        c.close()
        s.policy.close()
        c = smtp(s)
        equal(bearer(c, GOOD)[0], 454, "nobody is there")
        c.close()


@test
def a_silent_server_holds_nobody_else_up():
    with token_server(lambda r, c: None, passwords=True, extra="", limits="auth_failures_per_ip = 25") as s:
        c = smtp(s)
        equal(sorted(c.esmtp_features["auth"].split())[:2], ["LOGIN", "OAUTHBEARER"], "offered")
        waiting = [smtp(s) for _ in range(20)]
        for w in waiting:
            w.putcmd("AUTH", "XOAUTH2 " + b64("user=a\1auth=Bearer x\1\1"))
        time.sleep(0.2)
        equal(plain(c, "anna", "sesame")[0], 235, "by password")
        slowest = 0
        for _ in range(50):
            began = time.monotonic()
            equal(c.noop()[0], 250, "NOOP")
            slowest = max(slowest, time.monotonic() - began)
        check(slowest < 0.5, "a NOOP took %f s" % slowest)
        more = [smtp(s) for _ in range(6)]
        for w in more:
            w.putcmd("AUTH", "XOAUTH2 " + b64("user=a\1auth=Bearer x\1\1"))
        equal(more[5].getreply()[0], 454, "more questions at once than guesses")
        for w in waiting + more:
            w.close()           # and nobody waits for those who are gone
        c.close()
        # Who left has not heard anything: no guess.
        s.policy.answer = lambda r, c: "OK" if r["token"] == GOOD else "REJECT"
        def again():
            c = smtp(s)
            code = bearer(c, GOOD)[0]
            c.close()
            return code == 235
        wait_for(again, why="those who left are counted")


@test
def a_long_token():
    long = "A" * 9000
    with token_server(lambda r, c: "OK" if r["token"] == long else "REJECT") as s:
        c = smtp(s)
        equal(xoauth2(c, long)[0], 235, "9,000 octets")
        c.close()


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
    with token_server(lambda r, c: "OK" if r["token"] == GOOD else "REJECT") as s:
        for mech in "OAUTHBEARER", "XOAUTH2":
            for token, codes in (GOOD, (0,)), ("wrong", (67,)):
                r = subprocess.run(["curl", "-sSk", "--url", "smtps://127.0.0.1:%d/client.example" % s.port, "--user", "anna:",
                                    "--oauth2-bearer", token, "--login-options", "AUTH=" + mech, "--mail-from",
                                    "a@client.example", "--mail-rcpt", ALICE, "-T", "-"], input="Subject: x\r\n\r\nbody\r\n",
                                   text=True, capture_output=True)
                check(r.returncode in codes, "curl %s: %d %s" % (mech, r.returncode, r.stderr))
        for mech in "oauthbearer", "xoauth2":
            for token, right in (GOOD, True), ("wrong", False):
                r = subprocess.run(["msmtp", "-C", "/dev/null", "--host=127.0.0.1", "--port=%d" % s.port, "--tls=on",
                                    "--tls-starttls=off", "--tls-certcheck=off", "--auth=" + mech, "--user=anna",
                                    "--passwordeval=echo '%s'" % token, "--from=a@client.example", ALICE],
                                   input="Subject: x\n\nbody\n", text=True, capture_output=True)
                equal(r.returncode == 0, right, "msmtp %s: %s" % (mech, r.stderr))
        wait_for(lambda: len(s.messages(ALICE)) == 4, why="messages")
        # curl takes OAUTHBEARER where both are offered, whatever it is told.
        equal((s.counter("auth_oauthbearer"), s.counter("auth_xoauth2")), (3, 1), "counters")


def traces(s):
    """How many traces each worker knows of cannot be asked; a session that all of them show says that they are there."""
    found = [subprocess.Popen([os.path.join(BIN, "letterplate-trace"), "-d", s.path("state"), *more], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) for more in ((), ("-j",))]
    end = time.monotonic() + 20
    for p in found:
        os.set_blocking(p.stdout.fileno(), False)
        p.seen = b""
    while not all(b"probe.example" in p.seen for p in found):
        if time.monotonic() > end:
            raise AssertionError("no trace of a session")
        c = smtp(s)
        c.docmd("NOOP", "probe.example")
        c.close()
        time.sleep(0.05)
        for p in found:
            p.seen += p.stdout.read() or b""
    return found


@test
def a_trace_never_shows_what_a_client_knows():
    """A live trace over every mechanism, right and wrong, and over what goes wrong on the way; each secret in each of its forms."""
    secrets, words = {"sesame", "open it", "opensesame", "nearlythere"}, set()
    with server(limits="auth_failures_per_ip = 0 auth_failures_per_user = 0") as s:
        found = traces(s)
        tls = smtp(s)

        def say(line):
            """A line of secrets: all that stands in it is not to be seen."""
            words.update(w for w in line.split()[2 if line.startswith("AUTH") else 0:] if len(w) > 2)
            return tls.docmd(line)
        for password, code in (("opensesame", 535), ("sesame", 235)):
            equal(say("AUTH PLAIN " + b64("\0anna\0" + password))[0], code, "PLAIN at once")
            tls.close()
            tls = smtp(s)
            equal(tls.docmd("AUTH PLAIN")[0], 334, "PLAIN")
            equal(say(b64("\0anna\0" + password))[0], code, "PLAIN")
            tls.close()
            tls = smtp(s)
            equal(tls.docmd("AUTH LOGIN")[0], 334, "LOGIN")
            equal(say(b64("anna"))[0], 334, "a name")
            equal(say(b64(password))[0], code, "LOGIN")
            tls.close()
            tls = smtp(s)
        for password, code in (("nearlythere", 535), ("sesame", 235)):
            real = tls.docmd
            sent = []

            def note(cmd, args="", real=real, sent=sent):
                sent.append((cmd + " " + args).strip())
                return real(cmd, args)
            tls.docmd = note
            equal(scram(tls, "anna", password)[0], code, "SCRAM")
            words.update(w for line in sent for w in line.split() if len(w) > 12 and not w.startswith("SCRAM"))
            tls.close()
            tls = smtp(s)
        # What is no base64, is cut off, is called off, or comes where no command is: none of it is shown either.
        for lines in (["AUTH PLAIN", "not base64 " + b64("sesame")], ["AUTH LOGIN", b64("anna"), "*"], ["AUTH PLAIN " + b64("sesame")[:-3]],
                      ["AUTH LOGIN " + b64("anna"), b64("sesame") + "=" * 9], ["AUTH BOGUS " + b64("sesame")], ["auth\tplain " + b64("open it")],
                      ["AUTH LOGIN", b64("x" * 4000)], ["AUTH PLAIN " + b64("\0anna\0sesame") + " trailing"]):
            for line in lines:
                words.update(w for w in line.replace("\t", " ").split() if len(w) > 2 and w.upper() not in ("AUTH", "PLAIN", "LOGIN", "BOGUS", "NOT"))
                tls.docmd(line)
            tls.close()
            tls = smtp(s)
        tls.quit()
        time.sleep(0.3)
        for secret in secrets:
            words |= {secret, b64(secret), b64(secret).rstrip("="), b64("\0anna\0" + secret)}
        words -= {"base64", "trailing"}
        for p in found:
            p.send_signal(signal.SIGINT)
            p.wait(20)
            text = (p.seen + (p.stdout.read() or b"")).decode(errors="replace")
            check("AUTH" in text and "235" in text and "535" in text and "334" in text, "the dialogue is shown: %s" % text[-2000:])
            shown = sorted(w for w in words if w in text)
            equal(shown, [], "secrets in %s" % text)
        shown = sorted(w for w in words if w in s.log())
        equal(shown, [], "secrets in the log")


main()
