#!/usr/bin/env -S python3 -B
"""dsn: who asked to be told of success is told: in a mailbox here, or by the relay, and no report is lost."""
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Skip, check, equal, main, sanitized, test
from proc import descriptors
from server import MAILBOXES, Server, free_port, wait_for
from dsnserver import TEXT, DsnServer
from fakemilter import FakeMilter, packet
from milterserver import at_end, header, indexed, section
import tls
from sink import HANG, Sink

BOB = "bob@example.org"


def fields(part):
    """The groups of a message/delivery-status."""
    return [dict(g.items()) for g in part.get_payload()]


@test
def a_report_goes_to_the_relay():
    with Sink() as relay, DsnServer(relay.address) as s:
        c = s.client()
        check("DSN" in c.hello().lines, "DSN is not offered")
        c.quit()
        r = s.ask(mail="RET=FULL ENVID=QQ+2B314", rcpts=[
            ("alice@example.org", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Al+2Bx@old.example"),
            ("bob@example.org", "NOTIFY=FAILURE"), ("sales@example.org", "NOTIFY=SUCCESS")]).is_(250)
        m = relay.wait(1)[0]
        equal(m.sender, "MAIL FROM:<>", "reverse-path")
        equal(m.rcpts, ["RCPT TO:<sender@client.example>"], "recipient")
        msg = m.message
        equal(msg["Auto-Submitted"], "auto-replied", "Auto-Submitted")
        equal((msg.get_content_type(), msg.get_param("report-type")), ("multipart/report", "delivery-status"), "type")
        words, status, headers = msg.get_payload()
        equal([p.get_content_type() for p in (words, status, headers)],
              ["text/plain", "message/delivery-status", "text/rfc822-headers"], "parts")
        per_message, alice, sales = fields(status)
        equal(per_message["Reporting-MTA"], "dns;mx.test.example", "Reporting-MTA")
        equal(per_message["Original-Envelope-Id"], "QQ+314", "Original-Envelope-Id")
        equal(alice["Original-Recipient"], "rfc822;Al+x@old.example", "Original-Recipient")
        equal(alice["Final-Recipient"], "rfc822;alice@example.org", "Final-Recipient")
        equal((alice["Action"], alice["Status"]), ("delivered", "2.0.0"), "Action, Status")
        check("Original-Recipient" not in sales, "an Original-Recipient that was never given")
        equal(sales["Final-Recipient"], "rfc822;sales@example.org", "an alias does not tell whom it reaches")
        equal(headers.get_payload().replace("\r\n", "\n").strip(), TEXT.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n"),
              "the header comes back")
        check(b"the body stays" not in m.text, "the body came back")
        wait_for(lambda: not s.waiting(), why="the record is still in the spool")
        equal([s.counter("reports_" + x) for x in ("queued", "sent", "delivered", "failed")], [1, 1, 0, 0], "counters")
        line = s.line("transaction")
        equal((line["ret"], line["envid"], line["notify"]), ("full", "QQ+314", "success+failure,failure,success"), "log line")
        line = s.line("report")
        equal((line["id"], line["result"], line["way"]), (r.queued, "sent", "relay"), "report's log line")


@test
def a_sender_here_finds_it_in_the_mailbox():
    with Sink() as relay, DsnServer(relay.address) as s:
        s.ask(sender=BOB).is_(250)
        wait_for(lambda: s.messages(BOB), why="no report in the mailbox")
        text = s.messages(BOB)[0].raw
        check(text.startswith(b"Return-Path: <>\nDelivered-To: bob@example.org\n"), text[:200])
        check(b"Final-Recipient: rfc822;alice@example.org\nAction: delivered\n" in text, text)
        check(b"\r" not in text, "a CR in the file")
        wait_for(lambda: not s.waiting(), why="the record is still in the spool")
        equal([s.counter("reports_" + x) for x in ("queued", "sent", "delivered", "failed")], [1, 0, 1, 0], "counters")
        equal(relay.verbs, [], "the relay was bothered")


@test
def a_report_counts_in_its_mailbox():
    with Sink() as relay, DsnServer(relay.address, mailboxes=MAILBOXES.replace("quota=2GiB", "quota-messages=1"),
                                    extra="quota { }") as s:
        home = os.path.join(s.store_path, "example.org/bob")
        for n in 1, 2:
            s.ask(sender=BOB).is_(250)
            wait_for(lambda: s.counter("reports_delivered") == 1, why="no report in the mailbox")
            with open(os.path.join(home, "maildirsize")) as f:
                octets = os.path.getsize(s.messages(BOB)[0].path)
                equal(f.read().split("\n")[-2:], ["%d 1" % octets, ""], "the last line of maildirsize")
        wait_for(lambda: [x["result"] for x in s.lines("report")][1:] == ["deferred"], why="the second is not put off")
        equal(len(s.messages(BOB)), 1, "messages")
        equal(len(s.waiting()), 1, "records in the spool")


@test
def no_report_where_none_is_due():
    with Sink() as relay, DsnServer(relay.address) as s:
        s.ask(sender="").is_(250)
        s.ask(rcpts=[("alice@example.org", "NOTIFY=NEVER")]).is_(250)
        s.ask(rcpts=[("alice@example.org", "NOTIFY=FAILURE,DELAY"), (BOB, "")]).is_(250)
        c = s.client()
        c.hello()
        c.envelope(["alice@example.org"])
        c.cmd("RCPT TO:<nobody@example.org> NOTIFY=SUCCESS").is_(550)
        c.data(TEXT).is_(250)
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org> NOTIFY=SUCCESS").is_(250)
        c.data(b"Subject: x\r\n\r\nbare\nnewline\r\n").is_(550)
        c.quit()
        equal(s.counter("reports_queued"), 0, "reports queued")
        equal(s.waiting(), [], "the spool")
        # A local domain, and no such mailbox: there is nobody to tell.
        s.ask(sender="nobody@example.org").is_(250)
        wait_for(lambda: s.counter("reports_failed") == 1, why="not given up")
        wait_for(lambda: not s.waiting(), why="the record is still in the spool")
        equal(relay.verbs, [], "the relay was bothered")


@test
def nothing_of_the_body_comes_back():
    """Where the header ends without an empty line, what is behind it is the body; without any header all is."""
    for text, want in ((b"Subject: a\r\nX: b\r\n c\r\nbuy this now\r\nPills: here\r\n", "Subject: a\nX: b\n c"),
                       (b"buy this now\r\nPills: here\r\n", ""), (b" Pills: here\r\nbuy this now\r\n\r\n", "")):
        with Sink() as relay, DsnServer(relay.address) as s:
            s.ask(text=text).is_(250)
            got = relay.wait(1)[0]
            equal(got.message.get_payload()[2].get_payload().replace("\r\n", "\n").strip(), want, "what comes back")
            check(b"Pills" not in got.text and b"buy this" not in got.text, "the body came back")
            wait_for(lambda: not s.waiting(), why="the record is still in the spool")


@test
def of_a_message_that_a_filter_edited():
    """The header that the sender wrote comes back; of whom the filter took out nothing is said, nor of whom it put in."""
    edits = [packet("m", indexed(1, "Subject", "changed")), packet("h", header("X-Added", "secret")), packet("b", b"another body\r\n"),
             packet("-", b"<bob@example.org>\0"), packet("+", b"<carol@example.org>\0")]
    both = [("alice@example.org", "NOTIFY=SUCCESS"), (BOB, "NOTIFY=SUCCESS")]
    for more, whom in ((), "sender@client.example"), ((packet("e", b"<other@client.example>\0"),), "other@client.example"):
        with Sink() as relay, FakeMilter(on=at_end(*edits, *more)) as m, DsnServer(relay.address, extra=section(m)) as s:
            s.ask(rcpts=both).is_(250)
            got = relay.wait(1)[0]
            equal(got.rcpts, ["RCPT TO:<%s>" % whom], "recipient of the report")
            _, status, headers = got.message.get_payload()
            equal([x["Final-Recipient"] for x in fields(status)[1:]], ["rfc822;alice@example.org"], "who is told of")
            equal(headers.get_payload().replace("\r\n", "\n").strip(),
                  TEXT.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n"), "the header comes back")
            equal([len(s.messages(x)) for x in ("alice@example.org", BOB, "carol@example.org")], [1, 0, 1], "stored")
            check(b"another body" in s.messages("alice@example.org")[0].content, "the edits are not in it")
            wait_for(lambda: not s.waiting(), why="the record is still in the spool")
    # Nobody is left who had asked, or nobody to tell: no report.
    for on in at_end(packet("-", b"<alice@example.org>\0")), at_end(packet("e", b"<>\0")):
        with Sink() as relay, FakeMilter(on=on) as m, DsnServer(relay.address, extra=section(m)) as s:
            s.ask(rcpts=[("alice@example.org", "NOTIFY=SUCCESS"), (BOB, "NOTIFY=NEVER")]).is_(250)
            equal((s.counter("reports_queued"), s.waiting(), relay.verbs), (0, [], []), "reports")


@test
def utf8_forms():
    """RFC 6533: global forms for a sender with UTF-8; to one of ASCII all is ASCII."""
    with Sink() as relay, DsnServer(relay.address, mailboxes=MAILBOXES + "grün@example.org\n") as s:
        text = "Subject: für dich\r\n\r\nx\r\n".encode()
        s.ask(sender="jörg@example.com.example", mail="SMTPUTF8 BODY=8BITMIME", text=text,
              rcpts=[("grün@example.org", "NOTIFY=SUCCESS ORCPT=utf-8;gr\\x{FC}n@alt.example")]).is_(250)
        m = relay.wait(1)[0]
        equal(m.sender, "MAIL FROM:<> BODY=8BITMIME SMTPUTF8", "MAIL")
        for line in ("Content-Type: message/global-delivery-status", "Content-Type: message/global-headers",
                     "Final-Recipient: utf-8;grün@example.org", "Original-Recipient: utf-8;gr\\x{FC}n@alt.example"):
            check(("\r\n%s\r\n" % line).encode() in m.text, "no line %s in %s" % (line, m.text))
        s.ask(sender="joe@example.com.example", mail="SMTPUTF8", text=text,
              rcpts=[("grün@example.org", "NOTIFY=SUCCESS ORCPT=utf-8;grün@alt.example")]).is_(250)
        m = relay.wait(2)[1]
        equal(m.sender, "MAIL FROM:<>", "MAIL")
        check(m.text.isascii(), "not ASCII")
        for line in ("Content-Type: message/delivery-status", "Final-Recipient: utf-8;gr\\x{FC}n@example.org",
                     "Original-Recipient: utf-8;gr\\x{FC}n@alt.example", "Content-Transfer-Encoding: quoted-printable",
                     "Subject:=20f=C3=BCr=20dich"):
            check(("\r\n%s\r\n" % line).encode() in m.text, "no line %s in %s" % (line, m.text))


@test
def a_relay_without_smtputf8_ends_it():
    with Sink(offers=("8BITMIME",)) as relay, DsnServer(relay.address) as s:
        s.ask(sender="jörg@client.example", mail="SMTPUTF8").is_(250)
        wait_for(lambda: s.counter("reports_failed") == 1, why="not given up")
        s.ask().is_(250)
        relay.wait(1)


@test
def what_the_relay_says():
    """4xx: again later; 5xx: given up, with a line; nonsense, 421, hanging up: again later."""
    said = {"MAIL": {1: "451 4.3.0 not now"}, "RCPT": {4: "550 5.1.1 nobody"}, "END": {1: "452 4.3.1 full"},
            "CONNECT": {3: "554 no", 4: "what?", 5: "421 busy"}, "DATA": {2: ""}}
    with Sink(mode=lambda verb, n: said.get(verb, {}).get(n)) as relay, DsnServer(relay.address) as s:
        s.ask(sender="first@client.example").is_(250)
        relay.wait(1, 60)
        s.ask(sender="second@client.example").is_(250)
        s.ask(sender="third@client.example").is_(250)
        relay.wait(2, 60)
        wait_for(lambda: not s.waiting(), 60, "the spool is not empty")
        equal(s.counter("reports_queued"), s.counter("reports_sent") + s.counter("reports_failed"), "all accounted for")
        equal(s.counter("reports_failed"), 1, "given up")
        check(s.counter("reports_deferred") >= 2, "deferred %d" % s.counter("reports_deferred"))
        s.says("result=given-up")
        line = [x for x in s.lines("report") if x["result"] == "given-up"]
        equal((len(line), line[0]["why"]), (1, '"550 5.1.1 nobody"'), "the log says why")


@test
def a_silent_relay_is_left():
    """It takes connections and says nothing: the sender never notices, a report for a mailbox here neither."""
    hang = [True]
    with Sink(mode=lambda verb, n: HANG if hang[0] else None) as relay, \
            DsnServer(relay.address, timeouts='command = "700ms" data = "700ms" drain = "5s"') as s:
        s.ask().is_(250)
        wait_for(lambda: relay.verbs, why="nobody came")
        s.ask(sender=BOB).is_(250)
        wait_for(lambda: s.messages(BOB), 0.6, why="a report for a mailbox here waits for the relay")
        wait_for(lambda: "does not answer" in s.log(), why="it was not left")
        hang[0] = False
        relay.wait(1, 30)


@test
def a_relay_that_is_down_comes_back():
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        for i in range(5):
            s.ask(sender="s%d@client.example" % i).is_(250)
        wait_for(lambda: s.counter("reports_deferred") >= 1, why="not deferred")
        equal(len(s.waiting()), 5, "records in the spool")
        wait_for(lambda: s.stats()["gauges"]["reports_waiting"] == 5, why="the gauge")
        with Sink(port) as relay:
            relay.wait(5, 60)
            wait_for(lambda: not s.waiting(), why="the spool is not empty")


@test
def a_relay_by_name():
    with Sink() as relay, DsnServer("localhost:%d" % relay.port) as s:
        s.ask().is_(250)
        relay.wait(1)
    with DsnServer("no-such-name.invalid:25") as s:
        s.ask().is_(250)
        wait_for(lambda: "no-such-name.invalid:25 does not serve: it has no address" in s.log(), why="the log does not say it")
        s.ask(sender=BOB).is_(250)
        wait_for(lambda: s.messages(BOB), why="no report in the mailbox")


@test
def dsn_switched_off_and_on():
    """What waits stays, and goes when it is on again."""
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        s.ask().is_(250)
        s.dsn = "no"
        s.write_config()
        s.reload()
        wait_for(lambda: not s.reports_processes(), why="letterplate-reports still runs")
        c = s.client()
        check("DSN" not in c.hello().lines, "DSN is offered")
        c.quit()
        equal(len(s.waiting()), 1, "records")
        s.dsn = "yes"
        s.write_config()
        s.reload()
        with Sink(port) as relay:
            relay.wait(1, 30)


@test
def too_old_is_given_up():
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        s.ask().is_(250)
        wait_for(lambda: s.counter("reports_deferred") >= 1, why="not deferred")
        old = s.waiting()[0]
        seconds, _, rest = os.path.basename(old).partition(".")
        os.rename(old, os.path.join(os.path.dirname(old), "%d.%s" % (int(seconds) - 6 * 86400, rest)))
        wait_for(lambda: s.counter("reports_failed") == 1, 40, "it is not given up")
        wait_for(lambda: not s.waiting(), why="the record is still in the spool")
        s.says("result=given-up")


@test
def a_damaged_record_is_put_aside():
    with Sink() as relay, DsnServer(relay.address) as s:
        s.ask().is_(250)
        relay.wait(1)
        new = os.path.join(s.store_path, ".reports", "new")
        good = b"M\0\0\0\x14letterplate report 1"
        for i, text in enumerate((b"", b"junk", good, good + b"I\xff\xff\xff\xffabc", os.urandom(3000))):
            path = os.path.join(new, "..%d" % i)
            with open(path, "wb") as f:
                f.write(text)
            os.chmod(path, 0o666)
            os.rename(path, os.path.join(new, "%d.bad%d" % (time.time(), i)))
        wait_for(lambda: not s.waiting(), why="they are still in the spool")
        equal(len(os.listdir(os.path.join(s.store_path, ".reports", "bad"))), 5, "records put aside")
        equal(s.counter("reports_failed"), 5, "counted")
        s.ask().is_(250)
        relay.wait(2)


@test
def what_was_sent_is_not_sent_again():
    """Its record cannot be removed, as the folder was shut meanwhile: it is marked, and a restart sends it no second time either."""
    for restart in False, True:
        folder = []
        with Sink(mode=lambda verb, n: os.chmod(folder[0], 0o500) if (verb, n) == ("END", 1) else None) as relay, \
                DsnServer(relay.address) as s:
            folder.append(os.path.join(s.store_path, ".reports", "new"))
            s.ask().is_(250)
            s.says("cannot remove .reports/new/")
            equal(len(s.waiting()), 1, "records")
            if restart:
                s.may_die = True
                old = s.reports_processes()
                os.kill(old[0], signal.SIGKILL)
                wait_for(lambda: s.reports_processes() not in ([], old), why="no letterplate-reports")
                s.says("cannot be changed")
            os.chmod(folder[0], 0o700)
            wait_for(lambda: not s.waiting(), 40, why="the record is still in the spool")
            s.ask(sender="other@client.example").is_(250)
            equal([m.rcpts for m in relay.wait(2, 40)], [["RCPT TO:<sender@client.example>"], ["RCPT TO:<other@client.example>"]],
                  "reports at the relay")


@test
def what_could_not_be_removed_is_not_begun():
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        s.ask().is_(250)
        s.ask(sender=BOB).is_(250)
        wait_for(lambda: s.counter("reports_delivered") == 1, why="no report in the mailbox")
        wait_for(lambda: len(s.waiting()) == 1, why="the record is still in the spool")
        folder = os.path.dirname(s.waiting()[0])
        equal(s.term(), 0, "status")
        os.chmod(folder, 0o500)
        s.count = False
        with Sink(port) as relay:
            s.start()
            s.says("cannot be changed")
            equal(relay.verbs, [], "what the relay heard")
            os.chmod(folder, 0o700)
            relay.wait(1, 40)
            wait_for(lambda: not s.waiting(), why="the record is still in the spool")
            s.says("can be changed again")


@test
def killed_at_any_moment():
    """Workers and letterplate-reports are killed all the time: each message that got its 250 has its report, at least once."""
    acked = set()
    with Sink() as relay, DsnServer(relay.address) as s:
        s.may_die = s.may_leave_tmp = True
        s.count = False
        end = time.monotonic() + 8
        n = 0
        while time.monotonic() < end:
            n += 1
            name = "n%d@client.example" % n
            try:
                if s.ask(sender=name).code == 250:
                    acked.add(name)
            except (OSError, AssertionError, Exception) as why:
                if not isinstance(why, (OSError, AssertionError)) and type(why).__name__ != "Closed":
                    raise
            if n % 3 == 0:
                victims = s.reports_processes() if n % 2 else s.workers()
                for pid in victims[:1]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            time.sleep(0.02)
        check(len(acked) > 20, "only %d messages were taken" % len(acked))

        def missing():
            told = {re.search("<(.*)>", m.rcpts[0]).group(1) for m in relay.mails}
            return acked - told
        wait_for(lambda: not missing(), 60, lambda: "without a report: %s" % sorted(missing())[:5])


@test
def reports_outlive_a_restart_and_a_reload():
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        s.ask(sender="one@client.example").is_(250)
        equal(s.term(), 0, "status")
        check(s.waiting(), "the record is gone")
        s.count = False
        s.start()
        s.ask(sender="two@client.example").is_(250)
        s.reload()
        wait_for(lambda: len(s.reports_processes()) == 1, why="more than one letterplate-reports")
        s.ask(sender="three@client.example").is_(250)
        with Sink(port) as relay:
            got = relay.wait(3, 60)
            equal(sorted(m.rcpts[0][9:-16] for m in got), ["one", "three", "two"], "told")


@test
def a_full_spool_is_452():
    port = free_port()
    with DsnServer("127.0.0.1:%d" % port) as s:
        s.ask().is_(250)
        new = os.path.join(s.store_path, ".reports", "new")
        for pid in s.reports_processes():
            os.kill(pid, signal.SIGSTOP)
        try:
            for i in range(10000 - len(s.waiting())):
                open(os.path.join(new, "1.full%d" % i), "w").close()
            s.ask().is_(452, "4.3.1")
            s.ask(rcpts=[("alice@example.org", "")]).is_(250)
            equal(len(s.messages("alice@example.org")), 2, "messages")
            for name in os.listdir(new):
                if ".full" in name:
                    os.unlink(os.path.join(new, name))
            s.ask().is_(250)
        finally:
            for pid in s.reports_processes():
                os.kill(pid, signal.SIGCONT)


@test
def lmtp_tells_of_those_that_have_it():
    with Sink() as relay:
        port = free_port()
        listener = 'listener "l" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % port
        with DsnServer(relay.address, listener=listener) as s:
            s.port = port
            # What is no folder takes no mail.
            domain = os.path.join(s.store_path, "example.org")
            os.mkdir(domain, 0o777)
            os.chmod(domain, 0o777)
            open(os.path.join(domain, "bob"), "w").close()
            c = s.client()
            c.cmd("LHLO x.example").is_(250)
            c.cmd("MAIL FROM:<sender@client.example>").is_(250)
            for to in ("alice@example.org", BOB):
                c.cmd("RCPT TO:<%s> NOTIFY=SUCCESS" % to).is_(250)
            c.cmd("DATA").is_(354)
            c.send(TEXT + b".\r\n")
            equal([c.reply().code, c.reply().code], [250, 451], "replies")
            c.quit()
            m = relay.wait(1)[0]
            equal(re.findall(r"Final-Recipient: rfc822;(\S+)", m.text.decode()), ["alice@example.org"], "told of")


@test
def what_required_tls_is_not_told_in_clear():
    """RFC 8689 5; into a mailbox here it may be told."""
    port = free_port()
    listener = 'listener "mx" { address = {"127.0.0.1:%d"} tls = "starttls" }\n' % port + tls.section(tls.certificate("dsn-mx"))
    with Sink() as relay, DsnServer(relay.address, listener=listener) as s:
        s.port = port
        c = tls.TlsClient(("127.0.0.1", port), s.seen)
        c.hello()
        c.starttls()
        c.hello()
        for sender in ("sender@client.example", BOB):
            c.cmd("MAIL FROM:<%s> REQUIRETLS" % sender).is_(250)
            c.cmd("RCPT TO:<alice@example.org> NOTIFY=SUCCESS").is_(250)
            c.data(TEXT).is_(250)
        c.quit()
        wait_for(lambda: s.messages(BOB), why="no report in the mailbox")
        wait_for(lambda: s.counter("reports_failed") == 1, why="not given up")
        equal(relay.verbs, [], "the relay was told")


@test
def the_record_is_durable_before_the_250():
    """As the system calls of a worker tell: staged and synced, then the message, then published and synced, then 250."""
    if os.geteuid() != 0 or sanitized():
        raise Skip("needs root, and a build without a sanitizer")
    with Sink() as relay, DsnServer(relay.address, workers=1, no_journal=True) as s:
        s.ask().is_(250)
        relay.wait(1)
        out = s.path("trace")
        pid = s.workers()[0]
        strace = subprocess.Popen(["strace", "-f", "-y", "-qq", "-s", "64", "-o", out, "-e",
                                   "trace=openat,writev,write,fsync,renameat2,sendto", "-p", str(pid)])
        wait_for(lambda: os.path.exists(out) and open("/proc/%d/status" % pid).read().find("TracerPid:\t0") < 0, why="no trace")
        time.sleep(0.3)
        r = s.ask().is_(250)
        relay.wait(2)
        strace.terminate()
        strace.wait()
        with open(out) as f:
            trace = f.read()
        calls, begun = [], {}
        for x in trace.splitlines():
            pid, _, call = x.partition(" ")
            call = call.strip()
            if call.endswith("<unfinished ...>"):
                begun[pid] = call[:-len("<unfinished ...>")]
            elif call.startswith("<... "):      # the end counts
                calls.append(begun.pop(pid, "") + call.partition("resumed>")[2])
            else:
                calls.append(call)

        def at(pattern, what, after=-1):
            for i in range(after + 1, len(calls)):
                if re.search(pattern, calls[i]):
                    return i
            raise AssertionError("no %s after call %d of %s" % (what, after, "\n".join(calls)))
        staged = at(r"fsync\(\d+<[^>]*\.reports/tmp/\d+\.%s>" % r.queued, "fsync of the record")
        placed = at(r"renameat2\(.*alice/tmp.*alice/new", "rename of the message", staged)
        synced = at(r"fsync\(\d+<[^>]*alice/new>", "fsync of new/", placed)
        published = at(r"renameat2\(.*\.reports/tmp.*%s.*\.reports/new" % r.queued, "rename of the record", synced)
        folder = at(r"fsync\(\d+<[^>]*\.reports/new>", "fsync of the spool's folder", published)
        at(r"sendto\(.*250 2\.0\.0 queued as %s" % r.queued, "250", folder)


@test
def what_cannot_be_recorded_is_not_taken():
    """No report is promised that cannot be kept, and the message is not there either."""
    with Sink() as relay, DsnServer(relay.address) as s:
        s.ask().is_(250)
        relay.wait(1)
        tmp = os.path.join(s.store_path, ".reports", "tmp")
        os.rename(tmp, tmp + ".away")
        s.ask().is_(451, "4.3.0")
        equal(len(s.messages("alice@example.org")), 1, "messages")
        s.ask(rcpts=[("alice@example.org", "")]).is_(250)
        os.rename(tmp + ".away", tmp)
        new = os.path.join(s.store_path, ".reports", "new")
        s.ask().is_(250)
        relay.wait(2)
        wait_for(lambda: not os.listdir(new), why="the spool is not empty")


@test
def the_one_that_sends_has_given_up_all_else():
    with Sink() as relay, DsnServer(relay.address) as s:
        pid = s.reports_processes()[0]
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                status = dict(x.rstrip("\n").split(":\t", 1) for x in f if ":\t" in x)
            equal(status["NoNewPrivs"], "1", "no_new_privs")
            if not sanitized():
                equal(status["Seccomp"], "2", "seccomp")
            equal(int(status["CapPrm"], 16) | int(status["CapEff"], 16), 0, "capabilities")
            if os.geteuid() == 0:
                check("0" not in status["Uid"].split(), "it is root: %s" % status["Uid"])
        if os.geteuid() == 0:
            held = sorted({re.sub(r":?\[.*|[0-9a-z]{8}/.*", "", x) for x in descriptors(pid)})
            check(not any("stats" in x or "conns" in x or "memfd" in x for x in held), "it holds %s" % held)


@test
def without_a_relay_reports_go_to_mailboxes_here_alone():
    class Half(Server):
        def config(self):
            return super().config() + "dsn = yes\n"
    with Half() as s:
        c = s.client()
        check("DSN" in c.hello().lines, "DSN is not offered")
        for sender in "a@client.example", "alice@example.org":
            c.cmd("MAIL FROM:<%s> RET=HDRS" % sender).is_(250)
            c.cmd("RCPT TO:<bob@example.org> NOTIFY=SUCCESS").is_(250)
            c.data(TEXT).is_(250)
        c.quit()
        wait_for(lambda: len(s.messages("alice@example.org")) == 1, 10, "no report in the mailbox")
        wait_for(lambda: "there is no dsn_relay for foreign senders" in s.log(), 10, "no word of the other")
        equal(s.counter("reports_failed"), 1, "reports_failed")
        s.says("without dsn_relay reports to foreign senders are given up; set it, or leave dsn off")


main()
