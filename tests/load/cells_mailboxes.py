"""cells_mailboxes: mailboxes loaded into a directory a second, and look-ups in it."""
import os
import re
import resource
import subprocess
import time

import harness
import peers
from figures import head, number, row

TOOL = os.path.join(harness.BIN, "letterplate-mailboxes")
LOOKUPS = 1000000
# In an order that is neither sorted nor backwards: i * P mod N, for a prime P.
LIST = """\
BEGIN {
	for (i = 0; i < n; i++) {
		u = (i * 7368787) % n
		printf "user%08d@d%03d.example.org%s\\n", u, u % 1000, more
	}
}
"""


def run_tool(*args):
    """Seconds, processor seconds, and MiB at the most (of the largest child so far)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([TOOL, *args], check=True, stdout=subprocess.DEVNULL)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss >> 10


def write_list(path, n, more=""):
    with open(path, "w") as f:
        subprocess.run(["awk", "-v", "n=%d" % n, "-v", "more=" + more, LIST], stdout=f, check=True)


def size(run, where, cell, n, rounds):
    path = os.path.join(where, "list")
    write_list(path, n)
    for i in range(rounds):
        took, cpu, most = run_tool("-d", where, "load", path)
        run.figures.add(cell, "Letterplate", load_s=took, cpu_s=cpu, loaded=n / took)
        if i == 0:
            run.figures.add(cell, "Letterplate", mib=most)
        r = subprocess.run([peers.program("lookups"), where, str(n), str(LOOKUPS)], capture_output=True, text=True, check=True)
        for what, rate, median, p99 in re.findall(r"^(\S.*?) +(\d+) a second, median +(\d+) ns, p99 +(\d+) ns", r.stdout, re.M):
            run.figures.add("%s: %s" % (cell, what), "Letterplate", rate=float(rate), median=float(median), p99=float(p99))
            if what == "resolve, a mailbox":
                run.figures.add(cell, "Letterplate", lookup_p99_us=float(p99) / 1000)


def measure(run):
    f, loads, whats = run.figures, [], []
    for cell, n, rounds in (("mailboxes 1M", 1000000, run.rounds), ("mailboxes 10M", 10000000, run.fewer)):
        where = run.place()
        size(run, where, cell, n, rounds)
        loads.append((cell, n, os.path.getsize(os.path.join(where, "mailboxes.mdb"))))
        whats += [k[0] for k in f.values if k[0].startswith(cell + ": ")]
        os.unlink(os.path.join(where, "list"))
    where = run.place()
    write_list(os.path.join(where, "list"), 1000000, " quota=1GiB")
    quotas = run_tool("-d", where, "load", os.path.join(where, "list"))[0]
    one_more = run_tool("-d", where, "add", "new@d000.example.org")[0]
    run.say("\n## Mailboxes\n\n" + head("mailboxes, not in order", "s", "a second", "CPU s", "MiB at the most", "octets of the snapshot"))
    for cell, n, octets in loads:
        run.say(row(format(n, ","), number(f.median(cell, "Letterplate", "load_s"), 2), number(f.median(cell, "Letterplate", "loaded")),
                    number(f.median(cell, "Letterplate", "cpu_s"), 2), number(f.median(cell, "Letterplate", "mib")), format(octets, ",")))
    run.say("\nA million with a quota each: %.2f s; one more added to them: %.2f s.\n" % (quotas, one_more))
    run.say(head("look-up", "a second", "median ns", "p99 ns"))
    for cell in whats:
        run.say(row(cell, *(number(f.median(cell, "Letterplate", m)) for m in ("rate", "median", "p99"))))
