#!/usr/bin/env -S python3 -B
"""modules: C modules are loaded, decide, do their work in the pool, and edit; one that crashes, never answers, or was
built for another interface costs nobody a message."""
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed
from fakemilter import FakeMilter
from harness import BIN, TOP, check, equal, main, sanitized, scratch, test
from milterserver import section as milter_section
from server import Server, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
FOLDER = scratch("modules.")
os.chmod(FOLDER, 0o755)


def module(name):
    """A copy where the workers' user can read it."""
    to = os.path.join(FOLDER, name + ".so")
    if not os.path.exists(to):
        shutil.copy(os.path.join(TOP, "build", "modules", name + ".so"), to)
        os.chmod(to, 0o755)
    return to


def section(name, so=None, **more):
    return 'handler "%s" { module = "%s" %s }\n' % (
        name, module(so or name), " ".join('%s = %s' % (k, v if v.startswith("{") else '"%s"' % v) for k, v in more.items()))


def conf_test(s):
    return subprocess.run([os.path.join(BIN, "letterplate"), "-t", "-c", s.path("letterplate.conf")],
                          capture_output=True, text=True, timeout=60)


@test
def a_sender_is_refused():
    senders = os.path.join(FOLDER, "senders")
    with open(senders, "w") as f:
        f.write("bad@client.example\nspam.example  # a domain\n")
    with Server(extra=section("senders", "reject_sender", argument=senders)) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<Bad@client.example>").is_(550, "5.7.1")
        c.cmd("MAIL FROM:<x@SPAM.example>").is_(550, "5.7.1")
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        h = s.stats()["handlers"]["senders"]
        equal((h["asked"], h["refused"], h["next"]), (3, 2, 1), "answers counted")
        equal(s.stats()["tags"].get("sender-listed"), 2, "tags counted")
        s.says("by=senders", 2)


@test
def a_yes_of_its_own_is_the_last_word_of_the_message():
    """Who stands behind it and did not hear of MAIL, or of the recipient, is not asked about the rest: libmilter would not answer."""
    for stage, told in (("mail", ""), ("rcpt", "M"), ("none", "MRTLNBE")):
        with FakeMilter() as m, Server(extra=section("yes", argument=stage) + milter_section(m)) as s:
            c = s.client()
            c.hello()
            c.message([ALICE, BOB], TEXT).is_(250)
            c.quit()
            equal("".join(x for x in dict.fromkeys(m.said("MRTLNBE"))), told, "told behind a yes at " + stage)
            equal((len(s.messages(ALICE)), len(s.messages(BOB))), (1, 1), "stored")


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "hang" in self.path:
            time.sleep(3)
        code = 507 if "bob" in self.path else 500 if "carol" in self.path else 200
        self.send_response(code)
        self.end_headers()

    def log_message(self, *args):
        pass


@test
def a_web_service_is_asked_in_the_pool():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with Server(extra=section("quota-web", "quota_http", argument="127.0.0.1:%d" % web.server_port,
                              allow='{"network"}')) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
        c.cmd("RCPT TO:<%s>" % BOB).is_(452, "4.2.2")
        c.cmd("RCPT TO:<carol@example.org>").is_(451, "4.3.0")
        c.quit()
        equal(s.stats()["handlers"]["quota-web"]["failed"], 1, "failures counted")
    web.shutdown()
    web.server_close()


@test
def a_web_service_that_keeps_still_holds_no_thread_for_good():
    silent, over, held = threading.Event(), threading.Event(), []

    class Silent(Web):
        def do_GET(self):
            if silent.is_set():
                held.append(self)
                over.wait(120)
            else:
                super().do_GET()
    silent.set()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with Server(workers=1, extra=section("quota-web", "quota_http", argument="127.0.0.1:%d" % web.server_port,
                                         allow='{"network"}', timeout="500ms")) as s:
        def begin():
            c = s.client()
            c.hello()
            c.cmd("MAIL FROM:<a@client.example>").is_(250)
            c.send(b"RCPT TO:<%s>\r\n" % ALICE.encode())
            return c

        def room():
            c = begin()
            code = c.reply().code
            c.quit()
            return code == 250
        for c in [begin() for _ in range(20)]:      # more than there are threads
            c.reply().is_(451)
            c.quit()
        wait_for(lambda: len(held) >= 16, why="%d questions came" % len(held))
        silent.clear()
        wait_for(room, 40, "no thread asks any more")
    over.set()
    web.shutdown()
    web.server_close()


@test
def a_list_that_cannot_be_read_lets_nobody_pass():
    with Server() as s:
        s.settings["extra"] = section("senders", "reject_sender", argument=FOLDER)
        s.write_config()
        s.signal(signal.SIGHUP)
        s.says("event=reload-refused")
        s.says("reject_sender.so cannot start: Is a directory")


@test
def copies_stand_in_a_folder():
    copies = os.path.join(FOLDER, "copies")
    os.mkdir(copies)
    if os.geteuid() == 0:
        shutil.chown(copies, "nobody", "nogroup")
    with Server(extra=section("copies", "copy_to_folder", argument=copies, allow='{"%s"}' % copies)) as s:
        c = s.client()
        c.hello()
        c.message([ALICE, BOB], TEXT).is_(250)
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
        c.cmd("DATA").is_(354)
        c.send(b"Subject: y\r\n")
        c.close()
        wait_for(lambda: len(os.listdir(copies)) == 2)
        m = s.messages(ALICE)[0]
        with open(os.path.join(copies, m.id + ".eml"), "rb") as f:
            equal(f.read(), TEXT, "the copy")
        with open(os.path.join(copies, m.id + ".json")) as f:
            e = json.load(f)
        equal((e["to"], e["size"], e["with"]), ([ALICE, BOB], len(TEXT), "ESMTP"), "its envelope")


@test
def it_is_given_what_is_said_of_reports():
    """RFC 3461: what was validated, decoded where it is xtext of printable ASCII."""
    with Server(extra=section("trouble") + 'dsn = yes\ndsn_relay = "127.0.0.1:1"\n') as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<dsn@client.example> RET=HDRS ENVID=a+2Bb").is_(250)
        r = c.cmd("RCPT TO:<%s> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@old.example" % ALICE).is_(550, "5.7.1")
        check("ret 2 envid a+b notify 10 orcpt rfc822;x+2By@old.example" in r.text, r.text)
        r = c.cmd("RCPT TO:<%s>" % ALICE).is_(550)
        check("notify 0 orcpt  [" in r.text, r.text)
        c.quit()


@test
def it_adds_a_field_and_a_tag():
    with Server(extra=section("trouble")) as s:
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT, sender="smelly@client.example").is_(250)
        c.quit()
        check(b"\nX-Spam: yes\n\nbody\n" in s.messages(ALICE)[0].raw, "the field is not there")
        equal(s.stats()["tags"], {"smelly": 1}, "tags")
        s.says("tags=smelly")


@test
def one_that_never_answers_is_451_and_counted():
    with Server(extra=section("trouble", timeout="500ms")) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<never@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(451, "4.3.0")
        c.cmd("RSET").is_(250)
        c.cmd("MAIL FROM:<nonsense@client.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(451, "4.3.0")
        c.quit()
        h = s.stats()["handlers"]["trouble"]
        equal((h["timeouts"], h["failed"]), (1, 1), "counted")


@test
def one_that_crashes_takes_one_worker_and_no_message():
    with Server(extra=section("trouble"), workers=1, count=False) as s:
        s.may_die = True
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.cmd("MAIL FROM:<crash@client.example>").is_(250)
        c.send(b"RCPT TO:<%s>\r\n" % ALICE.encode())
        wait_for(lambda: "event=worker-died" in s.log())
        c.close()
        wait_for(lambda: len(s.workers()) == 1)
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        equal(len(s.messages(ALICE)), 2, "messages")


@test
def a_worker_s_end_names_whose_code_it_was_in():
    """Whatever ended it, and in whatever thread; and only whose code it was."""
    ways = {"crash": "signal 6"}
    if not sanitized():         # its own handlers would write a report, and there is no filter of system calls
        ways.update({"segv": "signal 11", "forbidden": "a system call that its sandbox forbids", "exit": "ended with status 0"})
    with Server(extra=section("before", "yes", argument="none") + section("guilty", "trouble") + section("behind", "yes", argument="none"),
                workers=1, count=False) as s:
        s.may_die = True
        for n, way in enumerate([pool + x for pool in ("", "pool-") for x in ways], 1):
            c = s.client()
            c.hello()
            c.message([ALICE], TEXT).is_(250)
            c.cmd("MAIL FROM:<%s@client.example>" % way).is_(250)
            c.send(b"RCPT TO:<%s>\r\n" % ALICE.encode())
            l = s.line("worker-died", n)
            c.close()
            check(ways[way.removeprefix("pool-")] in l["how"], "%s: %s" % (way, l))
            equal(l.get("in"), "guilty", "whose code, after %s: %s" % (way, l))
            s.says("event=worker-ready", n + 1)
        os.kill(s.workers()[0], signal.SIGKILL)         # nobody's code: the slot was handed on without a trace
        equal(s.line("worker-died", n + 1).get("in"), None, "after kill")


@test
def work_in_the_pool_is_named_with_it():
    """Several may stand there: who died in the loop, and who was at work in a thread."""
    with Server(extra=section("thread", "trouble") + section("loop", "trouble"), workers=1, count=False) as s:
        s.may_die = True
        stuck = s.client()
        stuck.hello()
        stuck.cmd("MAIL FROM:<stuck@client.example>").is_(250)
        stuck.send(b"RCPT TO:<%s>\r\n" % ALICE.encode())
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<x@client.example>").is_(250)
        wait_for(lambda: s.stats()["handlers"]["thread"]["running"] == 1, why="no thread is at work")
        equal(s.stats()["handlers"]["loop"]["running"], 0, "at work for the other one")
        os.kill(s.workers()[0], signal.SIGABRT)
        equal(s.line("worker-died").get("in"), "thread", "who was at work")
        wait_for(lambda: s.stats()["handlers"]["thread"]["running"] == 0, why="still at work in a worker that is dead")
        stuck.close()
        c.close()


@test
def many_crashes_lose_nothing_acknowledged():
    """What was answered 250 stands in the mailbox once, whatever the module of its worker did a moment later."""
    with Server(extra=section("trouble"), workers=2, count=False, limits="connections_per_ip = 0") as s:
        s.may_die, over, queued = True, threading.Event(), []

        def sender():
            while not over.is_set():
                try:
                    c = s.client()
                    if c.greeting.code != 220:
                        continue
                    c.hello()
                    for _ in range(10):
                        queued.append(c.message([ALICE], TEXT).is_(250).queued)
                except (Closed, OSError):
                    pass                    # its worker is dead: what was not answered may stand or not
        threads = [threading.Thread(target=sender) for _ in range(6)]
        for t in threads:
            t.start()
        for n in range(1, 7):
            time.sleep(0.2)
            try:
                c = s.client()
                c.hello()
                c.cmd("MAIL FROM:<crash@client.example>").is_(250)
                c.cmd("RCPT TO:<%s>" % ALICE)
            except (Closed, OSError):
                pass
            wait_for(lambda: s.log().count("event=worker-died") >= n, why="no worker died of it")
        over.set()
        for t in threads:
            t.join()
        s.term()                            # the journal is placed
        check(len(queued) > 20, "only %d were acknowledged" % len(queued))
        ids = [m.id for m in s.messages(ALICE)]
        equal(sorted(set(queued) - set(ids)), [], "acknowledged and gone")
        equal(len(ids), len(set(ids)), "messages that stand there, and different ones")


def rcpts(s, sender, n):
    """So many clients that have said RCPT each; nobody has read the reply."""
    clients = []
    for _ in range(n):
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<%s@client.example>" % sender).is_(250)
        c.send(b"RCPT TO:<%s>\r\n" % ALICE.encode())
        clients.append(c)
    return clients


@test
def what_the_pool_has_no_room_for_fails_at_once():
    """1,024 jobs, of which 16 have a thread: all others are told 451, and a session that asks nothing of it notices nothing."""
    queue, more = 1024, 20
    with Server(extra=section("trouble", timeout="5m"), workers=1, limits="connections_per_ip = 0",
                timeouts='command = "5m"') as s:
        clients = rcpts(s, "stuck", queue + more)
        wait_for(lambda: s.stats()["handlers"]["trouble"]["failed"] == more, 30, "not all that were too many have failed")
        for c in clients[-more:]:
            c.reply().is_(451, "4.3.0")
        c = s.client()
        c.hello()
        began = time.monotonic()
        c.message([ALICE], TEXT).is_(250)
        for _ in range(100):
            c.cmd("NOOP").is_(250)
        check(time.monotonic() - began < 5, "others took %.1f s" % (time.monotonic() - began))
        c.quit()
        for c in clients:
            c.vanish()
        wait_for(lambda: s.sessions_open() == 0, 30, "sessions of clients that are gone")
        equal(len(s.messages(ALICE)), 1, "messages")


@test
def jobs_of_clients_that_left_are_not_begun():
    """600 that wait for 16 threads take 19 s; who comes when their clients are gone waits for those alone that have begun."""
    with Server(extra=section("trouble", timeout="8s"), workers=1, limits="connections_per_ip = 0", count=False) as s:
        for c in rcpts(s, "busy", 600):
            c.vanish()
        wait_for(lambda: s.sessions_open() == 0, 5, "sessions of clients that are gone")
        c, = rcpts(s, "busy", 1)
        c.reply().is_(250)
        c.quit()


@test
def how_long_it_took_is_a_histogram():
    with Server(extra=section("trouble")) as s:
        c, = rcpts(s, "busy", 1)
        c.reply().is_(250)
        c.quit()
        text = subprocess.run([os.path.join(BIN, "letterplate-stats"), "-s", s.path("state/stats"), "--prometheus"],
                              capture_output=True, text=True, check=True).stdout
        got = dict(x.rsplit(" ", 1) for x in text.splitlines() if 'handler="trouble"' in x and "handler_seconds" in x)
        took = float(got['letterplate_handler_seconds_sum{handler="trouble"}'])
        check(0.5 <= took < 5, "seconds: %s" % took)
        below = {float(k.split('le="')[1][:-2]): int(v) for k, v in got.items() if "_bucket" in k}
        check(below[max(below)] > 0 and any(v < below[max(below)] for k, v in below.items() if 0.01 < k < 0.5), "buckets: %s" % below)


@test
def a_job_that_never_ends_does_not_keep_the_server():
    with Server(extra=section("trouble", timeout="5m"), timeouts='drain = "1s"', count=False) as s:
        c = s.client()
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        stuck = rcpts(s, "stuck", 3) + rcpts(s, "busy", 1)
        stuck[-1].reply().is_(250)
        began = time.monotonic()
        equal(s.term(), 0, "exit status")
        check(time.monotonic() - began < 10, "it took %.1f s" % (time.monotonic() - began))
        equal(len(s.messages(ALICE)), 1, "messages")
        equal(s.counter("workers_died"), 0, "workers that died")


def from_(c, sender, code):
    c.cmd("MAIL FROM:<%s>" % sender).is_(code)
    c.cmd("RSET").is_(250)


@test
def another_module_is_taken_up_by_hup():
    senders, so = os.path.join(FOLDER, "senders-hup"), os.path.join(FOLDER, "changes.so")
    with open(senders, "w") as f:
        f.write("bad@client.example\n")

    def put(source, text=None):
        """In its place, as a package does: a new file, renamed."""
        if text is not None:
            with open(so + ".new", "w") as f:
                f.write(text)
        else:
            shutil.copy(module(source), so + ".new")
        os.chmod(so + ".new", 0o755)
        os.rename(so + ".new", so)
    put("trouble")
    with Server(extra='handler "changes" { module = "%s" argument = "%s" }\n' % (so, senders)) as s:
        old = s.client()
        old.hello()
        from_(old, "bad@client.example", 250)
        put("reject_sender")
        s.reload()
        c = s.client()
        c.hello()
        from_(c, "bad@client.example", 550)
        from_(old, "bad@client.example", 250)           # the one it began with
        old.message([ALICE], TEXT).is_(250)
        old.quit()
        with open(senders, "w") as f:                   # the module's own file
            f.write("other@client.example\n")
        s.reload()
        from_(c, "bad@client.example", 550)
        c.quit()
        c = s.client()
        c.hello()
        from_(c, "bad@client.example", 250)
        from_(c, "other@client.example", 550)
        put("", "no module")
        s.signal(signal.SIGHUP)
        wait_for(lambda: "cannot be loaded" in s.log(), why="no word of a module that cannot be loaded")
        c.quit()
        c = s.client()
        c.hello()
        from_(c, "other@client.example", 550)           # the one before serves on
        c.quit()


@test
def one_is_built_from_what_is_installed():
    """The header, by pkg-config, out of nothing else of ours."""
    root = scratch("installed.")
    with open(os.path.join(TOP, "build/variant")) as f:
        cc, *sanitize = f.read().strip().split("-")         # make says there what it builds
    subprocess.run(["make", "-C", TOP, "-s", "-o", "all", "install", "DESTDIR=" + root, "CC=" + cc, "SANITIZE=" + ",".join(sanitize)],
                   check=True, capture_output=True, timeout=300)
    env = dict(os.environ, PKG_CONFIG_PATH=root + "/usr/local/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=root)
    cflags = subprocess.run(["pkg-config", "--cflags", "letterplate"], env=env, check=True, capture_output=True, text=True).stdout.split()
    examples = os.path.join(root, "usr/local/share/doc/letterplate/examples/modules")
    equal(sorted(os.listdir(examples)), ["copy_to_folder.c", "quota_http.c", "reject_sender.c"], "examples")
    for source in sorted(os.listdir(examples)):
        so = os.path.join(FOLDER, "built_" + source[:-2] + ".so")
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-fPIC", "-shared", *cflags, "-o", so, os.path.join(examples, source)],
                       cwd=root, check=True, timeout=60)
    senders = os.path.join(FOLDER, "senders-built")
    with open(senders, "w") as f:
        f.write("bad@client.example\n")
    with Server(extra='handler "built" { module = "%s" argument = "%s" }\n' % (os.path.join(FOLDER, "built_reject_sender.so"), senders)) as s:
        c = s.client()
        c.hello()
        from_(c, "bad@client.example", 550)
        from_(c, "good@client.example", 250)
        c.quit()


@test
def a_line_that_is_no_command_is_refused_in_any_case():
    with Server(extra=section("trouble", timeout="1s")) as s:
        c = s.client()
        c.hello()
        c.cmd("XYZZY now").is_(554, "5.7.1")
        for line in "XYZZY", "YES", "BUSY", "NEVER", "NONSENSE":
            c.cmd(line).is_(500, "5.5.2")
        c.cmd("NOOP").is_(250)
        c.quit()
        h = s.stats()["handlers"]["trouble"]
        equal([h[k] for k in ("asked", "refused", "accepted", "timeouts", "failed")], [6, 1, 1, 1, 1], "counted: %s" % h)


@test
def what_cannot_be_loaded_is_told():
    s = Server(start=False, extra=section("old"))
    r = conf_test(s)
    equal(r.returncode, 78, r.stderr)
    check("interface number 1, this letterplate has 4" in r.stderr, r.stderr)
    so = os.path.join(FOLDER, "empty.so")
    with open(so, "w") as f:
        f.write("no module")
    os.chmod(so, 0o644)
    s.settings["extra"] = 'handler "x" { module = "%s" }' % so
    s.write_config()
    r = conf_test(s)
    equal(r.returncode, 78, r.stderr)
    check("cannot be loaded" in r.stderr, r.stderr)
    os.chmod(so, 0o666)
    r = conf_test(s)
    equal(r.returncode, 78, r.stderr)
    check("can be written by others" in r.stderr, r.stderr)
    for path, word in ("/nonexistent", "does not exist"), (so, "is not a folder"):
        s.settings["extra"] = section("senders", "reject_sender", allow='{"network", "%s"}' % path)
        s.write_config()
        r = conf_test(s)
        equal(r.returncode, 78, r.stderr)
        check('handler "senders": what it is allowed, "%s" %s' % (path, word) in r.stderr, r.stderr)


@test
def one_that_hangs_while_it_is_loaded_holds_nobody_up_for_long():
    with Server() as s:
        s.may_die = True
        s.settings["extra"] = section("hangs") + section("hangs2", "hangs")
        s.write_config()
        began = time.monotonic()
        r = conf_test(s)
        equal(r.returncode, 78, r.stderr)
        equal(len(re.findall(r'handler "hangs2?": ".*/hangs.so" is not loaded within', r.stderr)), 2, r.stderr)
        check(time.monotonic() - began < 20, "took %.1f s" % (time.monotonic() - began))
        s.signal(signal.SIGHUP)
        wait_for(lambda: "event=reload " in s.log())
        victim = s.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: "event=reload-refused" in s.log(), why=lambda: s.log()[-2000:])
        wait_for(lambda: len(s.workers()) == 2 and victim not in s.workers(), why="not replaced")
        wait_for(lambda: not [p for p in s.processes() if cmdline(p).startswith(b"letterplate-worker\0-m")], why="loaders are left")
        equal(s.ctl("status").returncode, 0, "status")


def cmdline(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
