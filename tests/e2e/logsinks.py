#!/usr/bin/env -S python3 -B
"""logsinks: where the log goes: a file that is rotated, the journal, a syslog daemon; what is lost is counted."""
# check: timeout=180
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, need_root, scratch, test
from server import Server, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
LINE = re.compile(r'(time=\S+ level=\w+ who=\w+.* event=[a-z-]+.*|\{"time":.*\})')


def lines(path):
    with open(path) as f:
        text = f.read()
    check(text == "" or text.endswith("\n"), "%s ends within a line" % path)
    for line in text.splitlines():
        check(LINE.fullmatch(line), "not a line of the log: %r" % line)
    return text.splitlines()


def of(found, event):
    return [x for x in found if "event=%s " % event in x]


def server(d, to, fmt="logfmt", more="", **settings):
    return Server(log='format = "%s" to = "%s" %s' % (fmt, to, more), **settings)


def talk(s, n=1):
    c = s.client()
    c.hello()
    for _ in range(n):
        c.message(ALICE, TEXT).is_(250)
    c.quit()


def answers(s):
    try:
        socket.create_connection(("127.0.0.1", s.port), 1).close()
        return True
    except OSError:
        return False


@test
def a_file_that_is_rotated_loses_nothing():
    """64 connections deliver while the file is renamed away and USR1 says so, again and again."""
    d = scratch()
    path, done = d + "/log", threading.Event()
    with server(d, "file:" + path, workers=2) as s:
        equal([x for x in s.log().splitlines() if "event=" in x], [], "lines on standard error")
        seen = []

        def deliver():
            while not done.is_set():
                talk(s, 3)
                seen.append(3)
        threads = [threading.Thread(target=deliver) for _ in range(64)]
        for t in threads:
            t.start()
        for i in range(20):
            time.sleep(0.1)
            os.rename(path, "%s.%d" % (path, i))
            s.signal(signal.SIGUSR1)
            wait_for(lambda: os.path.exists(path), 10, "no new file after USR1")
        done.set()
        for t in threads:
            t.join()
        s.stop()
        files = ["%s.%d" % (path, i) for i in range(20)] + [path]
        each = [lines(f) for f in files]
        every = [x for f in each for x in f]
        equal(len(of(every, "transaction")), sum(seen), "transactions in all files")
        equal(len(of(every, "session")), len(seen), "sessions in all files")
        equal(len(of(every, "log-dropped")), 0, "lines dropped")
        # Each file has lines of its own time: nobody goes on in an old one for long.
        used = [f for f in each if of(f, "transaction")]
        check(len(used) >= 10, "transactions in only %d of 21 files" % len(used))
        equal(os.stat(path).st_mode & 0o777, 0o640, "mode")
        check(os.stat(path).st_size > 0, "the last file is empty")


@test
def every_process_goes_on_in_the_new_file():
    """No process holds the old file open after USR1, the key process and retired workers included."""
    d = scratch()
    path = d + "/log"
    with server(d, "file:" + path) as s:
        old = s.client()
        old.hello()
        s.reload()
        check(len(s.workers()) >= 3, "the old generation is not there: %s" % s.workers())
        os.rename(path, path + ".1")
        s.signal(signal.SIGUSR1)
        inode = os.stat(path + ".1").st_ino

        def holders():
            found = []
            for pid in s.processes():
                for fd in os.listdir("/proc/%d/fd" % pid):
                    try:
                        if os.stat("/proc/%d/fd/%s" % (pid, fd)).st_ino == inode:
                            found.append((pid, fd))
                    except OSError:
                        pass
            return found
        wait_for(lambda: not holders(), 5, lambda: "still open: %s" % holders())
        old.quit()
        wait_for(lambda: os.path.exists(path) and of(lines(path), "session"), 5, "no session in the new file")


@test
def a_log_may_outgrow_a_message():
    """The worker's limit of a file's size is that of a message, and must not be the log's."""
    d = scratch()
    with open(d + "/log", "w") as f:
        f.truncate(100 << 20)
    with server(d, "file:" + d + "/log", message_size_limit="1MiB", start=False) as s:
        # Not with the harness' standard error, which is a file too.
        p = subprocess.Popen([os.path.join(BIN, "letterplate"), "-c", s.path("letterplate.conf")], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(s.path("state/stats")) and s.stats()["workers"], 10, "it did not start")
            s.count = False
            wait_for(lambda: answers(s), 10, "it does not answer")
            talk(s)
        finally:
            p.terminate()
            equal(p.wait(20), 0, "status")
        with open(d + "/log", "rb") as f:
            f.seek(100 << 20)
            check(b"event=session " in f.read(), "no session in a large log")


@test
def a_reload_takes_the_log_elsewhere():
    d = scratch()
    with server(d, "file:%s/a" % d) as s:
        talk(s)
        s.settings["log"] = 'to = "file:%s/b"' % d
        s.write_config()
        s.reload()
        talk(s)
        wait_for(lambda: of(lines(d + "/b"), "session"), 5, "nothing in the new file")
        equal(len(of(lines(d + "/a"), "session")), 1, "sessions in the old file")
        # One that cannot be: the old config stays.
        s.settings["log"] = 'to = "file:%s/none/c"' % d
        s.write_config()
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.counter("reloads_failed") == 1, 5, "the reload was not refused")
        talk(s)
        s.settings["log"] = 'to = "file:%s/b"' % d
        s.write_config()


class Daemon:
    """A datagram socket that keeps what it is sent."""

    def __init__(self, path, read=True):
        self.path, self.got, self.sock = path, [], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o777)
        if read:
            threading.Thread(target=self.hear, args=(self.sock,), daemon=True).start()

    def hear(self, sock):
        while True:
            try:
                data = sock.recv(1 << 20)
            except OSError:
                return
            if data == b"stop":
                return
            self.got.append(data.decode())

    def stop(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"stop", self.path)
        time.sleep(0.05)
        self.sock.close()
        os.unlink(self.path)


def fields(datagram):
    found = {}
    for line in datagram.rstrip("\n").split("\n"):
        key, eq, value = line.partition("=")
        check(eq and re.fullmatch(r"[A-Z][A-Z_]*", key), "not a field of the journal: %r" % line)
        check(key not in found, "twice: %s" % key)
        found[key] = value
    return found


def journal(fmt):
    d = scratch()
    j = Daemon(d + "/journal")
    with server(d, "journal:" + j.path, fmt) as s:
        c = s.client()
        c.hello()
        c.cmd('MAIL FROM:<"we\\"ird\\\\ =na, me"@client.example>').is_(250)
        session = c.cmd("RCPT TO:<nobody@example.org>").is_(550).session
        c.quit()
        talk(s)
        s.stop()
        found = [fields(x) for x in j.got]
        refusal = [f for f in found if f["LETTERPLATE_EVENT"] == "refusal"][0]
        for key, want in {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "letterplate", "SYSLOG_FACILITY": "2",
                          "LETTERPLATE_SESSION": session, "LETTERPLATE_CODE": "550", "LETTERPLATE_ENHANCED": "5.1.1",
                          "LETTERPLATE_TO": "nobody@example.org", "LETTERPLATE_REASON": "no-such-mailbox",
                          "LETTERPLATE_FROM": '"we\\\\"ird\\\\\\\\ =na, me"@client.example'}.items():
            equal(refusal[key], want, key)
        equal(len([f for f in found if f["LETTERPLATE_EVENT"] == "session"]), 2, "sessions")
        check(any(f["LETTERPLATE_WHO"] == "master" for f in found), "nothing of the master")
        text = "".join(f["MESSAGE"] + "\n" for f in found)
        r = subprocess.run([os.path.join(BIN, "letterplate-log"), "explain", session], input=text, capture_output=True, text=True)
        check(r.returncode == 0 and "<nobody@example.org> was refused" in " ".join(r.stdout.split()), r.stdout + r.stderr)


@test
def the_journal_in_logfmt():
    journal("logfmt")


@test
def the_journal_in_json():
    journal("json")


@test
def a_syslog_daemon_that_comes_back():
    d = scratch()
    sys1 = Daemon(d + "/log")
    with server(d, "syslog:" + sys1.path) as s:
        talk(s)
        frame = re.compile(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d letterplate\[\d+\]: (.*)")
        wait_for(lambda: any("event=session " in x for x in sys1.got), 5, "no session at the daemon")
        for x in sys1.got:
            m = frame.fullmatch(x)
            check(m and LINE.fullmatch(m.group(2)), "not a frame: %r" % x)
            equal(m.group(1), {"error": "19", "warn": "20", "info": "22", "debug": "23"}[re.search(r"level=(\w+)", x)[1]], "priority")
        sys1.stop()
        talk(s)                                 # nobody is there: mail goes on
        time.sleep(1.2)
        sys2 = Daemon(sys1.path)

        def heard():
            talk(s)
            return any("event=session " in x for x in sys2.got)
        wait_for(heard, 10, "nothing comes to the daemon after its restart", step=0.3)
        wait_for(lambda: any("event=log-dropped " in x for x in sys2.got), 5, "the loss is not said: %s" % sys2.got)


@test
def a_daemon_that_hangs_stops_nobody():
    d = scratch()
    j = Daemon(d + "/journal", read=False)
    with server(d, "journal:" + j.path) as s:
        for _ in range(20):
            talk(s, 20)
        os.kill(s.workers()[0], signal.SIGKILL)
        s.may_die = True
        wait_for(lambda: s.counter("workers_started") == 3, 20, "the dead worker is not replaced")
        s.count = False
        talk(s)
        j.hear_all = threading.Thread(target=j.hear, args=(j.sock,), daemon=True)
        j.hear_all.start()


@test
def above_the_rate_lines_are_dropped_and_said():
    d = scratch()
    path = d + "/log"
    with server(d, "file:" + path, more="rate = 5", workers=1) as s:
        for _ in range(60):
            talk(s)
        time.sleep(1.6)                         # without another line
        found = lines(path)
        said = [int(re.search(r" n=(\d+) ", x)[1]) for x in of(found, "log-dropped") if x.endswith("reason=rate")]
        check(said, "nothing is said: %s" % found[-3:])
        kept = len(of(found, "session")) + len(of(found, "transaction"))
        equal(kept + sum(said), 120, "lines and those that are said to be missing")
        check(kept < 100, "%d lines of 120 at 5 a second" % kept)
        equal(s.counter("log_dropped"), sum(said), "the counter")


@test
def a_full_disk_stops_nobody():
    need_root()
    d = scratch()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "letterplate", d], check=True)
    try:
        with server(d, "file:" + d + "/log", workers=1) as s:
            for _ in range(15):
                talk(s, 20)
            wait_for(lambda: s.counter("log_dropped") > 0, 5, "the disk was never full: %s" % (os.statvfs(d),))
            equal(s.counter("messages"), 300, "messages")
            os.rename(d + "/log", d + "/old")
            os.truncate(d + "/old", 0)
            s.signal(signal.SIGUSR1)
            wait_for(lambda: os.path.exists(d + "/log"), 5, "no new file")
            talk(s)
            wait_for(lambda: of(lines(d + "/log"), "log-dropped"), 5, "the loss is not said")
            s.stop()
            check(of(lines(d + "/log"), "session"), "no session in the new file")
    finally:
        subprocess.run(["umount", "-l", d])


@test
def what_cannot_be_logged_to_is_found_early():
    d = scratch()
    os.mkfifo(d + "/fifo")
    with Server(start=False) as s:
        for to, why in (("file:%s/none/log" % d, "the log's folder"), ("file:%s/fifo" % d, "is no regular file"),
                        ("journal:%s/none" % d, "no one takes the log at"), ("syslog:%s/none" % d, "no one takes the log at"),
                        ("file:log", "absolute path"), ("file", "must be stderr"), ("stderr:/x", "must be stderr"), ("x", "must be stderr")):
            s.settings["log"] = 'to = "%s"' % to
            s.write_config()
            for args in ["-t"], []:
                r = subprocess.run([os.path.join(BIN, "letterplate"), *args, "-c", s.path("letterplate.conf")],
                                   capture_output=True, text=True, timeout=30)
                equal(r.returncode, 78, "status with %s: %s" % (to, r.stderr))
                check(why in r.stderr and "letterplate.conf:" in r.stderr, "%s: %s" % (to, r.stderr))


main()
