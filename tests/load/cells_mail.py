"""cells_mail: messages and refusals a second, how long the answer to the end of data takes, and what it costs the server."""
import os
import subprocess

import peers
import plot
from figures import head, number, row

SIZES = {"4 KiB": 4096, "10 KiB": 10240, "1 MiB": 1 << 20}
CONNECTIONS = 1, 16, 64, 256
MOST = 8000             # messages a second of the time that a cell has; of 1 MiB:
MOST_LARGE = 300
REFUSED = 10            # recipients a transaction, LOAD_REFUSED of load.c
CURVE = "10 KiB"


class Cell:
    def __init__(self, size, connections, each=False, pipelining=False, refused=False, aim=False):
        self.size, self.octets, self.connections, self.each = size, SIZES[size], connections, each
        self.pipelining, self.refused, self.aim = pipelining, refused, aim
        self.name = "%s, %d conn., %s%s" % ("refusals" if refused else size, connections, "one each" if each else "many each",
                                            ", pipelined" if pipelining or refused else "")
        self.large = self.octets > 100000

    def args(self, seconds):
        return ["-s", str(self.octets), "-c", str(self.connections), "-m", str(int(self.each)), "-t", str(seconds),
                "-n", str((MOST_LARGE if self.large else MOST) * seconds)] + ["-P"] * self.pipelining + ["-R"] * self.refused


DURABLE = Cell("10 KiB", 64, aim=True)
EACH = Cell("10 KiB", 64, each=True, aim=True)
REFUSALS = Cell("4 KiB", 20, each=True, refused=True, aim=True)
LARGE = Cell("1 MiB", 16, aim=True)
AIMS = DURABLE, EACH, REFUSALS, LARGE


def cells(full):
    if full:
        grid = [Cell(s, c, e, p) for s in SIZES for c in CONNECTIONS for e in (False, True) for p in (False, True)]
    else:
        grid = [Cell("10 KiB", c) for c in CONNECTIONS] + [Cell("10 KiB", 64, pipelining=True)]
    by_name = {c.name: c for c in grid}
    by_name.update((c.name, c) for c in AIMS)
    return list(by_name.values())


def load(s, *args, timeout=100):
    """A run of the load generator: its figures, or why there are none."""
    try:
        r = subprocess.run([peers.program("load"), "-p", str(s.port), *args], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, "not done in %d s" % timeout
    v = dict(w.split("=") for w in r.stdout.split())
    if r.returncode != 0:
        said = r.stderr.strip().split("\n")[0]
        return None, "%s%s" % (v["failed"] + " failed, the first: " if v else "", said)
    return {k: float(x) for k, x in v.items() if k != "pipelining"}, None


def one(run, s, cell, seconds):
    os.sync()           # nobody pays for what the one before has left in memory
    cpu, turns = s.cpu.seconds(), peers.switches(s.pids())
    v, why = load(s, *cell.args(seconds))
    s.settle()
    if v is None or v["messages"] == 0:
        run.figures.fail(cell.name, s.name, why or "no message in %d s" % seconds)
        return
    n, after = v["messages"], peers.switches(s.pids())
    run.figures.add(cell.name, s.name, rate=v["messages_per_second"] * (REFUSED if cell.refused else 1), p50=v["p50_ms"], p99=v["p99_ms"],
                    cpu=(s.cpu.seconds() - cpu) * 1000 / n, ungreeted=v["ungreeted"])
    if turns.keys() <= after.keys():        # of who has ended they are not known
        run.figures.add(cell.name, s.name, switches=(sum(after.values()) - sum(turns.values())) * 1000 / n)


def empty_large(s, octets=SIZES["1 MiB"] * 9 // 10):
    """Messages of OCTETS go, or they fill the disk; but not their files: see bench.py about deleting."""
    for folder, _, files in os.walk(os.path.join(s.root, s.mail)):
        if ".journal" not in folder:
            for f in files:
                path = os.path.join(folder, f)
                if os.path.exists(path) and os.path.getsize(path) > octets:
                    os.truncate(path, 0)


def lines(run, cell, servers):
    first = cell.name
    for s in servers:
        f, why = run.figures, run.figures.why(cell.name, s.name)
        if why:
            yield row(first, s.name, "failed: " + why, "", "", "", "", "")
        else:
            def m(metric):
                return f.median(cell.name, s.name, metric)
            part = f.ratio(cell.name, s.name, "null", "rate")
            never = "; %d never greeted" % m("ungreeted") if m("ungreeted") else ""
            yield row(first, s.name, number(m("rate"), 1 if m("rate") < 100 else 0) + never, number(part and part * 100) + (" %" if part else ""),
                      number(m("p50"), 1), number(m("p99"), 1), number(m("cpu"), 2), number(m("switches")))
        first = ""


def curves(run, servers):
    found = {}
    for s in servers:
        points = [(c, run.figures.median(Cell(CURVE, c).name, s.name, "rate")) for c in CONNECTIONS]
        points = [p for p in points if p[1]]
        if points:
            found[s.name] = points
    plot.write(run.svg, CURVE + " messages a second, by connections that stay open", found)


def group(run, chosen):
    servers = run.start(run.kinds())
    try:
        for s in servers:       # folders are made at a mailbox's first message: not what is measured
            load(s, "-n", "1000", "-c", "16", "-s", "100", "-t", "12")
            s.settle()
        for cell in chosen:
            seconds = 2 if cell.aim and run.full else 1
            for i in range(run.rounds if cell.aim else run.fewer):
                for s in servers[i % len(servers):] + servers[:i % len(servers)]:
                    if i == 0 or cell.aim or not s.slow:
                        one(run, s, cell, seconds)
                        if cell.large:
                            empty_large(s)
            for line in lines(run, cell, servers):
                run.say(line)
        curves(run, servers)
    finally:
        run.stop(servers)


def measure(run):
    chosen = cells(run.full)
    run.say("\n## Messages\n")
    run.say("Connections of a cell send one message each, or many.  p50 and p99: of the answer to the end of data, in ms (for refusals: to ten\n"
            "recipients and what is around them, in one write; a second counts recipients).  CPU s and context switches: of the server, for\n"
            "1,000 messages (for refusals: 1,000 transactions), until its queue is empty.  Never greeted: connections that the server's backlog lost.\n"
            "Postfix, OpenSMTPD and Exim are measured in each round where an aim is concerned (10 KiB with 64 connections, refusals, 1 MiB with 16),\n"
            "once elsewhere.\n")
    run.say(head("cell", "server", "a second", "of null", "p50", "p99", "CPU s / 1,000", "switches / 1,000"))
    # Large ones in servers of their own: their folders are looked through, so they are small.
    for part in [c for c in chosen if not c.large], [c for c in chosen if c.large]:
        group(run, part)
