#!/usr/bin/env -S python3 -B
# check: timeout=240
"""tls: STARTTLS, required and implicit TLS, certificates by name, tickets, injection, a reload, and where the keys are."""
import collections
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# This folder comes first otherwise, and we are not the module "tls" of lib/.
sys.path[0] = os.path.join(HERE, "..", "lib")
import tls
from client import SMTP, Closed, connect
from harness import BIN, Skip, check, equal, main, need_root, sanitized, test
from proc import descriptors
from server import Server, free_port, wait_for
from tls import certificate, context, implicit, openssl, section, starttls

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
MANY = 15       # connections at once
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def ec():
    return certificate("mx.test.example", "ec", ["mx.test.example", "*.wild.example"])


def server(mode="starttls", sections=None, listeners="", **more):
    port = free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "%s" }\n%s' % (port, mode, listeners),
               extra=sections or section(ec()), start=False, **more)
    s.port = port
    s.start()
    return s


@test
def starttls_in_both_versions():
    with server() as s:
        for version, word in (V12, "TLSv1.2"), (V13, "TLSv1.3"):
            c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
            check("STARTTLS" in c.hello("before.example").lines, "not offered")
            c.envelope(ALICE)
            c.starttls(context(ec(), version))
            equal(c.sock.version(), word, "version")
            equal(c.subject, "mx.test.example", "certificate")
            # All that was learnt in clear is forgotten.
            c.cmd("MAIL FROM:<a@client.example>").is_(503)
            c.cmd("RCPT TO:<%s>" % ALICE).is_(503)
            check("STARTTLS" not in c.hello("inside.example").lines, "offered inside TLS")
            c.cmd("STARTTLS").is_(503, "5.5.1")
            check(c.message(ALICE, TEXT).queued, "not taken")
            c.quit()
        texts = [m.raw for m in s.messages(ALICE)]
        for word in b"TLSv1.2", b"TLSv1.3":
            one = [t for t in texts if b"version=" + word in t]
            equal(len(one), 1, "messages by %s" % word)
            check(re.search(rb"from inside\.example .*\n\tby \S+ \(Letterplate\) with ESMTPS\n\t"
                            rb"\(version=TLSv1\.\d cipher=\S+\)\s+id ", one[0]), one[0][:400])
        equal((s.counter("tls_1_2"), s.counter("tls_1_3"), s.counter("tls_failed")), (1, 1, 0), "counters")
        wait_for(lambda: s.log().count("end=quit tls=TLSv1.") == 2, why="no TLS in the session's line")


@test
def starttls_with_a_parameter_and_where_there_is_none():
    with server("none") as s:
        c = s.client()
        check("STARTTLS" not in c.hello().lines, "offered")
        c.cmd("STARTTLS").is_(502)
        c.quit()
    with server() as s:
        c = s.client()
        c.hello()
        c.cmd("STARTTLS now").is_(501, "5.5.4")
        c.quit()


@test
def requiretls_inside_alone():
    with server() as s:
        c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
        check("REQUIRETLS" not in c.hello().lines, "listed in clear")
        c.cmd("MAIL FROM:<a@client.example> REQUIRETLS").is_(530, "5.7.0")
        c.starttls()
        check("REQUIRETLS" in c.hello().lines, "not listed inside TLS")
        c.cmd("MAIL FROM:<a@client.example> REQUIRETLS=1").is_(501, "5.5.4")
        c.envelope(ALICE, params=" REQUIRETLS")
        check(c.data(TEXT).queued, "not taken")
        c.quit()
        wait_for(lambda: " requiretls=yes" in s.log(), why="the log does not say it")
    with server("none") as s:
        c = s.client()
        check("REQUIRETLS" not in c.hello().lines, "listed without TLS")
        c.cmd("MAIL FROM:<a@client.example> REQUIRETLS").is_(530, "5.7.0")
        c.quit()


@test
def required():
    with server("required") as s:
        c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
        c.cmd("NOOP").is_(250)
        c.cmd("HELP").is_(214)
        c.cmd("MAIL FROM:<a@client.example>").is_(530, "5.7.0")
        c.hello()
        for line in "MAIL FROM:<a@client.example>", "RCPT TO:<%s>" % ALICE, "DATA", "BDAT 0 LAST", "VRFY alice":
            c.cmd(line).is_(530, "5.7.0")
        c.cmd("RSET").is_(250)
        c.starttls()
        c.hello()
        check(c.message(ALICE, TEXT).queued, "not taken")
        c.quit()
        c = s.client()
        c.quit()


@test
def implicit_tls():
    with server("implicit") as s:
        for version in V12, V13:
            c = implicit(s, s.port, context(ec(), version))
            equal(c.greeting.code, 220, "greeting")
            check("STARTTLS" not in c.hello().lines, "offered inside TLS")
            check(c.message(ALICE, TEXT).queued, "not taken")
            c.quit()
        check(all("with ESMTPS" in m["Received"] for m in s.messages(ALICE)), "no ESMTPS")


@test
def the_name_chooses_the_certificate():
    other = certificate("other.example", "rsa", ["other.example", "b.other.example"])
    ed = certificate("ed.example", "ed25519")
    p384 = certificate("p384.example", "p384")
    sections = "\n".join([section(ec()), section(other), section(ed, "title.example"), section(p384)])
    cases = [(None, ec()), ("mx.test.example", ec()), ("nobody.example", ec()), ("a.wild.example", ec()),
             ("a.b.wild.example", ec()), ("other.example", other), ("OTHER.example", other), ("b.other.example", other),
             ("title.example", ed), ("ed.example", ec()), ("p384.example", p384)]
    with server(sections=sections) as s:
        for sni, pair in cases:
            for version in V12, V13:
                c = starttls(s, ctx=context(pair, version), sni=sni)
                check(os.path.basename(pair[0]).startswith(c.subject), "%s got %s" % (sni, c.subject))
                c.quit()
        wait_for(lambda: "sni=other.example" in s.log(), why="no SNI in the log")


@test
def nothing_in_clear_survives_starttls():
    # Each in one packet with STARTTLS: nothing of it may be answered, in clear or inside TLS.
    for behind in b"RSET\r\n", b"X", b"\r\n", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%s>\r\n" % ALICE.encode(), b"Q" * 5000:
        with server() as s:
            c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
            c.hello()
            c.send(b"STARTTLS\r\n" + behind)
            equal([r.code for r in c.rest()], [554], "replies to STARTTLS and %r" % behind[:20])
            c.close()
            equal(s.counter("tls_injected"), 1, "counter")
            wait_for(lambda: "end=plaintext-behind-starttls" in s.log(), why="not in the log")
    # In a packet of its own it is taken for a ClientHello, which it is not.
    with server() as s:
        c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
        c.hello()
        c.cmd("STARTTLS").is_(220)
        c.send(b"RSET\r\nNOOP\r\n")
        rest = b""
        try:
            while more := c.sock.recv(4096):
                rest += more
        except ConnectionResetError:
            pass
        check(b"250" not in rest, "answered in clear: %r" % rest)
        equal(s.counter("tls_failed"), 1, "counter")
        c.close()


@test
def a_handshake_octet_by_octet():
    with server() as s:
        c = s.client()
        c.hello()
        c.cmd("STARTTLS").is_(220)
        c.sock.settimeout(10)
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        o = context().wrap_bio(into, out, server_hostname="mx.test.example")
        while True:
            try:
                o.do_handshake()
                break
            except ssl.SSLWantReadError:
                for b in out.read():
                    c.send(bytes([b]))
                into.write(c.sock.recv(3))
        for b in out.read():
            c.send(bytes([b]))
        o.write(b"NOOP\r\n")
        for b in out.read():
            c.send(bytes([b]))
        got = b""
        while not got:
            try:
                got = o.read(100)
            except ssl.SSLWantReadError:
                into.write(c.sock.recv(100))
        check(got.startswith(b"250 "), got)
        s.seen[250] += 1
        c.close()


@test
def broken_handshakes_end_and_are_counted():
    imp = free_port()
    with server(listeners='listener "imp" { address = {"127.0.0.1:%d"} tls = "implicit" }' % imp,
                timeouts='handshake = "500ms" drain = "5s"') as s:
        # Garbage, a connection that closes, one with an old version, one that says nothing.
        a = connect(("127.0.0.1", imp))
        a.sendall(b"GET / HTTP/1.0\r\n\r\n")
        check(b"220" not in a.recv(4096), "greeted")
        b = connect(("127.0.0.1", imp))
        b.sendall(b"\x16\x03\x01\x02\x00\x01")
        b.close()
        r = openssl("s_client", "-connect", "127.0.0.1:%d" % imp, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", ok=False,
                    input=b"")
        check(b"alert protocol version" in r.stderr, r.stderr[-300:])
        began = time.monotonic()
        d = connect(("127.0.0.1", imp))
        equal(d.recv(100), b"", "what a silent client hears")
        took = time.monotonic() - began
        check(0.4 < took < 3, "handshake timeout after %.2f s" % took)
        # In the middle of STARTTLS, too.
        c = s.client()
        c.hello()
        c.cmd("STARTTLS").is_(220)
        equal(c.sock.recv(100), b"", "what a silent client hears behind 220")
        wait_for(lambda: s.counter("tls_failed") == 5, why=lambda: "%d failed" % s.counter("tls_failed"))
        for reason in "reason=\"http request\"", "reason=timeout", "unsupported protocol", "the peer closed":
            s.says(reason)
        equal(s.counter("timeouts"), 2, "timeouts")
        equal(s.stats()["tls_failures"], {"http-request": 1, "the-peer-closed-the-connection": 1, "timeout": 2,
                                          "unsupported-protocol": 1}, "reasons counted")
        c.close()


@test
def reloads_under_load_fail_nobody():
    """tests/fault/tls_reloads.py does it a hundred times."""
    with server(count=False) as s:
        n = tls.reloads_under_load(s, 5, ALICE, TEXT)
        check(n > 0, "nothing was delivered")
        equal((len(s.messages(ALICE)), s.counter("reloads"), s.counter("tls_failed")), (n, 5, 0), "messages, reloads, failures")


@test
def handshakes_an_address_begins_in_a_minute():
    imp = free_port()
    with server(listeners='listener "smtps" { address = {"127.0.0.1:%d"} tls = "implicit" }' % imp,
                limits="connections_per_ip = 0 handshakes_per_ip = 6", workers=3) as s:
        if time.monotonic() % 60 > 50:      # the minute is the clock's
            time.sleep(61 - time.monotonic() % 60)
        for _ in range(3):
            starttls(s).close()
            implicit(s, imp).close()
        c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
        c.hello()
        c.cmd("STARTTLS").is_(454, "4.7.0")
        check(c.message(ALICE, TEXT).queued, "not taken in clear")
        c.quit()
        d = connect(("127.0.0.1", imp))
        try:
            equal(d.recv(100), b"", "heard at the implicit port")
        except ConnectionResetError:
            pass
        d.close()
        e = tls.TlsClient(("127.0.0.1", s.port), s.seen, source="127.0.0.2")
        e.hello()
        e.starttls().close()
        equal((s.counter("tls_refused"), s.counter("tls_1_3"), s.counter("tls_failed")), (2, 7, 0), "counters")
        wait_for(lambda: "end=too-many-handshakes" in s.log() and "reason=too-many-handshakes" in s.log(), why="not logged")


def ticket(ctx, s, port):
    """A session that can be resumed: a ticket of TLS 1.3 comes behind the handshake."""
    c = implicit(s, port, ctx)
    c.cmd("NOOP").is_(250)
    session = c.sock.session
    c.quit()
    return session


@test
def tickets_are_good_at_every_worker_and_after_a_reload():
    with server("implicit", workers=3, log='level = "debug"') as s:
        resumed = []

        def slots():
            """How many each worker has resumed, by the log."""
            return collections.Counter(re.findall(r"slot=(\d+) event=tls .*resumed=yes", s.log()))
        for version in V12, V13:
            ctx = context(None, version)
            session = ticket(ctx, s, s.port)
            check(session.has_ticket, "no ticket")

            def resume():
                """Until two workers that begin sessions now have taken it, and at least 24 times."""
                before = slots()
                for n in range(40):
                    # So many at once that one worker alone would have more than its share: ACCEPT_SLACK of accept.h.
                    some = [implicit(s, s.port, ctx, session=session) for _ in range(MANY)]
                    for c in some:
                        check(c.sock.session_reused, "%s: not resumed" % version)
                        c.quit()
                    resumed.extend(some)
                    if n >= 3 and sum((slots() - before).values()) == MANY * (n + 1) and len(slots() - before) >= 2:
                        return
                raise AssertionError("%s: all were at the workers %s" % (version, slots() - before))
            resume()
            s.reload()
            resume()
        wait_for(lambda: s.counter("tls_resumed") == len(resumed), why="counter")
        check(len(slots()) >= 4, "all were at the workers %s" % slots())


@test
def tickets_are_no_good_at_another_listener():
    two = free_port()
    with server("implicit", listeners='listener "two" { address = {"127.0.0.1:%d"} tls = "implicit" }' % two) as s:
        for version in V12, V13:
            ctx = context(None, version)
            here, there = ticket(ctx, s, s.port), ticket(ctx, s, two)
            for session, good, bad in (here, s.port, two), (there, two, s.port):
                for port in bad, good:
                    c = implicit(s, port, ctx, session=session)
                    equal(c.sock.session_reused, port == good, "resumed at %s" % ("its own" if port == good else "the other"))
                    c.quit()


@test
def a_reload_takes_a_new_certificate_and_drops_nobody():
    new = certificate("new.example")
    with server() as s:
        old = starttls(s, ctx=context(ec()))
        old.hello()
        old.envelope(ALICE)
        shaking = tls.TlsClient(("127.0.0.1", s.port), s.seen)
        s.clients.append(shaking)
        shaking.hello()
        s.write_config(s.config().replace(ec()[0], new[0]).replace(ec()[1], new[1]))
        s.reload()
        c = starttls(s, ctx=context(new))
        equal(c.subject, "new.example", "certificate after the reload")
        c.quit()
        # Those of before go on, and can still begin TLS: their key process is there as long as they are.
        check(old.data(TEXT).queued, "not taken after the reload")
        old.quit()
        shaking.starttls(context(ec()))
        shaking.quit()
        wait_for(lambda: len(s.key_processes()) == 1, why="the old key process stays")

        # A key of another certificate: refused, and all goes on.
        s.write_config(s.config().replace(ec()[0], new[0]))
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.counter("reloads_failed") == 1, why="not refused")
        s.says("does not belong to the certificate")
        c = starttls(s, ctx=context(new))
        c.quit()


@test
def a_drain_leaves_handshakes_alone():
    """Who has heard 220 to STARTTLS is told nothing in clear any more; inside TLS it hears 421."""
    with server() as s:
        idle, shaking = s.client(), tls.TlsClient(("127.0.0.1", s.port), s.seen)
        for c in idle, shaking:
            c.hello()
        shaking.cmd("STARTTLS").is_(220)
        s.signal(signal.SIGTERM)
        idle.reply().is_(421, "4.3.2")
        shaking.sock.settimeout(0.3)
        try:
            raise AssertionError("in clear: %r" % shaking.sock.recv(100))
        except TimeoutError:
            pass
        shaking.sock.settimeout(10)
        shaking.wrap(context())
        shaking.reply().is_(421, "4.3.2")
        shaking.close()


@test
def ciphers_that_authenticate_with_keys_that_pass():
    """ECDHE with AEAD alone, in TLS 1.2 as well: no CBC, no key exchange by RSA, no finite field."""
    imp = free_port()
    rsa = certificate("rsa.example", "rsa")
    with server(sections=section(rsa), listeners='listener "imp" { address = {"127.0.0.1:%d"} tls = "implicit" }' % imp) as s:
        def offer(cipher, *more):
            r = openssl("s_client", "-connect", "127.0.0.1:%d" % imp, "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0", *more,
                        ok=False, input=b"")
            return r.returncode == 0
        good = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305")
        for cipher in good:
            check(offer(cipher), "%s is not spoken" % cipher)
        bad = ("ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA", "AES256-GCM-SHA384", "AES128-SHA", "DHE-RSA-AES256-GCM-SHA384")
        for cipher in bad:
            check(not offer(cipher), "%s is spoken" % cipher)
        wait_for(lambda: s.counter("tls_failed") == len(bad), why="counted")
        s.count = False         # openssl(1) reads the greeting


@test
def what_the_check_says():
    with server() as s:
        rsa1024 = certificate("short.example", "rsa1024")
        soon = certificate("soon.example", days=3)
        over = certificate("over.example", days=-1)
        text = s.path("text")
        with open(text, "w") as f:
            f.write("nothing\n")
        locked = s.path("locked.key")
        openssl("ec", "-in", ec()[1], "-aes128", "-passout", "pass:x", "-out", locked)
        cases = [(ec(), "", 0, None), ((ec()[0], rsa1024[1]), "", 78, "does not belong to the certificate"),
                 ((ec()[1], ec()[1]), "", 78, "no certificate in PEM form"),
                 ((ec()[0], ec()[0]), "", 78, "no private key without a passphrase"),
                 ((ec()[0], locked), "", 78, "no private key without a passphrase"),
                 ((s.path("none"), ec()[1]), "", 78, "No such file"), ((ec()[0], s.path("none")), "", 78, "No such file"),
                 ((s.root, ec()[1]), "", 78, "Is a directory"), (rsa1024, "", 78, "of a kind that is not served"),
                 (soon, "", 0, "expires in "), (over, "", 0, "has expired"),
                 (ec(), 'ocsp = "%s"' % text, 78, "not one in DER form")]
        for pair, more, status, word in cases:
            conf = s.path("other.conf")
            with open(conf, "w") as f:
                f.write(s.config().replace(section(ec()), section(pair, "", more)))
            r = subprocess.run([os.path.join(BIN, "letterplate"), "-t", "-c", conf], capture_output=True, text=True)
            equal(r.returncode, status, "status of -t: %s" % r.stderr)
            if word:
                check(word in r.stderr and "other.conf:" in r.stderr, "%r not in %s" % (word, r.stderr))
                equal(": warning: " in r.stderr, status == 0, "a warning: " + r.stderr)
            else:
                equal(r.stderr, "", "complaints")
        for title, told in ("other.example", True), ("here.example", False), ("a.wild.example", False):
            with open(conf, "w") as f:
                f.write(s.config() + section(certificate("here.example", names=["here.example", "*.wild.example"]), title))
            r = subprocess.run([os.path.join(BIN, "letterplate"), "-t", "-c", conf], capture_output=True, text=True)
            equal((r.returncode, ': warning: tls "other.example": ' in r.stderr and "is not for that name" in r.stderr), (0, told), r.stderr)
        days = s.stats()["gauges"]["certificate_days"]
        check(days in (89, 90), "days to expiry: %s" % days)


def secrets(key):
    """The numbers of a private key that nobody else may have, as octets in both orders (libcrypto keeps them in limbs)."""
    text = openssl("pkey", "-in", key, "-noout", "-text").stdout.decode()
    found = []
    for name in "priv", "privateExponent", "prime1", "prime2":
        m = re.search(name + r":\s*\n((?:\s+[0-9a-f:]+\n)+)", text)
        if m:
            octets = bytes.fromhex(re.sub(r"[\s:]", "", m.group(1))).lstrip(b"\0")
            found += [octets, octets[::-1]]
    return found


def holds(pid, needles):
    """Whether the memory of a process has any of them."""
    with open("/proc/%d/maps" % pid) as f:
        maps = [x.split() for x in f]
    with open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for m in maps:
            if "r" not in m[1] or (len(m) > 5 and m[5] in ("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            begin, end = (int(x, 16) for x in m[0].split("-"))
            try:
                mem.seek(begin)
                data = mem.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
            if any(n in data for n in needles):
                return True
    return False


@test
def the_private_key_is_in_the_key_process_alone():
    need_root()
    if sanitized():
        raise Skip("a sanitizer's shadow is too large to search")
    rsa = certificate("other.example", "rsa", ["other.example", "b.other.example"])
    with server(sections=section(ec()) + "\n" + section(rsa)) as s:
        for sni in None, "other.example":
            for version in V12, V13:
                for _ in range(5):
                    starttls(s, ctx=context(None, version), sni=sni).quit()
        s.reload()
        starttls(s).quit()
        for pair in ec(), rsa:
            needles = secrets(pair[1])
            with open(pair[1], "rb") as f:
                needles.append(f.read().splitlines()[1])        # as in the file
            check(len(needles) >= 3, "no numbers in the key")
            for pid in s.workers() + [s.pid]:
                check(not holds(pid, needles), "process %d has the key" % pid)
            check(all(holds(pid, needles) for pid in s.key_processes()), "the key process does not have the key (a test that can't fail)")
        for pid in s.workers():
            open_files = descriptors(pid)
            check(not any("memfd" in x for x in open_files), open_files)


@test
def the_key_process_has_nothing_else():
    need_root()
    with server() as s:
        pid, = s.key_processes()
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                status = dict(x.rstrip("\n").split(":\t", 1) for x in f if ":\t" in x)
            check(status["Uid"].split() == [status["Uid"].split()[0]] * 4 and status["Uid"].split()[0] != "0", status["Uid"])
            equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), "seccomp and no_new_privs")
            for caps in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
                equal(int(status[caps], 16), 0, caps)
        fds = sorted(descriptors(pid))
        # Standard error, the master's pair, a pair to each of two workers.
        equal([x.split(":")[0] for x in fds], ["/dev/null", "/dev/null", s.log_path, "socket", "socket", "socket"], "descriptors")


@test
def a_key_process_that_is_killed_is_replaced():
    with server(workers=2) as s:
        stop, bad, done = threading.Event(), [], [0]

        def shake():
            ctx = context(None, V13, tickets=False)
            while not stop.is_set():
                try:
                    c = tls.TlsClient(("127.0.0.1", s.port), s.seen)
                    c.hello()
                    c.starttls(ctx)
                    c.quit()
                    done[0] += 1
                except (OSError, Closed, AssertionError) as why:
                    bad.append(repr(why))
        threads = [threading.Thread(target=shake) for _ in range(3)]
        for t in threads:
            t.start()
        for n in range(5):
            pid, = s.key_processes()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: [p for p in s.key_processes() if p != pid] and
                     s.log().count("event=keys-ready") == n + 2, why="not replaced")
            before = done[0]
            wait_for(lambda: done[0] > before + 5, why=lambda: "no handshakes any more: %s" % bad[-3:])
        stop.set()
        for t in threads:
            t.join()
        equal(s.counter("keys_died"), 5, "counter")
        # What was asked before is asked again: nobody notices.
        equal(bad, [], "failed handshakes")


@test
def ocsp_is_stapled():
    with server() as s:
        base = tls.folder()
        ca, leaf = certificate("ca.example"), certificate("mx.test.example", "ec", ["mx.test.example", "*.wild.example"])
        index, answer = os.path.join(base, "index.txt"), os.path.join(base, "mx.ocsp")
        serial = openssl("x509", "-in", leaf[0], "-noout", "-serial").stdout.decode().strip().split("=")[1]
        with open(index, "w") as f:
            f.write("V\t491231235959Z\t\t%s\tunknown\t/CN=mx.test.example\n" % serial)
        openssl("ocsp", "-index", index, "-CA", ca[0], "-rsigner", ca[0], "-rkey", ca[1], "-issuer", ca[0],
                "-cert", leaf[0], "-respout", answer, "-ndays", "1", "-noverify")
        s.write_config(s.config().replace(section(ec()), section(ec(), "", 'ocsp = "%s"' % answer)))
        s.reload()
        for version in "-tls1_2", "-tls1_3":
            args = ["s_client", "-connect", "127.0.0.1:%d" % s.port, "-starttls", "smtp", version]
            with_it = openssl(*args, "-status", input=b"QUIT\n").stdout
            check(b"OCSP Response Status: successful" in with_it, with_it[:600])
        s.count = False


@test
def real_clients():
    with server("required", count=False) as s:
        from shutil import which
        ran = 0
        if which("swaks"):
            r = subprocess.run(["swaks", "--server", "127.0.0.1:%d" % s.port, "--tls", "--to", ALICE, "--from",
                                "a@client.example", "--helo", "client.example"], capture_output=True, timeout=60)
            equal(r.returncode, 0, "swaks: %r" % r.stdout[-600:])
            ran += 1
        if which("curl"):
            mail = s.path("mail.txt")
            with open(mail, "wb") as f:
                f.write(TEXT)
            r = subprocess.run(["curl", "-s", "-k", "--ssl-reqd", "smtp://127.0.0.1:%d/client.example" % s.port, "--mail-from",
                                "a@client.example", "--mail-rcpt", ALICE, "-T", mail], capture_output=True, timeout=60)
            equal(r.returncode, 0, "curl: %r" % r.stderr[-600:])
            ran += 1
        c = SMTP(s.seen, "127.0.0.1", s.port, "client.example")
        c.starttls(context=context(ec()))
        c.sendmail("a@client.example", [ALICE], TEXT)
        c.quit()
        equal(len(s.messages(ALICE)), ran + 1, "messages")
        if ran < 2:
            raise Skip("swaks or curl is not installed; the others did well")


@test
def large_messages_both_ways_of_waiting():
    # Pipelined and large: records are cut anywhere, and the client reads late.
    body = b"".join(b"%05d %s\r\n" % (i, b"x" * 200) for i in range(3000))
    with server(message_size_limit="4MiB") as s:
        for version in V12, V13:
            c = starttls(s, ctx=context(ec(), version))
            c.hello()
            c.send(b"NOOP\r\n" * 3000)
            time.sleep(0.2)
            for _ in range(3000):
                c.reply().is_(250)
            check(c.message(ALICE, TEXT[:-6] + body).queued, "not taken")
            c.quit()
        check(all(m.content.endswith(body.replace(b"\r\n", b"\n")) for m in s.messages(ALICE)), "content")


@test
def status_says_how_long_each_certificate_is_good():
    soon, late, over = certificate("weeks.example", days=20), certificate("late.example", days=300), certificate("over.example", days=-1)
    with Server(listener=None, start=False) as s:
        s.listener = 'listener "mx" { address = {"127.0.0.1:%d"} tls = "starttls" }' % s.port
        s.settings["extra"] = "\n".join([section(late), section(soon, "weeks.example"), section(over, "over.example")])
        s.write_config()
        s.start()
        r = s.ctl("status")
        equal(r.returncode, 0, r.stderr)
        lines = [line for line in r.stdout.split("\n") if ".pem" in line]
        check(re.search(r"^certificate  ?\S.*%s, expires \d{4}-.*\((299|300) days\)$" % re.escape(late[0]), lines[0]), r.stdout)
        check(re.search(r"^ +weeks\.example, %s, expires \d{4}-.*\((19|20) days\)$" % re.escape(soon[0]), lines[1]), r.stdout)
        check(re.search(r"^ +over\.example, %s, EXPIRED 2021-01-01.*\(0 days\)$" % re.escape(over[0]), lines[2]), r.stdout)
        said = json.loads(s.ctl("status", "--json").stdout)["certificates"]
        equal([c["days"] in d for c, d in zip(said, ((299, 300), (19, 20), (0,)))], [True] * 3, "days: %s" % said)
        # What is served, not what stands in the file: that is taken by a reload.
        shutil.copy(late[0], soon[0])
        equal(json.loads(s.ctl("status", "--json").stdout)["certificates"][1]["days"] in (19, 20), True, "before a reload")
        shutil.copy(late[1], soon[1])
        equal(s.ctl("reload").returncode, 0, "reload")
        equal(json.loads(s.ctl("status", "--json").stdout)["certificates"][1]["days"] in (299, 300), True, "after it")


main()
