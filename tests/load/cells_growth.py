"""cells_growth: what becomes of throughput with 10,000 more sessions open, and with 10 million mailboxes."""
import os

import peers
from cells_idle import Held
from cells_mail import DURABLE, load
from figures import head, number, row

SESSIONS, MAILBOXES = 10000, 10000000
BOXES = 1000            # that mail goes to; of 10 million they are spread over all of it


class Many(peers.Letterplate):
    """u0 to u9999999@example.org."""

    def prepare(self):
        path = os.path.join(self.s.root, "list")
        with open(path, "w") as f:
            for i in range(0, MAILBOXES, 100000):
                f.write("".join("u%d@example.org\n" % k for k in range(i, i + 100000)))
        self.s.mailboxes("load", path)
        os.unlink(path)


def measure(run):
    few, crowded, many = servers = [run.start([k])[0] for k in (peers.Letterplate, peers.Letterplate, Many)]
    held = None
    try:
        stride = ["-r", str(BOXES), "-k", str(MAILBOXES // BOXES)]
        for s in servers:
            load(s, "-n", str(BOXES), "-c", "16", "-s", "100", *(stride if s is many else []))
        held = Held(crowded.port, SESSIONS)
        cells = [("growth base", few), ("growth sessions", crowded), ("growth mailboxes", many)]
        for s in servers:       # the first seconds of each are not what is measured
            load(s, *DURABLE.args(2), *(stride if s is many else []))
        for i in range(run.rounds):
            for cell, s in cells[i % len(cells):] + cells[:i % len(cells)]:
                os.sync()
                v, why = load(s, *DURABLE.args(2), *(stride if s is many else []))
                if v is None:
                    run.figures.fail(cell, s.name, why)
                else:
                    run.figures.add(cell, s.name, rate=v["messages_per_second"], p99=v["p99_ms"])
        if held.n < SESSIONS:
            run.figures.fail("growth sessions", crowded.name, "only %d sessions were let in" % held.n)
    finally:
        if held:
            held.close()
        run.stop(servers)
    run.say("\n## Growth\n\n%s; three servers in turn.\n\n" % DURABLE.name + head("", "a second", "p99 ms"))
    for cell, what in (("growth base", "1,000 mailboxes, no other session"), ("growth sessions", "%s more sessions open" % format(SESSIONS, ",")),
                       ("growth mailboxes", "%s mailboxes" % format(MAILBOXES, ","))):
        why = run.figures.why(cell, "Letterplate")
        run.say(row(what, "failed: " + why if why else number(run.figures.median(cell, "Letterplate", "rate")), number(run.figures.median(cell, "Letterplate", "p99"), 1)))
