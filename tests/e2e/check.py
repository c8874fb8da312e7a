#!/usr/bin/env -S python3 -B
"""check: letterplate-mailboxes check tells what a sender would hear, by the server's own chain, while it runs and while it doesn't."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemilter import CONTINUE, DISCARD, FakeMilter, packet
from harness import BIN, TOP, check, equal, main, scratch, test
import milterserver
from policy import Policy
from server import Server, free_port
from tls import certificate, section

ALICE, BOB = "alice@example.org", "bob@example.org"


def ask(s, *args, stdin=b"", status=0, ip="192.0.2.7"):
    p = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "check", "-c", s.path("letterplate.conf"), "--ip", ip,
                        *args], input=stdin, capture_output=True, timeout=60)
    text = p.stdout.decode() + p.stderr.decode()
    equal(p.returncode, status, "exit status of\n" + text)
    return text


def stored(s):
    return sum(len(f) for d, _, f in os.walk(s.store_path) if os.path.basename(d) in ("new", "cur", "tmp"))


@test
def built_in_answers_beside_a_running_server():
    with Server(extra='networks { reject = {"198.51.100.0/24"} }\n') as s:
        before = s.stats()["counters"]["sessions_total"]
        text = ask(s, "--helo", "c.example", "--from", "a@c.example", "--to", ALICE)
        check("recipients" in text and "no objection" in text and " ms" in text, "handlers are not named:\n" + text)
        check("< 250 2.0.0" in text.splitlines()[-1], "the last word:\n" + text)
        text = ask(s, "--to", "nobody@example.org", status=1)
        check("recipients" in text and "refuses: 550 no-such-mailbox" in text and "< 550 5.1.1" in text, text)
        text = ask(s, "--to", ALICE, ip="198.51.100.9", status=1)
        check("networks" in text and "< 554 5.7.1" in text, text)
        text = ask(s, "--to", ALICE, "--to", "nobody@example.org", "-", stdin=b"Subject: x\n\n.\n..x\n" * 9000, status=1)
        check("< 250 2.0.0" in text.splitlines()[-1], text)
        equal(stored(s), 0, "files in the store")
        equal(s.stats()["counters"]["sessions_total"], before, "sessions counted by the server")


@test
def without_a_server():
    with Server(start=False) as s:
        s.write_config()
        check("< 250 2.0.0" in ask(s, "--to", ALICE), "not taken")
        equal(stored(s), 0, "files in the store")


@test
def a_policy_server_is_asked():
    seen = []

    def answer(r, _):
        seen.append((r["client_address"], r["helo_name"], r["sender"], r["recipient"]))
        return "DEFER_IF_PERMIT come back" if r["recipient"] == BOB else "DUNNO"
    p = Policy(answer)
    with Server(start=False) as s:
        s.settings["extra"] = p.section("grey")
        s.write_config()
        ask(s, "--helo", "c.example", "--from", "a@c.example", "--to", ALICE, ip="2001:db8::7")
        equal(seen, [("2001:db8::7", "c.example", "a@c.example", ALICE)], "what it was asked")
        text = ask(s, "--to", BOB, status=75)
        check("grey" in text and "come back" in text, text)
        p.close()
        text = ask(s, "--to", ALICE, status=75)
        check("grey" in text and "failed" in text and "< 451 4.3.0" in text, text)


@test
def a_module_is_asked_and_its_edits_are_carried_out():
    folder = scratch("check.")
    os.chmod(folder, 0o755)
    so = shutil.copy(os.path.join(TOP, "build", "modules", "trouble.so"), folder)
    os.chmod(so, 0o755)
    with Server(start=False) as s:
        s.settings["extra"] = 'handler "trouble" { module = "%s" timeout = "200ms" }\n' % so
        s.write_config()
        text = ask(s, "--from", "smelly@c.example", "--to", ALICE)
        check("trouble" in text and "< 250 2.0.0" in text.splitlines()[-1], text)
        text = ask(s, "--from", "never@c.example", "--to", ALICE, status=75)
        check("trouble" in text and "no answer in time" in text and "< 451 4.3.0" in text, text)
        text = ask(s, "--from", "crash@c.example", "--to", ALICE, status=70)
        check("did not come to an end" in text, text)
        equal(stored(s), 0, "files in the store")


def lines(text, word):
    """What stands behind the handler's name and time in its lines, or behind the WORD."""
    return [re.sub(r"^ *[0-9.]+ ms +", "", x.split(word, 1)[1].strip()) for x in text.splitlines() if re.match(r"  \S+ +%s\b|  %s\b" % (word, word), x)]


@test
def a_whole_chain_is_told_in_full():
    """A milter, a policy server, quota, passwords: who said what, what became of the message, and why somebody could not be asked."""
    policy = Policy(lambda r, _: "DEFER_IF_PERMIT come back" if r["sender"] == "new@c.example" else "PREPEND X-Greylist: passed")
    folder = scratch("check.")
    credentials = os.path.join(folder, "credentials")
    subprocess.run([os.path.join(BIN, "letterplate-credentials"), "-f", credentials, "import"], input="anna sesame\n", text=True, check=True)
    edits = [packet("h", b"X-Spam\0no\0"), packet("b", b"another\r\n"), packet("q", b"odd\0"), CONTINUE]
    with FakeMilter(on={"E": edits}) as m, Server("alice@example.org\nbob@example.org quota=1KiB\n", start=False, listener=(
            'listener "mx" { address = {"127.0.0.1:%d"} tls = "starttls" auth = "optional" }' % free_port())) as s:
        s.settings["extra"] = "\n".join([section(certificate("mx.test.example", "ec", ["mx.test.example"])), 'credentials = "%s"' % credentials,
                                         'quota { when_full = "defer" }', policy.section("grey"), milterserver.section(m)])
        s.write_config()
        big = os.path.join(folder, "mail")
        with open(big, "w") as f:
            f.write("Subject: x\n\n" + "line\n" * 400)
        text = ask(s, "--from", "a@c.example", "--to", ALICE, big)
        check("> MAIL FROM:<a@c.example> SIZE=2414\n" in text, text)
        equal(lines(text, "edited"), ["inserted at 1 X-Greylist: passed", "added X-Spam: no", "another body"], text)
        equal(lines(text, "stored"), [ALICE + " in example.org/alice, folder Quarantine"], text)
        text = ask(s, "--from", "a@c.example", "--to", BOB, "-", stdin=open(big, "rb").read(), status=75)
        equal(lines(text, "quota")[-1], "defers: 452 over-quota", text)
        text = ask(s, "--from", "new@c.example", "--to", ALICE, status=75)
        equal(lines(text, "grey")[-2:], ["no objection", "defers: 450 policy-defer-if-permit"], text)
        m.on["E"] = DISCARD
        text = ask(s, "--to", ALICE)
        equal((lines(text, "fake")[-1], lines(text, "stored")), ("discards", []), text)
        m.on["E"] = packet("?")
        text = ask(s, "--to", ALICE, status=75)
        check(lines(text, "fake")[-1].startswith("failed: 451") and "event=milter-failed" in text and "reason=unknown-answer" in text, text)
        equal(stored(s), 0, "files in the store")


@test
def its_log_is_on_standard_error():
    """Wherever the server's goes: standard output is for what was answered."""
    p = Policy()
    p.close()
    for to in "stderr", "file:/nonexistent/log", "journal":
        with Server(start=False, log='to = "%s"' % to) as s:
            s.settings["extra"] = p.section("grey")
            s.write_config()
            r = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "check", "-c", s.path("letterplate.conf"), "--ip", "192.0.2.7",
                                "--to", ALICE], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            check("event=" not in r.stdout and "PRIORITY" not in r.stdout, "%s: standard output: %s" % (to, r.stdout))
            check("event=handler" in r.stderr and "Connection refused" in r.stderr, "%s: standard error: %s" % (to, r.stderr))


@test
def what_cannot_be_asked():
    with Server(start=False) as s:
        s.write_config()
        said = ask(s, "--to", ALICE, ip="example.org", status=64)
        check("--ip example.org is no IP address" in said and "did not come" not in said and len(said.splitlines()) == 1, said)
        check("control character" in ask(s, "--to", "a\r\nQUIT", status=64), "a line of one's own")
        check("no such listener" in ask(s, "--listener", "other", "--to", ALICE, status=64), "a listener")
        check("/nonexistent" in ask(s, "--to", ALICE, "/nonexistent", status=66), "a file")
        with open(s.path("letterplate.conf"), "a") as f:
            f.write("nonsense\n")
        check("letterplate.conf:" in ask(s, "--to", ALICE, status=78), "a config")


main()
