"""cells_soak: minutes of durable delivery: the slowest messages, and the worst second."""
import os

import peers
from cells_mail import DURABLE, load
from figures import head, number, row

SECONDS = 180
MOST = 20000            # messages a second that there is room to count


def measure(run):
    s, = run.start([peers.Letterplate])
    try:
        load(s, "-n", "1000", "-c", "16", "-s", "100")
        os.sync()
        v, why = load(s, "-c", str(DURABLE.connections), "-s", str(DURABLE.octets), "-t", str(SECONDS), "-n", str(SECONDS * MOST), timeout=SECONDS + 100)
    finally:
        run.stop([s])
    run.say("\n## %d s of %s\n\n" % (SECONDS, DURABLE.name) + head("server", "a second", "fewest in a second", "p50 ms", "p99", "p99.9", "max"))
    if v is None:
        run.say(row("Letterplate", "failed: " + why, "", "", "", "", ""))
        return
    run.figures.add("soak", "Letterplate", rate=v["messages_per_second"], max=v["max_ms"])
    run.say(row("Letterplate", number(v["messages_per_second"]), number(v["worst_second"]), *(number(v[k], 1) for k in ("p50_ms", "p99_ms", "p999_ms", "max_ms"))))
