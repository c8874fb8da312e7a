#!/usr/bin/env -S python3 -B
"""auth.py: what guessing costs, and what it tells; figures, no judgement.

    tests/load/auth.py [noop SECONDS] [timing PAIRS] [guesses N]      (default: noop 10 timing 5000 guesses 10000)

noop:   NOOP of one client of a worker, alone and while 64 others guess passwords (TRUST A4).
timing: wrong passwords of a name that exists and of one that does not, by turns, and the first step of SCRAM the same
        way; Welch's t of both samples (TRUST A5: below 4.5).  scrypt is as cheap as the file allows, so that
        what is around it shows.
guesses: N guesses from one address, then N from 256, at 20 names and 20 that are nobody's, with the limits that are the default: how many were
        looked at, and whether the names' owners are let in afterwards (TRUST A4).
"""
import base64
import hashlib
import math
import multiprocessing
import os
import secrets
import smtplib
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.join(HERE, "..", "lib")
import harness
from server import Server, free_port
from tls import certificate, context, section


def row(name, password, log_n):
    salt, scram = secrets.token_bytes(16), secrets.token_bytes(16)
    key = hashlib.scrypt(password, salt=salt, n=1 << log_n, r=8, p=1, dklen=32, maxmem=1 << 28)
    return "%s scrypt %d 8 1 %s %s scram-sha-256 4096 %s %s %s" % (
        name, log_n, salt.hex(), key.hex(), scram.hex(), secrets.token_hex(32), secrets.token_hex(32))


NO_LIMITS = "auth_failures_per_ip = 0 auth_failures_per_user = 0"


def serve(log_n, workers=1, limits=NO_LIMITS):
    cert = certificate("mx.test.example", "ec", ["mx.test.example"])
    path = os.path.join(harness.scratch("auth."), "credentials")
    rows = sorted(row("user%02d" % i, b"right", log_n) for i in range(20))
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write("letterplate-credentials 1 %s\n%s\nend %d\n" % (secrets.token_hex(32), "\n".join(rows), len(rows)))
    port, clear = free_port(), free_port()
    s = Server(listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" auth = "optional" }\n'
               'listener "clear" { address = {"127.0.0.1:%d"} tls = "starttls" auth = "optional" }' % (port, clear),
               extra='%s\ncredentials = "%s"' % (section(cert), path), count=False, workers=workers,
               limits="connections_per_ip = 0 errors = 0 " + limits)
    s.port, s.clear, s.ctx = port, clear, context(cert)
    return s


def connect(s, at="127.0.0.1"):
    c = smtplib.SMTP_SSL("127.0.0.1", s.port, context=s.ctx, timeout=60, source_address=(at, 0))
    c.ehlo("client.example")
    return c


def plain(user, password="wrong"):
    return "PLAIN " + base64.b64encode(("\0%s\0%s" % (user, password)).encode()).decode()


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def noops(s, seconds):
    c, took, end = connect(s), [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        c.noop()
        took.append(1000 * (time.monotonic() - began))
        time.sleep(0.005)
    c.close()
    return took


def guess(s, stop, count):
    while not stop.is_set():
        try:
            c = connect(s)
            for _ in range(3):
                if c.docmd("AUTH", plain("user%02d" % (time.time_ns() % 40)))[0] in (535, 454):
                    with count.get_lock():
                        count.value += 1
            c.close()
        except (OSError, smtplib.SMTPException):
            pass


def noop(seconds):
    """Each who guesses is a process: what is measured is the server, not this program's own lock."""
    with serve(15) as s:
        for n in 0, 64:
            stop, count = multiprocessing.Event(), multiprocessing.Value("L", 0)
            others = [multiprocessing.Process(target=guess, args=(s, stop, count), daemon=True) for _ in range(n)]
            for p in others:
                p.start()
            time.sleep(8 if n else 0)       # until all have begun
            before, began = count.value, time.monotonic()
            took = noops(s, seconds)
            rate = (count.value - before) / (time.monotonic() - began)
            stop.set()
            print("noop  %2d guess: %5.1f guesses/s, %5d NOOPs: median %.2f ms, p99 %.2f ms, max %.2f ms" % (
                n, rate, len(took), statistics.median(took), percentile(took, 99), max(took)), flush=True)
            for p in others:
                p.join()


def session_of_guesses(s, at, users):
    """The codes of guesses; and of one more, if three were looked at."""
    c, codes = connect(s, at), []
    for user in users:
        codes.append(c.docmd("AUTH", plain(user))[0])
    more = [c.docmd("AUTH", plain(users[0]))[0]] if codes == [535] * 3 else []
    c.close()
    return codes, more


def right(s, at, user):
    c = connect(s, at)
    code = c.docmd("AUTH", plain(user, "right"))[0]
    c.close()
    return code == 235


def guesses(n):
    for addresses in 1, 256:
        with serve(10, workers=2, limits="") as s:
            def home(i):
                return "127.1.1.%d" % (i + 1)
            def elsewhere(i):
                return "127.1.2.%d" % (i + 1)
            def let_in(at):
                return sum(right(s, at(i), "user%02d" % i) for i in range(20))
            owners = let_in(home)
            codes, fourth, names, began = {}, {}, ["user%02d" % i for i in range(40)], time.monotonic()
            for k in range(0, n, 3):
                got, more = session_of_guesses(s, "127.0.%d.1" % (k // 3 % addresses), [names[(k + j) % 40] for j in range(min(3, n - k))])
                for code in got:
                    codes[code] = codes.get(code, 0) + 1
                for code in more:
                    fourth[code] = fourth.get(code, 0) + 1
            took = time.monotonic() - began
            print("guesses %d from %3d addresses at 40 names in %.0f s: looked at %d (an address may have 20 an hour, a name 100), put off %d; a fourth in a session: %s"
                  % (n, addresses, took, codes.get(535, 0), codes.get(454, 0), fourth), flush=True)
            print("        owners let in: before %d, afterwards at home %d, from elsewhere %d of 20" % (
                owners, let_in(home), let_in(elsewhere)), flush=True)
            clear = smtplib.SMTP("127.0.0.1", s.clear, timeout=60)
            clear.ehlo("client.example")
            print("        in clear: AUTH offered %s, a guess is %d" % (clear.has_extn("auth"), clear.docmd("AUTH", plain("user00"))[0]), flush=True)
            clear.close()


def welch(a, b):
    return (statistics.mean(a) - statistics.mean(b)) / math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))


def cut(values):
    """Without the slowest tenth: what others do on the machine."""
    return sorted(values)[:len(values) * 9 // 10]


def timing(pairs):
    def one(c, command, code):
        began = time.perf_counter()
        got = c.docmd("AUTH", command)[0]
        took = 1e6 * (time.perf_counter() - began)
        if got != code:
            raise SystemExit("%s: %d" % (command, got))
        if code == 334:
            c.docmd("*")
        return took

    def scram(user):
        return "SCRAM-SHA-256 " + base64.b64encode(b"n,,n=%s,r=%s" % (user.encode(), secrets.token_hex(8).encode())).decode()

    with serve(10) as s:
        for what, command, code in ("PLAIN", plain, 535), ("SCRAM", scram, 334):
            took = {"user10": [], "nobody": []}
            for i in range(pairs):
                c = connect(s)
                order = list(took) if i % 2 else list(took)[::-1]
                for user in order:
                    took[user].append(one(c, command(user), code))
                c.close()
            a, b = took.values()
            print("timing %s, %d of each: known %.0f us, unknown %.0f us; medians %.0f, %.0f; t = %.2f, without the slowest tenth %.2f"
                  % (what, pairs, statistics.mean(a), statistics.mean(b), statistics.median(a), statistics.median(b),
                     welch(a, b), welch(cut(a), cut(b))), flush=True)


def main():
    args = sys.argv[1:] or ["noop", "10", "timing", "5000", "guesses", "10000"]
    print("load average before: %.1f %.1f %.1f; processors: %d" % (*os.getloadavg(), os.cpu_count()))
    for what, n in zip(args[::2], args[1::2]):
        {"noop": noop, "timing": timing, "guesses": guesses}[what](int(n))


main()
