#!/usr/bin/env -S python3 -B
# check: no timeout=300
"""pages: the pages in docs/ about other programs: each block is run, in order, with the real haproxy, Dovecot, rspamd and the other filters."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Skip, main, on_end, test
from machine import Machine
from pages import Reader

_machines = []
on_end.append(lambda: [_machines.pop().close() for _ in range(len(_machines))])


def follow(page, *programs):
    for p in programs:
        if not os.path.exists(p):
            raise Skip("%s is not installed: tools/install-deps peers" % p)
    m = Machine()
    _machines.append(m)
    m.write("/etc/hosts", "192.0.2.25 mx.example.org\n127.0.0.1 localhost\n")
    m.install()
    # As dovecot-core's installation does, where ssl-cert is there.
    m.do("mkdir -p /etc/dovecot/private && openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 9 -subj /CN=mx.example.org "
         "-keyout /etc/dovecot/private/dovecot.key -out /etc/dovecot/private/dovecot.pem 2>&1")
    Reader(m).follow(page)


@test
def haproxy():
    follow("docs/HAPROXY.md", "/usr/sbin/haproxy")


@test
def dovecot():
    follow("docs/DOVECOT.md", "/usr/sbin/dovecot", "/usr/lib/dovecot/imap")


@test
def filters():
    follow("docs/FILTERS.md", "/usr/sbin/opendkim", "/usr/sbin/opendmarc", "/usr/sbin/clamav-milter", "/usr/sbin/clamd", "/usr/sbin/spamd",
           "/usr/sbin/spamass-milter", "/usr/sbin/postgrey", "/usr/bin/policyd-spf", "/usr/bin/socat", "/usr/sbin/unbound")


@test
def rspamd():
    follow("docs/RSPAMD.md", "/usr/bin/rspamd")


main()
