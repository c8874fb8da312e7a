"""figures: what a run has measured, by cell, server and metric, a value a round; medians of them; Markdown of them."""
import statistics


class Figures:
    def __init__(self):
        self.values, self.whys = {}, {}

    def add(self, cell, server, **metrics):
        for name, v in metrics.items():
            self.values.setdefault((cell, server), {}).setdefault(name, []).append(v)

    def fail(self, cell, server, why):
        """Why a round has no figures."""
        self.whys.setdefault((cell, server), []).append(why)

    def median(self, cell, server, metric):
        """None where nothing was measured, or a round of it failed."""
        got = self.values.get((cell, server), {}).get(metric)
        return statistics.median(got) if got and not self.whys.get((cell, server)) else None

    def worst(self, cell, server, metric):
        got = self.values.get((cell, server), {}).get(metric)
        return max(got) if got else None

    def rounds(self, cell, server):
        return max((len(v) for v in self.values.get((cell, server), {}).values()), default=0)

    def why(self, cell, server):
        """The first failure, and how many; or None."""
        whys = self.whys.get((cell, server))
        return "%s%s" % (whys[0], " (%d rounds)" % len(whys) if len(whys) > 1 else "") if whys else None

    def ratio(self, cell, a, b, metric):
        """Of A to B in the same cell."""
        x, y = self.median(cell, a, metric), self.median(cell, b, metric)
        return x / y if x is not None and y else None


def number(v, digits=0):
    return "" if v is None else format(round(v, digits) if digits else round(v), ",.%df" % digits)


def row(*columns):
    return "| %s |" % " | ".join(str(c) for c in columns)


def head(*columns):
    return row(*columns) + "\n|" + "---|" * len(columns)
