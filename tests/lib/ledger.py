"""ledger: clients under whose feet the server may be killed, and the reckoning.

Each message has an id and a hash; the ledger notes what became of it: sent (no
final reply: it may stand in the Maildir or not), acked, refused.  audit() then
compares with the store: nothing acknowledged is missing, torn or doubled,
nothing refused stands there, and nothing is in there that was never sent.
"""
import asyncio
import collections
import hashlib
import os
import random

from client import stuff
from harness import check, equal
from maildir import as_stored, split

SENT, ACKED, REFUSED = "sent", "acked", "refused"


class Ledger:
    def __init__(self, path):
        self.state, self.hash, self.boxes = {}, {}, {}
        self.file = open(path, "w", buffering=1)
        self.seen = collections.Counter()   # replies, by code
        self.cut = 0                        # sessions that ended before their end
        self.no_connection = []             # errors of connect()
        self.strange = []                   # replies that should not be

    def note(self, ident, state):
        self.state[ident] = state
        self.file.write("%s %s %s\n" % (ident, self.hash[ident], state))

    def message(self, ident, size, rcpts):
        body = random.Random(ident).randbytes(size // 2).hex()
        text = "X-Ledger: %s\r\nSubject: ledger\r\n\r\n" % ident + "".join(
            body[i:i + 76] + "\r\n" for i in range(0, len(body), 76)) + ".end\r\n"
        self.hash[ident] = hashlib.sha256(as_stored(text.encode())).hexdigest()
        self.boxes[ident] = rcpts
        return stuff(text.encode())

    def count(self, state):
        return sum(s == state for s in self.state.values())

    def summary(self):
        return "%d sent, %d acked, %d refused, %d unknown, %d sessions cut, %d connections refused" % (
            len(self.state), self.count(ACKED), self.count(REFUSED), self.count(SENT), self.cut, len(self.no_connection))


class _Session:
    def __init__(self, ledger, reader, writer):
        self.ledger, self.reader, self.writer = ledger, reader, writer

    async def reply(self):
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError
            if line[3:4] == b" ":
                self.ledger.seen[int(line[:3])] += 1
                return int(line[:3])

    async def cmd(self, line):
        self.writer.write(line)
        return await self.reply()


async def _message(ledger, s, ident, size, rcpts):
    """One message; False when the session must end."""
    wire = ledger.message(ident, size, rcpts)
    s.writer.write(b"MAIL FROM:<ledger@client.example>\r\n" +
                   b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in rcpts) + b"DATA\r\n")
    codes = [await s.reply() for _ in range(len(rcpts) + 2)]
    if codes != [250] * (len(rcpts) + 1) + [354]:
        if 421 not in codes:
            ledger.strange.append(codes)
        return False
    ledger.note(ident, SENT)
    s.writer.write(wire)
    await s.writer.drain()
    code = await s.reply()
    ledger.note(ident, ACKED if code == 250 else REFUSED)
    return code == 250


async def _one(ledger, address, name, until, size, rcpts, a_session, may_refuse):
    n = 0
    while not until():
        try:
            if isinstance(address, str):
                reader, writer = await asyncio.open_unix_connection(address)
            else:
                reader, writer = await asyncio.open_connection(*address)
        except OSError as e:
            if not may_refuse():
                ledger.no_connection.append(e)
            await asyncio.sleep(0.02)
            continue
        s = _Session(ledger, reader, writer)
        try:
            if await s.reply() == 220 and await s.cmd(b"EHLO ledger.example\r\n") == 250:
                for _ in range(a_session):
                    n += 1
                    if until() or not await _message(ledger, s, "%s-%d" % (name, n), size(), rcpts(n)):
                        break
                await s.cmd(b"QUIT\r\n")
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            ledger.cut += 1
        finally:
            writer.close()


async def run(ledger, address, clients, until, size=lambda: random.choice((300, 3000, 30000)),
              rcpts=lambda n: ["alice@example.org"], a_session=5, may_refuse=lambda: False, beside=None):
    """CLIENTS clients at work until until() is true, with the coroutine BESIDE."""
    tasks = [_one(ledger, address, "%s%d" % (os.getpid(), i), until, size, rcpts, a_session, may_refuse)
             for i in range(clients)]
    if beside:
        tasks.append(beside)
    await asyncio.gather(*tasks)


def audit(ledger, store):
    """Compare with the Maildirs below STORE; return how many messages of unknown fate stand there."""
    found = collections.Counter()
    for folder, _, files in os.walk(store):
        if os.path.basename(folder) != "new":
            continue
        box = "@".join(reversed(folder.split(os.sep)[-3:-1]))
        for f in files:
            with open(os.path.join(folder, f), "rb") as h:
                raw = h.read()
            check(raw, "an empty file in new/: %s" % f)
            content = split(raw)[1]
            ident = content.split(b"\n", 1)[0].decode(errors="replace").partition("X-Ledger: ")[2]
            check(ident in ledger.hash, "a message that nobody sent: %s" % os.path.join(folder, f))
            equal(hashlib.sha256(content).hexdigest(), ledger.hash[ident], "hash of %s in %s" % (ident, box))
            found[ident, box] += 1
    for ident, state in ledger.state.items():
        for box in ledger.boxes[ident]:
            n = found[ident, box]
            if state == ACKED:
                check(n == 1, "acknowledged %s stands %d times in %s" % (ident, n, box))
            elif state == REFUSED:
                check(n == 0, "refused %s stands in %s" % (ident, box))
            else:
                check(n <= 1, "%s of unknown fate stands %d times in %s" % (ident, n, box))
    return sum(ledger.state[ident] == SENT for ident, _ in found)
