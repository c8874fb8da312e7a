"""cells_tls: sessions a second that do a STARTTLS handshake, full and resumed, ECDSA P-256."""
import subprocess

import peers
import tls
from figures import head, number, row

VERSIONS = "1.3", "1.2"
CONNECTIONS = "8"


def name(version, resumed):
    return "STARTTLS %s, TLS %s" % ("resumed" if resumed else "full", version)


def one(run, s, version, resumed, seconds):
    before = s.cpu.seconds()
    r = subprocess.run([peers.program("handshakes"), "-S", "-v", version, "-c", CONNECTIONS, "-t", str(seconds), "-p", str(s.port)] + ["-r"] * resumed,
                       capture_output=True, text=True, timeout=100)
    v = {k: float(x) for k, x in (w.split("=") for w in r.stdout.split())}
    if v["failed"] or not v["sessions"]:
        run.figures.fail(name(version, resumed), s.name, "%d of %d sessions were not %s" % (v["failed"], v["failed"] + v["sessions"],
                                                                                        "resumed" if resumed else "as told"))
        return
    run.figures.add(name(version, resumed), s.name, rate=v["per_second"], cpu_ms=(s.cpu.seconds() - before) * 1000 / v["sessions"])


def measure(run):
    pair = tls.certificate("mx.test.example", "ec")
    kinds = [k for k in run.kinds() if k.tls]
    seconds = 2 if run.full else 1
    for resumed in False, True:
        # The null server issues tickets only where they are used: its full handshake is the least that one can be.
        servers = run.start([peers.NullTickets if resumed and k is peers.Null else k for k in kinds], pair=pair)
        try:
            for version in VERSIONS if run.full else VERSIONS[:1]:
                for _ in range(run.rounds):
                    for s in servers:
                        one(run, s, version, resumed, seconds)
        finally:
            run.stop(servers)
    run.say("\n## STARTTLS\n\nSessions of EHLO, STARTTLS, EHLO, QUIT; %s at a time; ECDSA P-256.  The null server and the peers have the key in the\n"
            "process that serves the session; Letterplate has it in letterplate-keys.\n" % CONNECTIONS)
    run.say(head("handshake", "server", "a second", "of null", "CPU ms each"))
    for version in VERSIONS if run.full else VERSIONS[:1]:
        for resumed in False, True:
            cell = name(version, resumed)
            for k in kinds:
                why, part = run.figures.why(cell, k.name), run.figures.ratio(cell, k.name, "null", "rate")
                run.say(row(cell, k.name, "failed: " + why if why else number(run.figures.median(cell, k.name, "rate")),
                            number(part and part * 100) + (" %" if part else ""), number(run.figures.median(cell, k.name, "cpu_ms"), 3)))
