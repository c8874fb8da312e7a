"""cells_noop: whether the loop waits for the disk: how long a NOOP takes while 64 connections deliver and an fsync takes 5 s."""
import os
import selectors
import shutil
import socket
import threading
import time

import peers
from cells_mail import load
from figures import head, number, row

SECONDS = 20
STALL_MS = 5000         # SLOWSYNC_MS of parts/slowsync.c
CONNECTIONS = 8         # so that both workers have some
EVERY = 0.01            # s between the NOOPs of a connection


class SlowDisk(peers.Letterplate):
    """Its workers run below parts/slowsync.c: every few seconds one of their syncs takes STALL_MS."""
    more = {"own_bin": True}

    def prepare(self):
        super().prepare()
        worker = os.path.join(self.s.bin, "letterplate-worker")
        os.rename(worker, worker + ".real")
        shutil.copy(peers.program("preload"), worker)
        shutil.copy(peers.program("parts/slowsync.so"), worker + ".so")


class Asker:
    """NOOPs at a steady rate on connections of its own.  One that is late is counted for those that it kept from being sent, too."""

    def __init__(self, port):
        self.took, self.over = [], False
        self.socks = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(CONNECTIONS)]
        for k in self.socks:
            k.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert k.recv(4096).startswith(b"220"), "no greeting"
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()

    def answered(self, took):
        while took > 0:
            self.took.append(took)
            took -= EVERY

    def ask(self):
        sel, asked, began = selectors.EpollSelector(), {}, time.monotonic()
        due = {k: began + EVERY * i / len(self.socks) for i, k in enumerate(self.socks)}
        for k in self.socks:
            sel.register(k, selectors.EVENT_READ)
        while not self.over or asked:
            now = time.monotonic()
            for k in self.socks:
                if k not in asked and due[k] <= now and not self.over:
                    asked[k], due[k] = now, max(due[k] + EVERY, now)
                    k.send(b"NOOP\r\n")
            for key, _ in sel.select(EVERY / len(self.socks)):
                got, now = key.fileobj.recv(4096), time.monotonic()
                assert got.startswith(b"250") and key.fileobj in asked, "NOOP was answered %r" % got
                self.answered(now - asked.pop(key.fileobj))

    def end(self):
        self.over = True
        self.thread.join()
        for k in self.socks:
            k.close()
        return sorted(self.took)


def one(run, s, cell, seconds, stall_ms):
    asker = Asker(s.port)
    v, why = load(s, "-c", "64", "-s", "10240", "-t", str(seconds))
    took = asker.end()
    if v is None:
        run.figures.fail(cell, s.name, why)
        return
    if v["max_ms"] < stall_ms * 0.9:
        run.figures.fail(cell, s.name, "no fsync took %d ms: the slowest message took %.0f ms" % (stall_ms, v["max_ms"]))
    ms = [x * 1000 for x in took]
    run.figures.add(cell, s.name, n=len(ms), p50=ms[len(ms) // 2], p99=ms[len(ms) * 99 // 100], p999=ms[len(ms) * 999 // 1000], max=ms[-1],
                    rate=v["messages_per_second"], stall=v["max_ms"])


def line(run, cell, what):
    why = run.figures.why(cell, "Letterplate")

    def m(metric, digits=2):
        return number(run.figures.median(cell, "Letterplate", metric), digits)
    return row(what, "failed: " + why if why else m("n", 0), m("p50"), m("p99"), m("p999"), m("max"), m("rate", 0), m("stall", 0))


def measure(run):
    slow, = run.start([SlowDisk])
    try:
        plain, = run.start([peers.Letterplate])
        try:
            for _ in range(run.fewer):
                one(run, slow, "noop", SECONDS, STALL_MS)
                one(run, plain, "noop, no stall", SECONDS // 4, 0)
        finally:
            run.stop([plain])
    finally:
        run.stop([slow])
    run.say("\n## NOOP while 64 connections deliver\n\nOne fsync of each worker takes %d s, then a second passes until the next one does; and, to compare, none does.\n"
            % (STALL_MS // 1000))
    run.say(head("", "NOOPs", "p50 ms", "p99", "p99.9", "max", "messages a second meanwhile", "the slowest message, ms"))
    run.say(line(run, "noop", "an fsync takes %d s" % (STALL_MS // 1000)))
    run.say(line(run, "noop, no stall", "none does"))
