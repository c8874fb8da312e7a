#!/usr/bin/env -S python3 -B
# check: no timeout=7200
"""memcheck.py: the unit suites, of which one plays all dialogues, under valgrind: no error, and nothing lost for good.
`make check-valgrind` builds them for it: not sanitized, and what the compiler would set to zero left as it was.  Arguments are
suites; without any, all are run.

Left out are those that try all strings there are, or millions of addresses: that takes memcheck hours and tells it nothing
new after the first.
"""
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP

OBJ = os.path.join(TOP, "build/obj/gcc-valgrind/tests/unit")
EXHAUSTIVE = ("data", "fold", "prefix")
# Tests that meet memcheck itself.
EXCUSED = {
    "the_thread_takes_no_signal": "memcheck keeps the last signal for itself",
    "found_without_making": "valgrind 3.19 knows no openat2, and the folder is made by other calls then",
}
# A test may provoke a signal, which memcheck tells of and does not count.
MEMCHECK = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]


def run(path):
    """What memcheck or the suite has against it; empty: nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        env = dict(os.environ, TMPDIR=scratch, CK_TIMEOUT_MULTIPLIER="30")
        done = subprocess.run(MEMCHECK + [path], cwd=TOP, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    failed = [line for line in said.splitlines() if line.startswith("not ok")]
    bad = [line for line in failed if not any(":%s:" % name in line for name in EXCUSED)]
    if not bad and done.returncode in ((0,) if not failed else (0, 1)):
        return ""
    for line in said.splitlines():
        if line.startswith("==") or line.startswith("not ok"):
            print("# " + line)
    return "status %d; %s" % (done.returncode, "; ".join(bad)[:300])


def main():
    suites = [p for p in sorted(glob.glob(OBJ + "/*")) if os.access(p, os.X_OK) and "." not in os.path.basename(p)]
    if not suites or not shutil.which("valgrind"):
        print("not ok memcheck: %s" % ("there is no valgrind" if suites else "nothing is built: make check-valgrind"))
        return 1
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        names = sys.argv[1:] or [os.path.basename(p) for p in suites if os.path.basename(p) not in EXHAUSTIVE]
        chosen = [p for p in suites if os.path.basename(p) in names]
        for path, why in zip(chosen, pool.map(run, chosen)):
            print("%s memcheck: %s%s" % ("not ok" if why else "ok", os.path.basename(path), ": " + why if why else ""), flush=True)
            failed += bool(why)
    return 1 if failed else 0


sys.exit(main())
