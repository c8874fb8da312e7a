#!/usr/bin/env -S python3 -B
"""spread: how many of the sessions each worker has.  Prints figures; not a test.

    tests/load/spread.py [WORKERS [SESSIONS]...]       (4; 100 and 10,000)

Sessions that stay open, opened one after another, and up to 500 at a time.
"""
import json
import os
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import BIN
from hold import in_clear
from server import Server


def each(s):
    text = subprocess.run([os.path.join(BIN, "letterplate-stats"), "--json", "-s", s.path("state", "stats")],
                          capture_output=True, text=True, check=True).stdout
    return sorted(w["sessions"] for w in json.loads(text)["workers"])


def main():
    workers, sizes = int((sys.argv[1:] or ["4"])[0]), [int(a) for a in sys.argv[2:]] or [100, 10000]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for n in sizes:
        for way, step in (("one-by-one", 1), ("at-once", n)):
            with Server(workers=workers, limits="connections_per_ip = 0", timeouts='command = "10m" drain = "1s"') as s:
                s.count = False
                began, held = time.monotonic(), []
                while len(held) < n:
                    held += in_clear(s.port, step)
                took = time.monotonic() - began
                print("workers=%d sessions=%d way=%s each=%s seconds=%.2f" % (workers, n, way, ",".join(map(str, each(s))), took),
                      flush=True)
                for k in held:
                    k.close()


main()
