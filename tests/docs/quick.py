#!/usr/bin/env -S python3 -B
# check: timeout=300
"""quick: the pages in docs/ that need nothing but what `make check` has: each block is run, in order, on a machine of its own."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, on_end, test
from machine import Machine
from pages import Reader, blocks

# Pages that tests/peers/pages.py runs, since they are about other programs.
PEERS = ["docs/DOVECOT.md", "docs/FILTERS.md", "docs/HAPROXY.md", "docs/RSPAMD.md"]
QUICK = ["README.md", "docs/SETUP.md", "docs/FROM-POSTFIX.md", "docs/MONITORING.md", "docs/OPERATION.md"]
# For people who work on it.
OTHERS = ["docs/ARCHITECTURE.md", "docs/DURABILITY.md", "docs/HANDLERS.md", "docs/LOGS.md", "docs/PERFORMANCE.md", "docs/PROTOCOL-COVERAGE.md",
          "docs/SECURITY.md"]
# It asks nobody: a certificate of its own making, then the hooks, as certbot does.
CERTBOT = """\
#!/bin/bash
# certbot: a stand-in.
set -eu
live=/etc/letsencrypt/live/mx.example.org
mkdir -p $live; chmod 700 /etc/letsencrypt/live
case " $* " in *" --reuse-key "*) key="-key $live/privkey.pem" ;; *) key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout $live/privkey.pem" ;; esac
openssl req -x509 -nodes $key -out $live/cert.pem -days 90 -subj /CN=mx.example.org -addext subjectAltName=DNS:mx.example.org 2>/dev/null
cp $live/cert.pem $live/fullchain.pem
chmod 600 $live/privkey.pem
for hook in /etc/letsencrypt/renewal-hooks/deploy/*; do
    [ ! -x "$hook" ] || RENEWED_LINEAGE=$live RENEWED_DOMAINS=mx.example.org "$hook"
done
"""
_machines = []
on_end.append(lambda: [_machines.pop().close() for _ in range(len(_machines))])


def machine(installed=True):
    m = Machine()
    _machines.append(m)
    m.script("certbot", CERTBOT)
    if installed:
        m.install()
    return m


@test
def each_block_is_run_or_says_why_not():
    marked = 0
    for page in PEERS + QUICK:
        for b in blocks(page):
            check(not b.mistake(), "%s: %s: %s" % (b.where, b.mistake(), b.text[:100]))
            marked += 1
    check(marked > 60, "only %d blocks" % marked)


@test
def each_page_is_followed_and_linked():
    pages = ["docs/" + f for f in os.listdir(os.path.join(TOP, "docs")) if f.endswith(".md")] + ["README.md"]
    equal(sorted(pages), sorted(PEERS + QUICK + OTHERS), "pages: one is not run by any test")
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        linked = set(re.findall(r"\((docs/[A-Z-]+\.md)\)", f.read()))
    equal(set(PEERS + QUICK[1:]) - linked, set(), "pages that README.md does not link")


@test
def links_lead_somewhere():
    for page in PEERS + QUICK:
        with open(os.path.join(TOP, page), encoding="utf-8") as f:
            for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", f.read()):
                path = os.path.join(TOP, os.path.dirname(page), target)
                check(os.path.exists(path), "%s: the link to %s" % (page, target))


@test
def first_set_up():
    m = machine(installed=False)
    Reader(m).follow("docs/SETUP.md")
    equal(len(re.findall(r"event=reload(?:ed)? ", m.read("/run/services/letterplate.log"))) > 0, True, "reloads by the hook")
    # What certbot runs next time says what it could not do, with a mistake in the config, and nothing where no server runs.
    hook, conf = "/etc/letsencrypt/renewal-hooks/deploy/letterplate", "/etc/letterplate/letterplate.conf"
    whole = m.read(conf)
    m.write(conf, whole + 'colour = "red"\n')
    r = m.run(hook)
    equal((r.returncode, "the config has mistakes" in r.stdout), (75, True), "the hook: %s" % r.stdout)
    m.write(conf, 'state_dir = "here"\n')
    equal(m.run(hook).returncode, 78, "the hook where the server cannot be found")
    m.write(conf, whole)
    equal(m.run(hook).returncode, 0, "the hook, mended")
    m.run("systemctl stop letterplate")
    equal(m.run(hook).returncode, 0, "the hook without a server")


@test
def from_postfix():
    m = machine()
    m.write("/etc/hosts", "192.0.2.25 mx.example.org\n127.0.0.1 localhost\n")
    m.write("/etc/postfix/main.cf", "")
    Reader(m).follow("docs/FROM-POSTFIX.md")


@test
def monitoring():
    Reader(machine()).follow("docs/MONITORING.md")


@test
def operation():
    Reader(machine()).follow("docs/OPERATION.md")


@test
def readme():
    Reader(machine(installed=False)).follow("README.md")


main()
