#!/usr/bin/env -S python3 -B
"""store_order: the order of the store's system calls, replayed on the most pessimistic file system that POSIX allows.

Journalling file systems forgive much: on ext4 one fsync commits what other
folders are owed too.  Here nothing is durable that was not fsynced itself, so
a missing fsync shows at once, without root and without a power cut.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import check, main, scratch, test
import store


def traced(path, name, *args, prepare=None):
    base = os.path.dirname(path)
    ledger, trace = os.path.realpath(os.path.join(base, name)), os.path.join(base, name + ".trace")
    order = store.Order(path)
    out = store.drive(path, ledger, "-i", name, *args, env=store.shim(FAILTRACE=trace, FAILLEDGER=ledger))
    messages = store.read_ledger(ledger)
    check(all(m.state == "acked" for m in messages.values()), out)
    paths = {}
    for ident, _, file, _ in store.found(os.path.realpath(path)):
        paths.setdefault(ident, []).append(file)
    with open(trace) as f:
        lines = f.readlines()
    acks = sum(" acked" in line for line in lines)
    check(acks == len(messages), "%d of %d acknowledgements in the trace" % (acks, len(messages)))
    for line in lines:
        order.play(line, paths)
    check(not order.errors, "%d errors, the first: %s" % (len(order.errors), (order.errors or [""])[0]))


def fresh():
    path = os.path.join(scratch(), "mail")
    os.mkdir(path)
    return path


@test
def one_recipient():
    traced(fresh(), "a", "-n", 60, "-c", 8, "-b", 5, "-s", 300, "-S", 9000)


@test
def new_mailboxes_each_time():
    traced(fresh(), "a", "-n", 40, "-c", 8, "-B")


@test
def folders_that_a_handler_chose():
    traced(fresh(), "a", "-n", 40, "-c", 8, "-f", 7)
    traced(fresh(), "a", "-n", 20, "-c", 4, "-f", 20, "-r", 3, "-B", "-S", 90000)


@test
def streamed():
    traced(fresh(), "a", "-n", 12, "-c", 4, "-s", 150000, "-S", 300000)


@test
def several_recipients():
    traced(fresh(), "a", "-n", 20, "-c", 4, "-r", 3, "-S", 200000)


@test
def more_recipients_than_a_batch():
    traced(fresh(), "a", "-n", 3, "-c", 2, "-b", 50, "-r", 40)


@test
def so_many_that_the_file_system_is_synced():
    path = fresh()
    traced(path, "a", "-n", 3, "-c", 2, "-b", 120, "-r", 100)
    traced(path, "b", "-n", 3, "-c", 2, "-b", 120, "-r", 100, "-1")
    with open(os.path.join(os.path.dirname(path), "a.trace")) as f:
        calls = [line.split() for line in f if line.startswith(("syncfs", "fsync"))]
    # Behind each syncfs the store's own folder is asked whether its file system still writes.
    check([c[0] for c in calls].count("syncfs") == 6, "not six syncfs: %s" % calls)
    check([c[1] for c in calls if c[0] == "fsync"] == [os.path.realpath(path)] * 6, "not six fsync of the store's folder: %s" % calls)


@test
def linked():
    traced(fresh(), "a", "-n", 20, "-c", 4, "-r", 3, "-1", "-S", 200000)


@test
def more_linked_than_a_batch():
    traced(fresh(), "a", "-n", 3, "-c", 2, "-b", 50, "-r", 40, "-1", "-S", 100000)


@test
def made_by_another_process_a_moment_ago():
    # Folders that are there are not durable for that.
    path = fresh()
    traced(path, "a", "-n", 10, "-c", 2, "-b", 5)
    traced(path, "b", "-n", 10, "-c", 2, "-b", 5)


if __name__ == "__main__":
    main()
