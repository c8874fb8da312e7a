"""cells_start: from a server's start to its first greeting."""
from figures import head, number, row


def measure(run):
    kinds = run.kinds()
    for _ in range(run.rounds if run.full else 1):
        for k in kinds:
            s = run.start([k])
            run.figures.add("start", k.name, ms=s[0].first * 1000)
            run.stop(s)
    run.say("\n## Start to first greeting\n\n" + head("server", "ms"))
    for k in kinds:
        run.say(row(k.name, number(run.figures.median("start", k.name, "ms"))))
