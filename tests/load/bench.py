#!/usr/bin/env -S python3 -B
"""bench: Letterplate between its ceiling and its peers, in one run.  Prints a table; not a test.

    make bench [ROUNDS=5] [CELLS=all] [SVG=docs/throughput.svg] [SERVERS=null,Letterplate]

Each cell is measured on every server in turn, ROUNDS times, and stands as the
median: what else the machine does hits all of them.  The client shares the
processors with the server.  Folders are fresh and go only at the end: after many
files were deleted, ext4 creates files slowly for a while.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
os.makedirs(os.path.join(TOP, "build/bench"), exist_ok=True)
ROOT = tempfile.mkdtemp(prefix="run.", dir=os.path.join(TOP, "build/bench"))
os.chmod(ROOT, 0o755)
os.environ["TMPDIR"] = tempfile.tempdir = ROOT
sys.path[:0] = [os.path.join(HERE, "..", "lib"), HERE]
import peers
import plot
import server

TICK = os.sysconf("SC_CLK_TCK")
SIZES = {"4 KiB": (4096, 2000), "10 KiB": (10240, 2000), "1 MiB": (1 << 20, 40)}
CONNECTIONS = 1, 16, 64, 256
rounds = int(os.environ.get("ROUNDS", 5))


class Cell:
    def __init__(self, size, connections, per_connection=0, pipelining=False, refused=False):
        self.octets, self.messages = SIZES[size]
        self.connections, self.refused = connections, refused
        if connections == 1:
            self.messages //= 4
        self.name = "%s, %d conn., %s%s" % ("10 refusals" if refused else size, connections, "one each" if per_connection else "many each",
                                            ", pipelined" if pipelining or refused else "")
        self.args = ["-s", str(self.octets), "-c", str(connections), "-m", str(per_connection)]
        self.args += ["-P"] * pipelining + ["-R"] * refused
        self.curve = size == "10 KiB" and not (per_connection or pipelining or refused)


def cells():
    if os.environ.get("CELLS") == "all":
        yield from (Cell(s, c, m, p) for s in SIZES for c in CONNECTIONS for m in (0, 1) for p in (False, True))
    else:
        yield from (Cell("10 KiB", c) for c in CONNECTIONS)
        yield from (Cell("10 KiB", 64, 0, True), Cell("10 KiB", 64, 1), Cell("4 KiB", 64), Cell("1 MiB", 16))
    yield Cell("4 KiB", 20, 1, refused=True)


def spent(pids):
    """Processor seconds, and context switches of what still lives."""
    ticks = switches = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                ticks += sum(int(x) for x in f.read().rpartition(")")[2].split()[11:15])
            for t in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/status" % (pid, t)) as f:
                    switches += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", f.read()))
        except OSError:
            pass
    return ticks / TICK, switches


def measure(s, cell):
    n = max(cell.messages // s.scale, min(cell.connections, 64))
    before = spent(s.pids())
    try:
        r = subprocess.run([peers.program("load"), "-p", str(s.port), "-n", str(n), *cell.args], capture_output=True, text=True, timeout=45)
    except subprocess.TimeoutExpired:
        print("%s: %s: not done in 45 s" % (s.name, cell.name), file=sys.stderr)
        return None
    if r.returncode != 0:
        print("%s: %s: %s" % (s.name, cell.name, r.stderr.strip()), file=sys.stderr)
        return None
    s.settle()
    after = spent(s.pids())
    v = dict(w.split("=") for w in r.stdout.split())
    return (float(v["messages_per_second"]) * (10 if cell.refused else 1), float(v["p50_ms"]), float(v["p99_ms"]),
            (after[0] - before[0]) * 1000 / n, (after[1] - before[1]) * 1000 / n)


def chosen():
    wanted = os.environ.get("SERVERS")
    for kind in peers.OURS + peers.PEERS:
        why = getattr(kind, "missing", lambda: None)()
        if wanted and kind.name not in wanted.split(","):
            continue
        if why:
            print("without %s: %s" % (kind.name, why))
            continue
        s = kind(ROOT, server.free_port())
        s.start()
        yield s


def table(cell, servers, got):
    ceiling = next((statistics.median(x[0] for x in got[s]) for s in servers if s.name == "null" and got[s]), None)
    print("\n%s\n\n| server | a second | of null | p50 ms | p99 ms | CPU s / 1,000 | switches / 1,000 |\n|---|---|---|---|---|---|---|" % cell.name)
    for s in servers:
        if not got[s]:
            print("| %s | failed | | | | | |" % s.name)
            continue
        a, p50, p99, cpu, switches = (statistics.median(x) for x in zip(*got[s]))
        part = "%.0f %%" % (100 * a / ceiling) if ceiling else ""
        print("| %s | %.0f | %s | %.1f | %.1f | %.2f | %.0f |" % (s.name, a, part, p50, p99, cpu, switches), flush=True)


def main():
    servers, curves = list(chosen()), {}
    try:
        print("medians of %d, interleaved; %d processors, load %.1f at the start\n" % (rounds, os.cpu_count(), os.getloadavg()[0]))
        print("start to first greeting: " + "; ".join("%s %.0f ms" % (s.name, s.first * 1000) for s in servers))
        for s in servers:       # folders are made at a mailbox's first message: not what is measured
            subprocess.run([peers.program("load"), "-p", str(s.port), "-n", "1000", "-c", "16", "-s", "100"], check=True, stdout=subprocess.DEVNULL)
        for cell in cells():
            got = {s: [] for s in servers}
            for _ in range(rounds):
                for s in servers:
                    got[s] += filter(None, [measure(s, cell)])
            table(cell, servers, got)
            if cell.curve:
                for s in filter(got.get, servers):
                    curves.setdefault(s.name, []).append((cell.connections, statistics.median(x[0] for x in got[s])))
            if os.environ.get("SVG"):
                plot.write(os.environ["SVG"], "10 KiB messages a second, by connections that stay open", curves)
        print("\nload %.1f at the end" % os.getloadavg()[0])
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(ROOT, ignore_errors=True)


main()
