#!/usr/bin/env -S python3 -B
"""bench: Letterplate between its ceiling and its peers, in one run.  Prints tables and writes them; not a test.

    make bench [ROUNDS=5] [CELLS=short|all|mail,tls,...] [SERVERS=null,Letterplate] [DISK=FOLDER] [TABLE=FILE] [SVG=FILE]

CELLS names what is measured: the sections below, or `all` of them.  Without it a
short choice of the first three.  DISK is a folder on the file system that is to
be measured, which the servers' users can reach; without it build/bench.  Each figure is measured on every server in turn,
ROUNDS times, and stands as the median: what else the machine does hits all of
them.  The client shares the processors with the server.  Folders are fresh and go
only at the end: after many files were deleted, ext4 creates files slowly.
"""
import importlib
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
os.makedirs(os.path.join(TOP, "build/bench"), exist_ok=True)
ROOT = tempfile.mkdtemp(prefix="run.", dir=os.environ.get("DISK") or os.path.join(TOP, "build/bench"))
os.chmod(ROOT, 0o755)
os.environ["TMPDIR"] = tempfile.tempdir = ROOT
sys.path[:0] = [os.path.join(HERE, "..", "lib"), HERE]
import aims
import figures
import harness
import mtas
import peers
import server

SECTIONS = ["start", "mail", "tls", "idle", "mailboxes", "growth", "noop", "soak", "journal"]
SHORT = ["start", "mail", "tls", "idle"]


class Run:
    """What the sections share.  FULL: all of a section's cells, not the few of a short run."""

    def __init__(self):
        asked = os.environ.get("CELLS") or "short"
        self.full = asked != "short"
        self.sections = {"short": SHORT, "all": SECTIONS}.get(asked) or asked.split(",")
        unknown = set(self.sections) - set(SECTIONS)
        if unknown:
            sys.exit("bench: no cells %s; there are: short all %s" % (" ".join(sorted(unknown)), " ".join(SECTIONS)))
        self.rounds = int(os.environ.get("ROUNDS") or 5)
        self.fewer = (self.rounds + 1) // 2         # of what no aim asks for, or what takes long
        self.figures, self.lines, self.root, self.places = figures.Figures(), [], ROOT, 0
        self.table = os.environ.get("TABLE") or os.path.join(TOP, "build/bench/table.md")
        self.svg = os.environ.get("SVG") or os.path.join(TOP, "build/bench/throughput.svg")

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)
        with open(self.table, "w") as f:
            f.write("\n".join(self.lines) + "\n")

    def note(self, text):
        """For who watches; not in the table."""
        print("... " + text, file=sys.stderr, flush=True)

    def place(self):
        """A fresh folder on the disk that is measured."""
        self.places += 1
        path = os.path.join(self.root, str(self.places))
        os.mkdir(path)
        os.chmod(path, 0o755)
        return path

    def kinds(self, kinds=None):
        """The servers that are wanted and can be started."""
        wanted, found = os.environ.get("SERVERS"), []
        for k in kinds or peers.OURS + mtas.PEERS:
            if wanted and k.name not in wanted.split(","):
                continue
            if k.missing():
                self.note("without %s: %s" % (k.name, k.missing()))
                continue
            found.append(k)
        return found

    def start(self, kinds, **more):
        """All of KINDS, running; who calls stops them."""
        where, up = self.place(), []
        try:
            for k in kinds:
                s = k(where, server.free_port(), **more)
                s.start()
                up.append(s)
        except BaseException:
            self.stop(up)
            raise
        for s in up:
            s.cpu = peers.Cpu(s.pids)
        return up

    def stop(self, servers):
        for s in servers:
            s.stop()
            if hasattr(s, "cpu"):
                s.cpu.close()


def machine():
    return "%d processors, Linux %s, load %s" % (os.cpu_count(), os.uname().release, " ".join("%.1f" % x for x in os.getloadavg()))


def main():
    run, began = Run(), time.monotonic()
    try:
        run.say("# Benchmark, %s\n" % time.strftime("%Y-%m-%d %H:%M"))
        run.say("Medians of %d rounds (%d where no aim is concerned), interleaved.  At the start: %s." % (run.rounds, run.fewer, machine()))
        for name in run.sections:
            t0 = time.monotonic()
            importlib.import_module("cells_" + name).measure(run)
            run.note("%s took %d s" % (name, time.monotonic() - t0))
        aims.report(run)
        run.say("\nAt the end: %s.  The run took %d min." % (machine(), round((time.monotonic() - began) / 60)))
        run.note("written: %s" % run.table)
    finally:
        for g in harness.on_end:
            g()
        shutil.rmtree(ROOT, ignore_errors=True)


main()
