#!/usr/bin/env -S python3 -B
# check: no
"""clients: programs that people send mail with, each with an attachment of dots and long lines."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, check, equal, main, test
from server import Server

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = "From: a@b.example\nTo: alice@example.org\nSubject: x\n\n.dot\n..\n.\n" + "x" * 900 + "\nend\n"
BODY = TEXT.partition("\n\n")[2].encode()


def program(name):
    if not shutil.which(name):
        raise Skip("%s is not installed: tools/install-deps check peers" % name)
    return name


def run(args, text=None, status=0, **more):
    r = subprocess.run(args, input=text, capture_output=True, text=True, timeout=60, **more)
    equal(r.returncode, status, "status of %s: %s" % (args[0], (r.stdout + r.stderr)[-1500:]))
    return r.stdout + r.stderr


class Mx(Server):
    def __init__(self, keys="", **more):
        super().__init__(start=False, count=False, **more)
        self.listener = 'listener "mx" { address = {"127.0.0.1:%d"} %s }' % (self.port, keys)
        self.write_config()
        self.start()

    def arrived(self, *boxes):
        for box in boxes:
            equal([m.content.partition(b"\n\n")[2] for m in self.messages(box)], [BODY], "content for " + box)
        return self.messages(boxes[0])[0]


@test
def swaks_with_xclient():
    with Mx('xclient_from = {"127.0.0.1/32"}') as s:
        run([program("swaks"), "--server", "127.0.0.1:%d" % s.port, "--to", ALICE, "--from", "a@b.example",
             "--xclient-addr", "192.0.2.9", "--xclient-name", "claimed.example.net", "--helo", "helo.example"])
        check("(claimed.example.net [192.0.2.9])" in s.messages(ALICE)[0]["Received"], "the client in Received")


@test
def swaks_with_a_proxy_header():
    for version in "1", "2":
        with Mx('proxy_from = {"127.0.0.1/32"}') as s:
            run([program("swaks"), "--server", "127.0.0.1:%d" % s.port, "--to", ALICE, "--from", "a@b.example",
                 "--proxy-version", version, "--proxy-family", "TCP4" if version == "1" else "AF_INET", "--proxy-source",
                 "192.0.2.9", "--proxy-source-port", "4711", "--proxy-dest", "198.51.100.2", "--proxy-dest-port", "25"])
            check("([192.0.2.9])" in s.messages(ALICE)[0]["Received"], "the client in Received")


@test
def curl():
    with Mx() as s:
        run([program("curl"), "-sS", "smtp://127.0.0.1:%d/client.example" % s.port, "--mail-from", "a@b.example",
             "--mail-rcpt", ALICE, "--mail-rcpt", BOB, "--crlf", "-T", "-"], TEXT)
        s.arrived(ALICE, BOB)


@test
def curl_is_told_who_is_unknown():
    with Mx() as s:
        run([program("curl"), "-sS", "smtp://127.0.0.1:%d/client.example" % s.port, "--mail-from", "a@b.example",
             "--mail-rcpt", "nobody@example.org", "--crlf", "-T", "-"], TEXT, status=55)


@test
def a_browser_is_sent_away():
    """curl speaks HTTP to us, as a page can make a browser do."""
    with Mx() as s:
        run([program("curl"), "-sS", "--http0.9", "-d", "EHLO x\r\nMAIL FROM:<a@b.example>\r\n",
             "http://127.0.0.1:%d/" % s.port])
        check(s.counter("http_verbs") + s.counter("early_talkers") == 1, "neither told nor counted")
        check(250 not in s.replies(), "a command was taken from it")


@test
def msmtp():
    with Mx() as s:
        run([program("msmtp"), "--host=127.0.0.1", "--port=%d" % s.port, "--from=a@b.example", "--auth=off", "--tls=off",
             ALICE, BOB], TEXT)
        s.arrived(ALICE, BOB)


@test
def msmtp_over_lmtp():
    with Server(start=False, count=False) as s:
        s.listener = 'listener "lmtp" { address = {"127.0.0.1:%d"} protocol = "lmtp" }' % s.port
        s.write_config()
        s.start()
        run([program("msmtp"), "--protocol=lmtp", "--host=127.0.0.1", "--port=%d" % s.port, "--from=a@b.example",
             "--auth=off", "--tls=off", ALICE, BOB], TEXT)
        for box in ALICE, BOB:
            check("with LMTP" in s.messages(box)[0]["Received"], "not by LMTP")


@test
def s_nail():
    with Mx() as s:
        run([program("s-nail"), "-:/", "-Sv15-compat", "-Smta=smtp://127.0.0.1:%d" % s.port, "-Ssmtp-auth=none", "-Sdead=/dev/null",
             "-Sfrom=a@b.example", "-Shostname=client.example", "-s", "x", "-.", ALICE, BOB], BODY.decode(),
            env=dict(os.environ, HOME=s.root))
        for box in ALICE, BOB:
            check(b"end\n" in s.messages(box)[0].content, "content")


NODEMAILER = """
const t = require("nodemailer").createTransport({host: "127.0.0.1", port: +process.argv[2], lmtp: process.argv[3] === "lmtp",
    ignoreTLS: true});
t.sendMail({envelope: {from: "a@b.example", to: ["alice@example.org", "bob@example.org", "nobody@example.org"]},
    raw: require("fs").readFileSync(0)}, (err, info) => {
    if (err) { console.error(err); process.exit(1); }
    console.log(JSON.stringify([info.accepted, info.rejected, info.response]));
    t.close();
});
"""


def nodemailer(protocol):
    modules = os.path.join(TOP, "build/peers/node_modules")
    if not os.path.isdir(os.path.join(modules, "nodemailer")):
        raise Skip("nodemailer is not installed: npm install --prefix build/peers nodemailer")
    with Server(start=False, count=False) as s:
        s.listener = 'listener "x" { address = {"127.0.0.1:%d"} protocol = "%s" }' % (s.port, protocol)
        s.write_config()
        s.start()
        out = node(s, modules, protocol)
        check("nobody@example.org" in out and "queued as" in out, out)
        equal([len(s.messages(x)) for x in (ALICE, BOB)], [1, 1], "messages")
        check(s.messages(ALICE)[0].content.endswith(BODY), "content")


def node(s, modules, protocol):
    script = s.path("send.js")
    with open(script, "w") as f:
        f.write(NODEMAILER)
    return run([program("node"), script, str(s.port), protocol], TEXT, env=dict(os.environ, NODE_PATH=modules))


@test
def nodemailer_over_smtp():
    nodemailer("smtp")


@test
def nodemailer_over_lmtp():
    nodemailer("lmtp")


main()
