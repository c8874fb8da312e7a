#!/usr/bin/env -S python3 -B
"""handshakes: what it costs in handshakes a second that the private key is in a process of its own.

    tests/load/handshakes.py [ROUNDS [SECONDS [THREADS]]]

Two servers at a time, one as it is, one built with the key inside the worker
(-DTLS_KEY_INSIDE); measured in turns, so that what else the machine does hits
both.  The client shares the processors, so beside the rate stands the
processor time that the server took a handshake.
"""
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import server as lib
from tls import certificate, section

TOP = harness.TOP
TICK = os.sysconf("SC_CLK_TCK")
rounds, seconds, threads = ([int(x) for x in sys.argv[1:]] + [5, 2, 8][len(sys.argv) - 1:])[:3]


def build_inside(key):
    """Build it, once, and put KEY where it looks for it."""
    where = os.path.join(TOP, "build/inside")
    os.makedirs(where, exist_ok=True)
    shutil.copyfile(key, os.path.join(where, "key.pem"))
    key = os.path.join(where, "key.pem")
    subprocess.run(["make", "-s", "-j2", "OBJ=build/inside/obj", "BIN=build/inside/bin", "CPPFLAGS=-DTLS_KEY_INSIDE='\"%s\"'" % key,
                    "build/inside/bin/letterplate", "build/inside/bin/letterplate-worker", "build/inside/bin/letterplate-keys"],
                   cwd=TOP, check=True, stdout=subprocess.DEVNULL)
    return os.path.join(where, "bin")


def cpu(s):
    """Seconds of processor time of the server, its workers and the key process."""
    total = 0
    for pid in s.processes():
        with open("/proc/%d/stat" % pid) as f:
            w = f.read().rpartition(")")[2].split()
        total += int(w[11]) + int(w[12])
    return total / TICK


def start(bin_dir, pair):
    lib.BIN = bin_dir
    port = lib.free_port()
    s = lib.Server(mailboxes=None, listener='listener "mx" { address = {"127.0.0.1:%d"} tls = "implicit" }' % port,
                   extra=section(pair), start=False, log='level = "error"', limits="connections_per_ip = 0")
    s.port = port
    s.start()
    return s


def main():
    client = os.path.join(TOP, "build/obj/gcc/tests/load/handshakes")
    print("%d rounds of %d s, %d client threads, %d workers, %d processors" % (rounds, seconds, threads, 2, os.cpu_count()))
    print("%-8s %-4s %22s %22s %8s %8s" % ("key", "TLS", "inside /s (ms CPU)", "outside /s (ms CPU)", "rate", "CPU"))
    for kind in "ec", "rsa":
        pair = certificate("bench-%s.example" % kind, kind)
        os.chmod(pair[1], 0o644)
        inside, outside = start(build_inside(pair[1]), pair), start(os.path.join(TOP, "build/bin"), pair)
        for version in "1.3", "1.2":
            rate, took = {0: [], 1: []}, {0: [], 1: []}
            for _ in range(rounds):
                for which, s in enumerate((inside, outside)):
                    before = cpu(s)
                    r = subprocess.run([client, "-p", str(s.port), "-t", str(seconds), "-c", str(threads), "-v", version],
                                       capture_output=True, text=True)
                    v = {k: float(x) for k, x in (w.split("=") for w in r.stdout.split())}
                    if v["failed"]:
                        sys.exit("%d handshakes failed" % v["failed"])
                    rate[which].append(v["per_second"])
                    took[which].append((cpu(s) - before) * 1000 / v["sessions"])
            a, b = statistics.median(rate[0]), statistics.median(rate[1])
            x, y = statistics.median(took[0]), statistics.median(took[1])
            print("%-8s %-4s %14.0f (%.3f) %14.0f (%.3f) %+7.1f%% %+7.1f%%" % (kind, version, a, x, b, y, (b / a - 1) * 100,
                                                                             (y / x - 1) * 100), flush=True)
        for s in inside, outside:
            s.kill()


try:
    main()
finally:
    for g in harness.on_end:
        g()
