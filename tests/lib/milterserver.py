"""milterserver: a Letterplate that asks the milters of fakemilter, and parts of their packets."""
import re
import struct

from fakemilter import CONTINUE
from harness import equal
from server import Server, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Subject: x\r\nX-Long: one\r\n two\r\n\r\nbody\r\n.dot\r\n"


def section(m, name="fake", timeout="5s", on_failure="tempfail", more=""):
    return 'milter "%s" { socket = "%s" timeout = "%s" on_failure = "%s" %s }' % (name, m.socket, timeout, on_failure, more)


class MilterServer(Server):
    def __init__(self, *milters, workers=1, **more):
        sections = [m if isinstance(m, str) else section(m) for m in milters]
        super().__init__(extra="\n".join(sections), workers=workers, **more)

    def failure(self, reason, step):
        line = self.line("milter-failed")
        equal([line[k] for k in ("by", "step", "reason")], ["fake", step, reason], "log")

    @staticmethod
    def leave(c):
        """After a refused greeting: 421 closes, 554 waits for QUIT (RFC 5321 3.1)."""
        if c.greeting.code == 421:
            equal(c.rest(), [], "behind 421")
            c.close()
        else:
            c.quit()

    def send(self, to=ALICE, text=TEXT, sender="a@b.example"):
        c = self.client()
        c.hello()
        r = c.message(to, text, sender=sender)
        c.quit()
        return r


def at_end(*edits, then=CONTINUE):
    return {"E": list(edits) + [then]}


def header(name, value):
    return name.encode() + b"\0" + value.encode() + b"\0"


def indexed(n, name, value):
    return struct.pack(">I", n) + header(name, value)


def sessions_of(s, starts):
    """How many sessions the worker says it may have, at the last of so many STARTS: its line comes a moment after it is ready."""
    def said():
        return re.findall(r"at most (\d+) sessions", s.log())
    wait_for(lambda: len(said()) >= starts, 10, "no word of sessions")
    return int(said()[-1])
