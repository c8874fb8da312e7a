"""cells_journal: up to which size a message gains from the journal: each size the direct way and through it.

The direct way is the product with `journal = 0`: beyond STORE_CHUNK a message is
written to its file while it comes.  The other is built with a STORE_CHUNK that
holds the largest, so that all go through the journal, which is as large as by
default.  Below the size where the direct way wins, the journal is right.
"""
import os
import subprocess

import harness
import peers
from cells_mail import empty_large, load
from figures import head, number, row

SIZES = 4, 16, 32, 48, 64, 96, 128, 256, 512, 1024      # KiB
CHUNK = (1024 + 64) << 10
CONNECTIONS = 64
PROGRAMS = "letterplate", "letterplate-worker", "letterplate-keys"
WHERE = "build/limit"


class Direct(peers.Letterplate):
    name, store = "direct", "journal = 0"


class Journal(peers.Letterplate):
    name = "journal"

    def prepare(self):
        super().prepare()
        self.s.bin = os.path.join(harness.TOP, WHERE, "bin")


def build():
    subprocess.run(["make", "-s", "-j2", "OBJ=%s/obj" % WHERE, "BIN=%s/bin" % WHERE, "CPPFLAGS=-DSTORE_CHUNK_OCTETS=%d" % CHUNK,
                    *("%s/bin/%s" % (WHERE, p) for p in PROGRAMS)], cwd=harness.TOP, check=True, stdout=subprocess.DEVNULL)


def cell(kib):
    return "journal, %d KiB" % kib


def measure(run):
    build()
    servers = run.start([Direct, Journal])
    try:
        for s in servers:
            load(s, "-n", "1000", "-c", "16", "-s", "100")
        for kib in SIZES:
            for i in range(run.rounds):
                for s in servers[::-1] if i % 2 else servers:
                    os.sync()
                    cpu = s.cpu.seconds()
                    # A little less than a power of two: what is stored has a header in front.
                    v, why = load(s, "-c", str(CONNECTIONS), "-s", str((kib << 10) - 512), "-t", "1", "-n", str(min(8000, (512 << 10) // kib)))
                    if v is None:
                        run.figures.fail(cell(kib), s.name, why)
                    else:
                        run.figures.add(cell(kib), s.name, rate=v["messages_per_second"], p99=v["p99_ms"], cpu=(s.cpu.seconds() - cpu) * 1000 / v["messages"])
                    empty_large(s, 200 << 10)
    finally:
        run.stop(servers)
    f = run.figures
    run.say("\n## The journal or the direct way, by size\n\n%d connections that stay open.\n" % CONNECTIONS)
    run.say(head("KiB", "direct, a second", "p99 ms", "CPU s / 1,000", "journal, a second", "p99 ms", "CPU s / 1,000", "journal to direct"))
    for kib in SIZES:
        r = f.ratio(cell(kib), "journal", "direct", "rate")
        run.say(row(kib, *(f.why(cell(kib), s) and "failed: " + f.why(cell(kib), s) or number(f.median(cell(kib), s, m), d)
                           for s in ("direct", "journal") for m, d in (("rate", 0), ("p99", 1), ("cpu", 2))), number(r, 2)))
    gains = [str(kib) for kib in SIZES if (f.ratio(cell(kib), "journal", "direct", "rate") or 0) >= 1]
    run.say("\nThe journal is ahead at these sizes, in KiB: %s.  JOURNAL_CONTENT_MAX is where it ends." % (" ".join(gains) or "none"))
