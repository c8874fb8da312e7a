"""cells_idle: what an idle session costs in the server's own memory: Pss of all its processes, before and with the
sessions, each after its EHLO.  Kernel memory (socket buffers) is not in it."""
import contextlib
import os
import resource
import subprocess
import time

import peers
import tls
from figures import head, number, row

FIRST = 50              # what any first session costs once
LIMIT_MOST = 100000     # where the limit of descriptors is no limit
HOLDERS = 2             # processes that open sessions: one would be slow in TLS, and has only so many descriptors


def pss(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open("/proc/%d/smaps_rollup" % pid) as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) * 1024
    return total


class Held:
    """N sessions, or as many as there can be."""

    def __init__(self, port, n, version=None, holders=HOLDERS):
        self.children = [subprocess.Popen([os.path.join(os.path.dirname(__file__), "hold.py"), str(port), str(n // holders)] + [version] * bool(version),
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(holders)]
        self.n = sum(int(c.stdout.readline() or 0) for c in self.children)

    def close(self):
        for c in self.children:
            c.stdin.close()
        for c in self.children:
            c.wait()
            c.stdout.close()


def name(n, version):
    where = "TLS " + version if version else "in clear"
    return "as many idle sessions as are let in, %s" % where if n is None else "%s idle sessions, %s" % (format(n, ","), where)


def one(run, kind, n, version, pair):
    cell = name(n, version)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    s, = run.start([kind], pair=pair)
    holds = []
    try:
        holds.append(Held(s.port, FIRST, version))
        time.sleep(0.5)
        before = pss(s.pids())
        # A worker whose descriptors are used up sends the next client away: that ends it.
        holds.append(Held(s.port, n or min(HOLDERS * hard, LIMIT_MOST), version))
        time.sleep(1)
        held, octets = holds[-1].n, pss(s.pids()) - before
        if n is not None and held < n or held == 0:
            run.figures.fail(cell, kind.name, "only %d were let in" % held)
        else:
            run.figures.add(cell, kind.name, octets=octets / held, held=held)
    finally:
        for h in holds:
            h.close()
        run.stop([s])


def wanted(run):
    """(sessions, version of TLS, kind, rounds)"""
    letterplate = run.kinds([peers.Letterplate])
    for n in 1000, 10000:
        for k in run.kinds():
            if k.idle_most >= n and k not in letterplate and run.full:
                yield n, None, k, 1
    for k in letterplate:
        for n in 1000, 10000:
            yield n, None, k, run.rounds if run.full else 1
        if run.full:
            yield None, None, k, 1
            for version in "1.3", "1.2":
                for n in 1000, 10000:
                    yield n, version, k, run.fewer if n == 10000 and version == "1.3" else 1


def measure(run):
    pair, table = tls.certificate("mx.test.example", "ec"), []
    for n, version, k, rounds in wanted(run):
        for _ in range(rounds):
            one(run, k, n, version, pair if version else None)
        table.append((name(n, version), k))
    run.say("\n## Memory of idle sessions\n\n" + head("sessions", "server", "held", "octets each", "rounds"))
    for cell, k in table:
        why = run.figures.why(cell, k.name)
        run.say(row(cell, k.name, "failed: " + why if why else number(run.figures.median(cell, k.name, "held")),
                    number(run.figures.median(cell, k.name, "octets")), run.figures.rounds(cell, k.name)))
