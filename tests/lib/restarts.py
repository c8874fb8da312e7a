"""restarts: reloads and upgrades of a server under load: no connection refused, no session broken, nothing
acknowledged lost, no counter going back.  tests/fault/server_restarts*.py say how many."""
import asyncio
import os
import shutil
import time

import ledger
from harness import BIN, TOP, check, equal
from server import Server

LIST = "".join("u%d@example.org\n" % i for i in range(20))
CLIENTS, STEADY = 16, 4


def stub():
    with open(os.path.join(TOP, "build/variant")) as f:
        return os.path.join(TOP, "build/obj", f.read().strip(), "tests/master/stubworker")


class Crowd:
    """The load, and what became of it."""

    def __init__(self, s):
        self.s, self.book, self.over = s, ledger.Ledger(s.path("ledger")), False
        self.noops, self.broken, self.highest, self.times = 0, [], 0, []

    async def steady(self):
        """A session that stays, talks now and then, and must never be cut off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.s.port)

        async def reply(line=None):
            if line:
                writer.write(line + b"\r\n")
            while True:
                got = await reader.readline()
                if got[3:4] == b" ":
                    self.book.seen[int(got[:3])] += 1
                if got[3:4] != b"-":
                    return got
        try:
            await reply()
            await reply(b"EHLO steady.example")
            end = time.monotonic() + 25
            while not self.over and time.monotonic() < end:
                got = await reply(b"NOOP")
                if not got.startswith(b"250 "):
                    self.broken.append(got)
                    return
                self.noops += 1
                await asyncio.sleep(0.2)
            await reply(b"QUIT")
        except OSError as e:
            self.broken.append(e)
        finally:
            writer.close()

    async def steadily(self):
        while not self.over and not self.broken:
            await self.steady()

    async def ctl(self, command, want=0):
        """letterplate ctl COMMAND beside the load."""
        began = time.monotonic()
        p = await asyncio.create_subprocess_exec(
            os.path.join(BIN, "letterplate"), "ctl", "-d", self.s.path("state"), command,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        said = (await p.communicate())[1].decode()
        equal(p.returncode, want, "%s: %s" % (command, said))
        self.times.append(time.monotonic() - began)
        n = self.s.stats()["messages"]
        check(n >= self.highest, "messages went back from %d to %d" % (self.highest, n))
        self.highest = n
        await asyncio.sleep(0.05)

    def run(self, work):
        async def beside():
            try:
                await work(self)
            finally:
                self.over = True
            await asyncio.sleep(0)

        async def all_of_it():
            await asyncio.gather(
                ledger.run(self.book, ("127.0.0.1", self.s.port), CLIENTS, lambda: self.over, beside=beside(),
                           rcpts=lambda n: ["u%d@example.org" % (n % 20)]),
                *[self.steadily() for _ in range(STEADY)])
        pid = self.s.pid
        asyncio.run(all_of_it())
        self.s.seen.update(self.book.seen)
        unknown = ledger.audit(self.book, self.s.store_path)
        self.times.sort()
        print("# %d times in %.2f s each (median), %.2f s (worst); %s; %d NOOPs in %d steady sessions" %
              (len(self.times), self.times[len(self.times) // 2], self.times[-1], self.book.summary(), self.noops, STEADY))
        equal(self.book.no_connection, [], "connections refused")
        equal(self.book.strange, [], "strange replies")
        equal((self.book.cut, self.broken, unknown), (0, [], 0), "sessions cut, steady ones broken, messages of unknown fate")
        check(self.book.count(ledger.ACKED) > 10, "hardly anything was acknowledged")
        equal(self.s.pid, pid, "pid")
        check(self.s.child.poll() is None, "it ended")


def server():
    return Server(mailboxes=LIST, own_bin=True, limits="connections_per_ip = 0", timeouts='drain = "60s"')


def reloads(n):
    async def work(c):
        for _ in range(n):
            await c.ctl("reload")
    with server() as s:
        Crowd(s).run(work)
        equal((s.counter("reloads"), s.counter("reloads_failed")), (n, 0), "reloads")


async def bad_upgrade(c, kind):
    """An upgrade that must be refused; afterwards all is as before."""
    s, text = c.s, c.s.config()
    if kind == "config":
        s.write_config(text + "nonsense = 1\n")
    elif kind == "worker":
        s.replace("letterplate-worker", shutil.which("false"))
    else:
        with open(s.path("stub"), "w") as f:
            f.write({"exit": "master-exit=1", "hang": "master-hang"}[kind])
        s.replace("letterplate", stub())
    await c.ctl("upgrade", 75)
    s.write_config(text)
    for name in ("letterplate", "letterplate-worker"):
        s.replace(name, os.path.join(BIN, name))


def upgrades(good, bad):
    """GOOD upgrades with one of each of BAD, a list of kinds, put in between evenly."""
    async def work(c):
        for i in range(good):
            c.s.replace("letterplate", os.path.join(BIN, "letterplate"))
            await c.ctl("upgrade")
            for kind in bad[i * len(bad) // good:(i + 1) * len(bad) // good]:
                await bad_upgrade(c, kind)
    with server() as s:
        s.may_die = "worker" in bad     # /bin/false in the place of a worker is one that died
        Crowd(s).run(work)
        equal((s.counter("upgrades"), s.counter("upgrades_failed")), (good, len(bad)), "upgrades")
