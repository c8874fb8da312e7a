#!/usr/bin/env -S python3 -B
"""stats_serve: letterplate-stats serve over a live server's segment; the page in a real browser; dashboard and alert rules."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, TOP, Skip, check, equal, main, sanitized, scratch, test
from server import Server, free_port, wait_for

TOOL = os.path.join(BIN, "letterplate-stats")


def listens(p, port):
    check(p.poll() is None, "it ended: %s" % (p.stderr.read() if p.poll() is not None else ""))
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Serving:
    def __init__(self, path):
        self.port = free_port()
        self.p = subprocess.Popen([TOOL, "serve", "-s", path, "--listen", "127.0.0.1:%d" % self.port], stderr=subprocess.PIPE)

    def __enter__(self):
        wait_for(lambda: listens(self.p, self.port), 20, "it does not listen")
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGTERM)
        try:
            status = self.p.wait(20)
        finally:
            self.p.kill()
        equal(status, 0, "status after TERM")

    def ask(self, path, method="GET", body=None, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request(method, path, body)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, data


def talk(s, n=1):
    c = s.client()
    c.hello()
    for _ in range(n):
        c.message("alice@example.org", b"Subject: x\r\n\r\nx\r\n").is_(250)
    c.cmd("MAIL FROM:<>").is_(250)
    c.cmd("RCPT TO:<nobody@example.org>").is_(550)
    c.quit()


@test
def the_three_answers():
    with Server() as s, Serving(s.path("state")) as w:
        talk(s, 2)
        code, head, data = w.ask("/metrics")
        equal((code, head["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"), "/metrics")
        r = subprocess.run([TOOL, "-s", s.path("state"), "--prometheus"], capture_output=True, check=True)
        equal(re.findall(rb"^letterplate_[a-z_]+", data, re.M), re.findall(rb"^letterplate_[a-z_]+", r.stdout, re.M), "names")
        check(b'letterplate_replies_total{code="550"} 1\n' in data, "no 550")
        if shutil.which("promtool"):
            p = subprocess.run(["promtool", "check", "metrics"], input=data, capture_output=True)
            check(p.returncode in (0, 3), p.stderr)      # 3: only matters of taste
        code, head, data = w.ask("/stats.json")
        equal((code, head["content-type"]), (200, "application/json"), "/stats.json")
        equal(json.loads(data)["messages"], 2, "messages")
        for path, kind in ("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/uplot.js", "text/javascript"):
            code, head, data = w.ask(path)
            check(code == 200 and head["content-type"].startswith(kind) and len(data) > 500, path)
            csp = head["content-security-policy"]
            check("default-src 'none'" in csp and "http" not in csp and "unsafe" not in csp, csp)
            if path != "/uplot.js":
                check(not re.search(rb"(src|href)=\"(https?:)?//|@import|url\(", data), "%s loads from elsewhere" % path)


@test
def nothing_but_get():
    with Server() as s, Serving(s.path("state")) as w:
        for method in "POST", "PUT", "DELETE", "OPTIONS":
            code, head, _ = w.ask("/stats.json", method, b"x" * 100000)
            equal((code, head.get("allow")), (405, "GET, HEAD"), method)
        code, head, data = w.ask("/metrics", "HEAD")
        equal((code, data), (200, b""), "HEAD")
        for path in "/none", "/../etc/passwd", "//metrics", "/metrics/":
            equal(w.ask(path)[0], 404, path)
        for junk in b"\0" * 100, b"GET / HTTP/1.1\r\nX: " + b"a" * 100000, b"nonsense\r\n\r\n":
            with socket.create_connection(("127.0.0.1", w.port), 1) as c:
                try:
                    c.sendall(junk)
                    c.recv(100)
                except OSError:
                    pass
        equal(w.ask("/metrics")[0], 200, "after junk")


@test
def idle_connections_are_bounded():
    with Server() as s, Serving(s.path("state")) as w:
        idle = [socket.create_connection(("127.0.0.1", w.port), 10) for _ in range(90)]
        time.sleep(0.3)
        n = len(os.listdir("/proc/%d/fd" % w.p.pid))
        check(n < 85, "%d descriptors" % n)

        def answers():
            try:
                return w.ask("/metrics", timeout=15)[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        wait_for(answers, 30, "never answers again", step=0.5)
        for c in idle:
            c.close()


@test
def a_segment_that_is_not_there():
    d = scratch()
    with Serving(d) as w:
        code, _, data = w.ask("/metrics")
        equal(code, 503, "/metrics")
        check(d.encode() not in data, "the path is told")
        code, _, data = w.ask("/stats.json")
        equal((code, "error" in json.loads(data)), (503, True), "/stats.json")
        with Server() as s:
            os.link(s.path("state/stats"), d + "/stats")
            equal(w.ask("/metrics")[0], 200, "when it is there")


@test
def it_can_do_no_more_than_it_needs():
    if sanitized():
        raise Skip("a sanitizer's own calls are not confined")
    d = scratch()
    with Server() as s, Serving(d) as w:
        w.ask("/metrics")
        for task in os.listdir("/proc/%d/task" % w.p.pid):
            with open("/proc/%d/task/%s/status" % (w.p.pid, task)) as f:
                text = f.read()
            check(re.search(r"^Seccomp:\t2$", text, re.M) and re.search(r"^NoNewPrivs:\t1$", text, re.M), "thread %s: %s" % (task, text))
        # Landlock: what its folder leads to is not its folder.
        os.symlink(s.path("state/stats"), d + "/stats")
        equal(w.ask("/metrics")[0], 503, "a file outside of its folder")
        os.unlink(d + "/stats")
        os.link(s.path("state/stats"), d + "/stats")
        equal(w.ask("/metrics")[0], 200, "one inside")
        code, _, data = w.ask("/stats.json")
        equal((code, [x["alive"] for x in json.loads(data)["workers"]]), (200, [True, True]), "who lives is seen")


@test
def another_folder_by_the_same_name():
    # As systemd makes one for each start: the rule that confines it is for the one that was there.
    d = os.path.join(scratch(), "run")
    os.mkdir(d)
    port = free_port()
    p = subprocess.Popen([TOOL, "serve", "-s", d, "--listen", "127.0.0.1:%d" % port], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: listens(p, port), 20, "it does not listen")
        os.rmdir(d)
        time.sleep(1.2)
        equal(p.poll(), None, "while there is none")
        os.mkdir(d + ".new")
        os.rename(d + ".new", d)
        equal(p.wait(10), 75, "status")
        check("to be started again" in p.stderr.read(), "what it says")
    finally:
        p.kill()
    r = subprocess.run([TOOL, "serve", "-s", d + "/none/stats", "--listen", "127.0.0.1:%d" % free_port()], capture_output=True, text=True, timeout=20)
    equal(r.returncode, 66, r.stderr)


@test
def mistakes():
    for args, why in ((["-s"], "requires an argument"), ([], "-s FILE is missing"), (["-s", "x", "y"], "operand"),
                      (["-s", "x", "--listen", "localhost:1"], "--listen takes"), (["-s", "x", "--listen", "1.2.3.4:0"], "--listen takes"),
                      (["-s", "x", "--listen", "::1:80"], "--listen takes"), (["-s", "x", "--listen", "[::1"], "--listen takes")):
        r = subprocess.run([TOOL, "serve", *args], capture_output=True, text=True, timeout=20)
        equal(r.returncode, 64, str(args))
        check(why in r.stderr, r.stderr)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        r = subprocess.run([TOOL, "serve", "-s", "x", "--listen", "127.0.0.1:%d" % taken.getsockname()[1]], capture_output=True, text=True,
                           timeout=20)
        equal(r.returncode, 69, "a taken port: " + r.stderr)


@test
def the_page_in_a_browser():
    chromium = shutil.which("chromium")
    if not chromium:
        raise Skip("no chromium")
    home = scratch()
    with Server() as s, Serving(s.path("state")) as w:
        done = threading.Event()

        def mail():
            while not done.is_set():
                talk(s)
                time.sleep(0.1)
        t = threading.Thread(target=mail)
        t.start()
        try:
            r = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                "--user-data-dir=" + home, "--enable-logging=stderr", "--v=0", "--window-size=1400,1200",
                                "--virtual-time-budget=9000", "--dump-dom", "http://127.0.0.1:%d/" % w.port],
                               capture_output=True, text=True, timeout=100, env=dict(os.environ, HOME=home))
        finally:
            done.set()
            t.join()
        dom = r.stdout
        console = [x for x in r.stderr.splitlines() if "CONSOLE" in x]
        equal(console, [], "what the browser complains of")
        m = re.search(r'data-points="(\d+)"', dom)
        check(m and int(m.group(1)) >= 2, "no points: %s %s" % (dom[:2000], r.stderr[-500:]))
        equal(dom.count("<canvas"), 8, "charts")
        for text in "running, version", "no-such-mailbox", "550", "99 in 100 answer within", "since the start", "<td>recipients</td>":
            check(text in dom, "no '%s' in the page" % text)


def names_of(text):
    return set(re.findall(r"\bletterplate_[a-z0-9_]+", text))


@test
def dashboard_and_alerts_name_what_there_is():
    with Server() as s:
        r = subprocess.run([TOOL, "-s", s.path("state"), "--prometheus"], capture_output=True, text=True, check=True)
    there = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", r.stdout, re.M):
        there |= {name + x for x in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    for file in "grafana.json", "prometheus-alerts.yml":
        with open(os.path.join(TOP, "contrib", file)) as f:
            text = f.read()
        named = names_of(text)
        check(len(named) > 10, "%s names only %s" % (file, named))
        equal(named - there, set(), "names in contrib/%s that are no metrics" % file)
    with open(os.path.join(TOP, "contrib/grafana.json")) as f:
        board = json.load(f)
    check(len(board["panels"]) >= 10 and len({p["id"] for p in board["panels"]}) == len(board["panels"]), "panels")


@test
def alert_rules_are_valid():
    if not shutil.which("promtool"):
        raise Skip("no promtool")
    r = subprocess.run(["promtool", "check", "rules", os.path.join(TOP, "contrib/prometheus-alerts.yml")], capture_output=True, text=True)
    check(r.returncode == 0 and "13 rules found" in r.stdout, r.stdout + r.stderr)


main()
