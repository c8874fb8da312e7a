"""pages: the fenced blocks of a page in docs/, and how they are run, in their order, on one machine.

What a fence says behind its language:

    run [status=N] [for=SECONDS]   commands of a shell, that end with status N (0); FOR: that are ended after so long
    file=PATH [mode=755]           a file, as it stands
    append=PATH                    lines at the end of a file
    zone=NAME                      a zone of the DNS
    output                         what the block before has printed, line by line in this order; "…" is anything
    shown: REASON                  an illustration; why it is not run
"""
import os
import re

from harness import TOP, check, equal, sanitized

FENCE = re.compile(r"^```(\S*) ?(.*)$")
VERBS = ("run", "file", "append", "zone", "output", "shown")


class Block:
    def __init__(self, page, line, language, mark):
        self.where = "%s:%d" % (page, line)
        self.language, self.mark, self.lines = language, mark, []
        self.words = dict(w.partition("=")[::2] for w in mark.split(":")[0].split())
        self.verb = next((v for v in VERBS if v in self.words), None)

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    def mistake(self):
        """What is wrong with its mark, or None."""
        if self.verb is None:
            return "a block that no test runs; mark it"
        if self.verb == "shown":
            reason = self.mark.partition(":")[2].strip()
            return None if len(reason) > 10 and self.mark.startswith("shown:") else "an illustration without a reason"
        allowed = {"run": {"run", "status", "for"}, "file": {"file", "mode"}}.get(self.verb, {self.verb})
        return "the mark \"%s\" is not known" % self.mark if set(self.words) - allowed else None


def blocks(page):
    """The fenced blocks of docs/PAGE; one that is indented instead is a mistake."""
    found, block, fenced = [], None, False
    with open(os.path.join(TOP, page), encoding="utf-8") as f:
        lines = f.read().split("\n")
    for n, line in enumerate(lines, 1):
        m = FENCE.match(line)
        if m and not fenced:
            block, fenced = Block(page, n, *m.groups()), True
        elif fenced and line == "```":
            found.append(block)
            fenced = False
        elif fenced:
            block.lines.append(line)
        elif re.match(r"^(    |\t)", line) and not re.match(r"^\s*(- |\d+\. )", line) and lines[n - 2].strip() == "":
            bad = Block(page, n, "", "")
            bad.lines.append(line.strip())
            found.append(bad)
    check(not fenced, "%s: a block is never closed" % page)
    return found


class Reader:
    """Who does what a page says."""

    def __init__(self, machine):
        self.machine, self.printed, self.ran = machine, "", 0
        self.zones = {}

    def follow(self, page):
        for b in blocks(page):
            check(not b.mistake(), "%s: %s: %s" % (b.where, b.mistake(), b.text[:200]))
            getattr(self, "do_" + b.verb)(b)
        check(self.ran > 0, "%s: nothing was run" % page)

    def do_shown(self, b):
        pass

    def do_file(self, b):
        self.machine.write(b.words["file"], b.text, int(b.words.get("mode", "644"), 8))

    def do_append(self, b):
        self.machine.write(b.words["append"], b.text, append=True)

    def do_run(self, b):
        text, status = b.text, int(b.words.get("status", "0"))
        if "for" in b.words:
            self.machine.write(self.machine.top + "/block", text)
            # 137: it had to be killed, which a sanitizer's own end may ask for.
            text = "timeout -s INT -k 20 %s bash -euo pipefail %s/block || s=$?; [ ${s:-0} = 0 ] || [ $s = 124 ] || [ $s = %d ]" % (
                b.words["for"], self.machine.top, 137 if sanitized() else 124)
            status = 0
        r = self.machine.run(text)
        self.printed = r.stdout
        self.ran += 1
        equal(r.returncode, status, "%s: status of\n%s%s" % (b.where, b.text, r.stdout[-3000:]))

    def do_output(self, b):
        at = 0
        for line in b.lines:
            m = re.compile("^" + ".*".join(re.escape(part) for part in line.split("…")) + r"\s*$", re.M).search(self.printed, at)
            check(m, "%s: no line \"%s\" in:\n%s" % (b.where, line, self.printed[-3000:]))
            at = m.end()

    def do_zone(self, b):
        """Served by unbound at 127.0.0.1:53, which the machine asks."""
        m, name = self.machine, b.words["zone"]
        m.write("/var/lib/unbound/%s.zone" % name, b.text)
        self.zones[name] = "auth-zone:\n  name: \"%s\"\n  zonefile: \"/var/lib/unbound/%s.zone\"\n  for-downstream: yes\n" % (name, name)
        m.write("/etc/unbound/page.conf", "server:\n  interface: 127.0.0.1\n  do-daemonize: no\n  use-syslog: no\n  chroot: \"\"\n  username: \"\"\n"
                "  pidfile: \"\"\n  module-config: \"iterator\"\n  do-ip6: no\n  local-zone: \"in-addr.arpa.\" nodefault\n"
                "  local-zone: \"2.0.192.in-addr.arpa.\" nodefault\n  local-zone: \"8.b.d.0.1.0.0.2.ip6.arpa.\" nodefault\n" + "".join(self.zones.values()))
        m.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
        m.do("unbound-checkconf /etc/unbound/page.conf\n[ ! -e /run/unbound.pid ] || kill $(cat /run/unbound.pid)\n"
             "setsid unbound -c /etc/unbound/page.conf </dev/null >/run/unbound.log 2>&1 &\necho $! >/run/unbound.pid; sleep 0.5\n"
             "! grep -iE 'error|fatal' /run/unbound.log")
