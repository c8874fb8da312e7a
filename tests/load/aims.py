"""aims: the figures that are to be reached, each computed from what this run has measured."""
import cells_idle
import cells_mail
import cells_tls
from figures import head, row

OURS = "Letterplate"


class Aim:
    """OF: a function of the figures; None: not measured.  LEAST or MOST: the aim."""

    def __init__(self, text, of, least=None, most=None, unit="%.2f times"):
        self.text, self.of, self.least, self.most, self.unit = text, of, least, most, unit

    def line(self, figures):
        v = self.of(figures)
        limit = self.least if self.least is not None else self.most
        wanted = ("at least " if self.least is not None else "at most ") + self.unit % limit
        if v is None:
            return row(self.text, wanted, "", "not measured")
        reached = v >= limit if self.least is not None else v <= limit
        return row(self.text, wanted, self.unit % v, "reached" if reached else "**not reached**")


def against(cell, other, metric="rate", scale=1):
    def of(f):
        r = f.ratio(cell, OURS, other, metric)
        return None if r is None else r * scale
    return of


def ours(cell, metric):
    return lambda f: f.median(cell, OURS, metric)


def growth(cell, base):
    def of(f):
        a, b = f.median(cell, OURS, "rate"), f.median(base, OURS, "rate")
        return 100 * a / b if a and b else None
    return of


PERCENT = "%.0f %%"
AIMS = [
    Aim("10 KiB, 64 connections that stay open, of the null server", against(cells_mail.DURABLE.name, "null", scale=100), 50, unit=PERCENT),
    Aim("the same, of the null server that writes and never syncs", against(cells_mail.DURABLE.name, "null writing", scale=100), 75, unit=PERCENT),
    Aim("the same, against Postfix", against(cells_mail.DURABLE.name, "Postfix"), 12),
    Aim("the same, against smtp-server with an fsync of each file", against(cells_mail.DURABLE.name, "smtp-server fsync"), 3),
    Aim("10 KiB, 64 connections of one message each, of the null server", against(cells_mail.EACH.name, "null", scale=100), 60, unit=PERCENT),
    Aim("refusals, pipelined, of the null server", against(cells_mail.REFUSALS.name, "null", scale=100), 85, unit=PERCENT),
    Aim("1 MiB messages, against the null server that syncs each file", against(cells_mail.LARGE.name, "null syncing"), 1.3),
    *(Aim("STARTTLS %s handshakes, ECDSA P-256, TLS %s, of the null server" % ("resumed" if r else "full", v),
          against(cells_tls.name(v, r), "null", scale=100), 85, unit=PERCENT) for v in cells_tls.VERSIONS for r in (False, True)),
    Aim("processor time for 10 KiB, 64 connections, against Postfix", against(cells_mail.DURABLE.name, "Postfix", "cpu"), most=1 / 15, unit="%.3f"),
    Aim("octets of an idle session, Pss, at 10,000", ours(cells_idle.name(10000, None), "octets"), most=1024, unit="%.0f"),
    Aim("octets of an idle session in TLS 1.3, Pss, at 10,000", ours(cells_idle.name(10000, "1.3"), "octets"), most=20480, unit="%.0f"),
    Aim("p99 of NOOP while 64 connections deliver and an fsync takes 5 s", ours("noop", "p99"), most=10, unit="%.1f ms"),
    Aim("10 million mailboxes loaded", ours("mailboxes 10M", "load_s"), most=15, unit="%.1f s"),
    Aim("a look-up in 10 million, p99", ours("mailboxes 10M", "lookup_p99_us"), most=5, unit="%.1f us"),
    Aim("throughput with 10,000 more sessions open, of that with 64", growth("growth sessions", "growth base"), 90, unit=PERCENT),
    Aim("throughput with 10 million mailboxes, of that with 1,000", growth("growth mailboxes", "growth base"), 95, unit=PERCENT),
]


def report(run):
    run.say("\n## Aims\n\n" + head("what", "aim", "this run", ""))
    for a in AIMS:
        run.say(a.line(run.figures))
