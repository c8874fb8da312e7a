#!/usr/bin/env -S python3 -B
# check: timeout=300
"""recipients: every kind of entry of the mailbox list, as a client meets it and as it lands on disk."""
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Skip, check, equal, main, test
from server import MAILBOXES, Server

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"


def counts(s):
    return tuple(len(s.messages(a)) for a in (ALICE, BOB, CAROL))


@test
def where_each_recipient_goes():
    rows = [    # recipient; Delivered-To, X-Original-To
        ("alice@example.org", [ALICE], None),
        ("ALICE@Example.ORG", [ALICE], "ALICE@example.org"),
        ("alice+tag@example.org", [ALICE], "alice+tag@example.org"),
        ("alice+a+b@example.org", [ALICE], "alice+a+b@example.org"),
        ('"alice"@example.org', [ALICE], None),
        ("@relay.example,@b.example:alice@example.org", [ALICE], None),
        ("alice@example.net", [ALICE], "alice@example.net"),
        ("bob+x@example.net", [BOB], "bob+x@example.net"),
        ("sales@example.org", [ALICE, BOB], "sales@example.org"),
        ("anybody@example.com", [CAROL], "anybody@example.com"),
        ("any.body+tag@example.com", [CAROL], "any.body+tag@example.com"),
        ("postmaster", [ALICE], "postmaster"),
        ("POSTMASTER", [ALICE], "POSTMASTER"),
        ("postmaster@example.org", [ALICE], "postmaster@example.org"),
        ("PostMaster@example.org", [ALICE], "PostMaster@example.org"),
    ]
    with Server(postmaster="alice@example.org") as s:
        c = s.client()
        c.hello()
        for rcpt, boxes, original in rows:
            r = c.message(rcpt, TEXT).is_(250, "2.0.0")
            for a in (ALICE, BOB, CAROL):
                got = [m for m in s.messages(a) if m.id == r.queued]
                equal(len(got), 1 if a in boxes else 0, "files of %s in %s" % (rcpt, a))
                if got:
                    equal(got[0]["Delivered-To"], a, "Delivered-To for " + rcpt)
                    o = got[0].trace.get("X-Original-To")
                    equal(o and o.lower(), original and original.lower(), "X-Original-To for " + rcpt)
        c.quit()


@test
def what_is_refused():
    rows = [
        ("nobody@example.org", 550, "5.1.1", ""),
        ("nobody+alice@example.org", 550, "5.1.1", ""),
        ("alice@elsewhere.example", 550, "5.7.1", ""),
        ("alice@[127.0.0.1]", 550, "5.7.1", ""),
        ("old@example.org", 550, "5.1.6", "moved to new@example.org"),
        ("OLD+x@example.net", 550, "5.1.6", "moved to new@example.org"),
        ("moving@example.org", 450, "4.2.1", "mailbox is being moved"),
        ("spamtrap@example.com", 550, "5.1.1", "no such mailbox"),
        ("a b@example.org", 501, "5.1.3", ""),
        ("alice@", 501, "5.1.3", ""),
        ("@example.org", 501, "5.1.3", ""),
    ]
    with Server(limits="connections_per_ip = 0 errors = 0") as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(250)
        for rcpt, code, enhanced, text in rows:
            r = c.cmd("RCPT TO:<%s>" % rcpt)
            check((r.code, r.enhanced) == (code, enhanced) and text in r.text, "%s: %s" % (rcpt, r))
            check(r.session, "no session id in %s" % r)
        c.data(TEXT).is_(250)           # the one that was accepted is still there
        equal(counts(s), (1, 0, 0), "messages")
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<nobody@example.org>").is_(550, "5.1.1")
        c.cmd("DATA").is_(554, "5.5.1")
        c.quit()
        reasons = {(r["code"], r["enhanced"]): r["count"] for r in s.stats()["reasons"]}
        check(reasons.get((550, "5.7.1")) == 2, "reasons: %s" % reasons)


@test
def several_recipients_get_one_copy_each():
    with Server() as s:
        c = s.client()
        c.hello()
        r = c.message([ALICE, BOB, CAROL, ALICE, "sales@example.org", "alice+x@example.org"], TEXT).is_(250, "2.0.0")
        equal(counts(s), (1, 1, 1), "copies")
        for a in (ALICE, BOB, CAROL):
            m = s.maildir(a).one()
            equal((m.id, m.content), (r.queued, TEXT.replace(b"\r\n", b"\n")), "message of " + a)
            equal(m["Delivered-To"], a, "Delivered-To")
            check(" for " not in " ".join(m["Received"].split()), "several recipients are named: %s" % m["Received"])
        c.quit()


@test
def without_delivered_to_it_is_one_file():
    with Server(delivered_to="no") as s:
        c = s.client()
        c.hello()
        c.message([ALICE, BOB, "anybody@example.com"], TEXT).is_(250, "2.0.0")
        c.quit()
        stored = [s.maildir(a).one() for a in (ALICE, BOB, CAROL)]
        inodes = {os.stat(m.path).st_ino for m in stored}
        equal(len(inodes), 1, "inodes of three copies")
        equal(os.stat(stored[0].path).st_nlink, 3, "links")
        check(all("Delivered-To" not in m.trace for m in stored), "Delivered-To stands there")


@test
def a_thousand_recipients():
    many = "".join("u%d@example.org\n" % i for i in range(1100))
    with Server(mailboxes=many, recipient_limit=1000) as s:
        c = s.client(timeout=180.0)    # a thousand files are written, on a disk that others use too
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.send(b"".join(b"RCPT TO:<u%d@example.org>\r\n" % i for i in range(1002)))
        for i in range(1000):
            c.reply().is_(250, "2.1.5")
        c.reply().is_(452, "4.5.3")
        c.reply().is_(452, "4.5.3")
        c.data(TEXT).is_(250, "2.0.0")
        equal(sum(len(s.maildir("u%d@example.org" % i).files()) for i in range(1100)), 1000, "copies")
        c.quit()


@test
def unusual_local_parts_are_safe_names():
    odd = 'a&b@example.org\n".a"@example.org\n"a b"@example.org\n"../x"@example.org\n"a/b"@example.org\nmüller@example.org\n'
    with Server(mailboxes=odd) as s:
        c = s.client()
        c.hello()
        for rcpt, name in (("a&b", "a%26b"), ('"a b"', "a%20b"), ('"../x"', "%2E.%2Fx"), ('".a"', "%2Ea"), ('"a/b"', "a%2Fb")):
            r = c.cmd("MAIL FROM:<a@client.example>").is_(250)
            r = c.cmd("RCPT TO:<%s@example.org>" % rcpt)
            check(r.code == 250, "%s: %s" % (rcpt, r))
            c.data(TEXT).is_(250)
            folder = os.path.join(s.store_path, "example.org", name, "new")
            check(os.path.isdir(folder) and len(os.listdir(folder)) == 1, "%s is not in %s; there are %s"
                  % (rcpt, folder, os.listdir(os.path.join(s.store_path, "example.org"))))
        c.quit()
        equal(sorted(os.listdir(s.store_path)), [".journal", "example.org"], "folders of the store")


@test
def addresses_in_utf8():
    with Server(mailboxes="müller@bücher.example\nalice@example.org\n") as s:
        c = s.client()
        if "SMTPUTF8" not in c.hello().lines:
            raise Skip("SMTPUTF8 is not offered")
        c.cmd("MAIL FROM:<söder@client.example>").is_(553, "5.6.7")
        for rcpt in ("müller@bücher.example", "MÜLLER@BÜCHER.example", "mu\u0308ller@xn--bcher-kva.example"):
            c.cmd("MAIL FROM:<söder@client.example> SMTPUTF8").is_(250)
            r = c.cmd("RCPT TO:<%s>" % rcpt)
            check(r.code == 250, "%s: %s" % (rcpt, r))
            c.data(TEXT).is_(250)
        c.quit()
        box = os.path.join(s.store_path, "xn--bcher-kva.example", "m%C3%BCller", "new")
        equal(len(os.listdir(box)), 3, "messages in " + box)
        stored = s.messages("müller@xn--bcher-kva.example")
        check(all("with UTF8SMTP" in m["Received"] for m in stored), "not UTF8SMTP")
        equal({m["Return-Path"] for m in stored}, {"<söder@client.example>"}, "Return-Path")


@test
def folders_of_an_extension_when_they_exist():
    with Server() as s:
        c = s.client()
        c.hello()
        c.message(ALICE, TEXT).is_(250)
        box = s.maildir(ALICE).path
        sub = os.path.join(box, ".lists")
        for d in ("", "tmp", "new", "cur"):
            os.mkdir(os.path.join(sub, d), 0o700)
            if os.geteuid() == 0:
                shutil.chown(os.path.join(sub, d), "nobody", "nogroup")
        c.message("alice+lists@example.org", TEXT).is_(250)
        c.message("alice+none@example.org", TEXT).is_(250)
        c.quit()
        equal(len(os.listdir(os.path.join(sub, "new"))), 1, "messages in .lists")
        equal(len(s.messages(ALICE)), 2, "messages in the inbox")


@test
def a_null_list_is_not_all_refused_for_good():
    with Server(mailboxes=None) as s:
        c = s.client()
        c.hello()
        c.cmd("MAIL FROM:<a@client.example>").is_(250)
        c.cmd("RCPT TO:<alice@example.org>").is_(451, "4.3.0")
        s.load(MAILBOXES)
        time.sleep(1.3)
        c.cmd("RCPT TO:<alice@example.org>").is_(250, "2.1.5")
        c.data(TEXT).is_(250)
        c.quit()


main()
