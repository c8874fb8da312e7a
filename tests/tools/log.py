#!/usr/bin/env -S python3 -B
"""log: letterplate-log explain, on logs of a live server and on such as nobody should have."""
import gzip
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, check, equal, main, scratch, test
from server import Server

TOOL = os.path.join(BIN, "letterplate-log")
TEXT = b"Subject: x\r\n\r\nbody\r\n"
WHEN = "time=2026-11-24T20:00:0%d.000000Z level=info who=worker slot=1 "


def run(*args, text=b"", env=None):
    r = subprocess.run([TOOL, *args], input=text, capture_output=True, timeout=60, env=env)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def story(id, *files, text=b""):
    code, out, err = run("explain", id, *files, text=text)
    equal((code, err), (0, ""), "explain %s" % id)
    return out


def flat(text):
    return " ".join(text.split())


def has(text, *words):
    for w in words:
        check(w in flat(text), "no '%s' in:\n%s" % (w, text))


def served(fmt):
    """Two sessions beside each other: (log, session's id, message's id, the other's id)."""
    with Server(log='format = "%s" level = "debug"' % fmt) as s:
        a, b = s.client(), s.client()
        b.hello("other.example")
        other = b.cmd("MAIL FROM:<x>").session
        a.hello("esc.example")
        queued = a.message(["alice@example.org", "bob@example.org"], TEXT).is_(250).queued
        a.cmd("MAIL FROM:<a@b.example>").is_(250)
        session = a.cmd("RCPT TO:<old@example.org>").is_(550).session
        a.cmd("RCPT TO:<moving@example.org>").is_(450)
        a.quit()
        b.vanish()
        s.stop()
        return s.log(), session, queued, other


def tells_all(fmt):
    log, session, queued, other = served(fmt)
    raw = log.encode()
    out = story(session, text=raw)
    has(out, "Session " + session, "127.0.0.1 port", 'listener "mx"', "It called itself esc.example.", "It was not encrypted.",
        "Message %s from <sender@client.example> was accepted: 250 2.0.0." % queued, "stored in 2 mailboxes",
        "alice@example.org,bob@example.org",
        'Recipient <old@example.org> was refused: 550 5.1.6 "moved to new@example.org".',
        'It was the handler "recipients" that said so.', "Reason listed-reject: the mailbox list refuses mail to it",
        'Recipient <moving@example.org> was put off: 450 4.2.1', "2 recipients had been refused.", "The client said QUIT",
        "1 message taken")
    check("other.example" not in out and other not in out, "another session's line:\n" + out)
    # The message's id leads to the same session, as does a whole reply.
    of_message = story("250 2.0.0 queued as " + queued, text=raw)
    has(of_message, "Message %s, in session %s" % (queued, session))
    equal(of_message.splitlines()[1:], out.splitlines()[1:], "the story by the message's id")
    equal(story("550 5.1.6 moved to new@example.org [%s]" % session, text=raw), out, "the story by a reply")
    has(story(other, text=raw), "The client went away without QUIT")
    return raw, session, queued, out


@test
def logfmt_is_told():
    tells_all("logfmt")


@test
def json_is_told():
    tells_all("json")


@test
def what_became_of_the_mail():
    """Thrown away, put into a folder, or not taken: by whom, and why."""
    line = (WHEN % 1) + "event=transaction id=aaaa1111 session=abcd1234 remote=192.0.2.1 listener=mx result=%s from=x@y.example nrcpt=1 to=a@b.example %s\n"
    has(story("aaaa1111", text=(line % ("discarded", "by=grey code=250 enhanced=2.0.0")).encode()),
        'was taken, 250 2.0.0, and thrown away, as the handler "grey" wanted')
    has(story("aaaa1111", text=(line % ("accepted", 'folder=Quarantine folder_by=rspamd folder_reason="looks odd" code=250')).encode()),
        'It was put into the folder "Quarantine", as the handler "rspamd" wanted: looks odd.')
    has(story("aaaa1111", text=(line % ("accepted", "folder=Junk folder_by=m code=250")).encode()),
        'It was put into the folder "Junk", as the handler "m" wanted.')
    failed = (WHEN % 1) + "event=edits-failed session=abcd1234 id=aaaa1111 reason=added-recipient-unknown by=b to=z@y.example\n"
    has(story("abcd1234", text=failed.encode()),
        'What the handler "b" wanted changed in message aaaa1111 could not be carried out: the recipient <z@y.example> it added is none of ours.')


@test
def files_rotated_and_compressed():
    raw, session, queued, out = tells_all("logfmt")
    d = scratch()
    lines = raw.splitlines(True)
    cut = next(i for i, x in enumerate(lines) if session.encode() in x) + 1
    with open(d + "/mail.log", "wb") as f:
        f.writelines(lines[cut:])
    with gzip.open(d + "/mail.log.1.gz", "wb") as f:
        f.writelines(lines[:cut])
    with open(d + "/syslog", "wb") as f:
        f.writelines(b"Nov 24 20:00:00 mx letterplate[12]: " + x for x in lines)
    equal(story(queued, d + "/mail.log", d + "/mail.log.1.gz").splitlines()[1:], out.splitlines()[1:], "from two files")
    equal(story(session, d + "/syslog"), out, "behind what a syslog daemon writes")
    equal(story(session, d + "/syslog", d + "/mail.log", d + "/mail.log.1.gz"), out, "lines that were read twice")
    only_new = story(session, d + "/mail.log")
    check("was accepted" not in only_new, only_new)
    has(only_new, "Its end speaks of 1 message; lines of only 0 are here")
    with open(d + "/cut.gz", "wb") as f, open(d + "/mail.log.1.gz", "rb") as g:
        f.write(g.read()[:-20])
    code, _, err = run("explain", session, d + "/cut.gz", d + "/mail.log")
    equal(code, 0, "a compressed file without its end: " + err)
    equal(err, "letterplate-log: %s/cut.gz: ends before its end\n" % d, "said once")
    code, _, err = run("explain", "abcd1234", d + "/cut.gz", d + "/mail.log")
    equal(code, 65, "what may stand in the part that is missing: " + err)
    equal(err.count("ends before its end"), 1, "said once: " + err)


@test
def the_journal_by_journalctl():
    d = scratch()
    with open(d + "/journalctl", "w") as f:
        f.write("#!/bin/sh\necho \"$@\" >%s/args\necho '%s'\nexit ${JSTATUS:-0}\n"
                % (d, WHEN % 1 + "event=session session=abcd1234 listener=mx end=lost messages=0 ms=1.000"))
    os.chmod(d + "/journalctl", 0o755)
    env = dict(os.environ, PATH=d + ":" + os.environ["PATH"])
    code, out, err = run("explain", "-u", "mx1", "abcd1234", env=env)
    equal((code, err), (0, ""), "explain -u")
    has(out, "The client went away")
    with open(d + "/args") as f:
        check("-o cat -u mx1" in f.read(), "journalctl's arguments")
    code, _, err = run("explain", "-j", "abcd1234", env=dict(env, JSTATUS="1"))
    equal(code, 69, "journalctl failed: " + err)
    check("journalctl" in err, err)


@test
def what_is_missing_is_said():
    session = WHEN % 5 + "event=session session=abcd1234 remote=192.0.2.1 listener=mx end=quit messages=0 replies=3 ms=4000.000\n"
    refusal = WHEN % 2 + 'event=refusal session=abcd1234 remote=192.0.2.1 listener=mx code=550 reason=x text="no" cut=yes\n'
    out = story("abcd1234", text=refusal.encode())
    has(out, "How it ended does not stand in this log", "This line is cut in the log")
    out = story("abcd1234", text=(session + refusal).encode())
    check("does not stand" not in out, out)
    check(out.index("192.0.2.1 came") < out.index("was refused") < out.index("QUIT"), "the order:\n" + out)
    has(out, "20:00:01.000 192.0.2.1")          # its end less its length
    dropped = WHEN % 3 + "event=log-dropped n=7\n"
    elsewhere = dropped.replace("slot=1", "slot=2")
    has(story("abcd1234", text=(session + dropped + refusal).encode()), "The log lost 7 lines of this worker here")
    check("lost" not in story("abcd1234", text=(session + elsewhere + refusal).encode()), "another worker's gap")
    died = 'time=2026-11-24T20:00:03.000000Z level=error who=master event=worker-died slot=1 pid=1 generation=1 how="signal 9"\n'
    has(story("abcd1234", text=(refusal + died).encode()), "Its worker died (signal 9): the session")
    has(story("abcd1234", text=(refusal + died[:-1] + " in=spam,av\n").encode()), "Its worker died (signal 9) in the code of spam,av: the session")


@test
def an_id_that_is_not_there():
    text = (WHEN % 1 + "event=session session=abcd1234 end=quit ms=1.000\n").encode()
    code, out, err = run("explain", "dc2v9t5l1ro01n28", text=text)
    equal((code, out), (1, ""), "status and output")
    check("stands in none of the 1 lines" in err and "2026-11-24T20:35:00 UTC: not in this log's time" in err, err)
    code, out, err = run("explain", "dc2v9t5l1ro01n28", text=b"root:x:0:0\n")
    check(code == 1 and "none is of Letterplate's log" in err, err)


@test
def hostile_lines():
    """No octet of a log reaches a terminal that acts on it; nothing makes the tool fall."""
    evil = "\x1b]0;x\x07\x9b31m\u202e\x7f"
    line = WHEN % 1 + 'event=refusal session=abcd1234 helo="%s" to="%s" code=550 text="%s" reason=%s\n' % ((evil,) * 4)
    j = '{"time":"2026-11-24T20:00:01.000000Z","event":"odd","session":"abcd1234","x":"\\u001b[2J\\u202e","y":1e300,"z":[1],"w":null}\n'
    for text in line, j:
        out = story("abcd1234", text=text.encode("utf-8", "surrogateescape"))
        bad = [c for c in out if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or c == "\u202e"]
        equal(bad, [], "what reached the terminal")
        has(out, r"\x1b")
    junk = [b"time=", b"time=x event", b"time=1 event=" + b"a" * 100000, b'{"time":', b'{"time":"x","event":{}}', b"\0\0abcd1234",
            b'time=1 event=x session=abcd1234 "', b'time=1 event=x session=abcd1234 t="un', b'time=1 event=x session=abcd1234 t="\\',
            b"time=9999999999999-1 event=session session=abcd1234 ms=1e999 messages=99999999999999999999",
            b" ".join(b"k%c=1" % c for c in range(97, 123)) * 20]
    run_ok = run("explain", "abcd1234", text=b"\n".join(junk) + b"\n" + line.encode())
    check(run_ok[0] == 0, "junk: %s" % (run_ok,))
    for t in junk:
        code, _, err = run("explain", "abcd1234", text=t)
        check(code in (0, 1), "%d for %r: %s" % (code, t[:80], err))


@test
def who_only_mentions_it():
    """A client that says another session's id has no place in that one's story."""
    own = WHEN % 1 + 'event=refusal session=abcd1234 helo=own.example to=<a@own.example> code=550 text="no"\n'
    other = WHEN % 2 + 'event=refusal session=zyxw9876 helo="abcd1234 session=abcd1234" to=<b@forged.example> code=550 text="no"\n'
    out = story("abcd1234", text=(own + other).encode())
    has(out, "a@own.example")
    check("forged.example" not in out, "another session's line:\n" + out)


@test
def mistakes():
    equal(run()[0], 64, "no command")
    equal(run("explain")[0], 64, "no id")
    equal(run("explain", "***")[0], 64, "no id in it")
    equal(run("explain", "abcd1234", "/nonexistent")[0], 66, "no file")
    equal(run("explain", "abcd1234", "/tmp")[0], 66, "a folder")
    equal(run("nonsense", "x")[0], 64, "no such command")
    check(run("-h")[1].startswith("usage: letterplate-log"), "help")
    check(re.match(r"letterplate-log \d+\.\d+\.\d+\n$", run("-V")[1]), "version")
    with open("/dev/full", "w") as full:
        r = subprocess.run([TOOL, "explain", "abcd1234"], input=(WHEN % 1 + "event=session session=abcd1234\n").encode(),
                           stdout=full, stderr=subprocess.PIPE, timeout=60)
    equal(r.returncode, 74, "a full disk")


main()
