#!/usr/bin/env -S python3 -B
# check: no timeout=600
"""tls-scan: testssl.sh and sslscan find nothing wrong, with STARTTLS and with implicit TLS, of RSA and EC."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Skip, check, equal, main, test
from server import Server, free_port
from tls import certificate, section

# What a certificate of our own making, or a machine without a network, must be told by testssl.sh; nothing of it is TLS.
OURS = {"cert_chain_of_trust", "cert_trust", "cert_revocation", "cert_expirationStatus", "cert_notAfter", "cert_extlifeSpan",
        "OCSP_stapling", "DNS_CAArecord", "certificate_transparency", "scanProblem", "engine_problem", "cert_caIssuers",
        "cert_validityPeriod", "overall_grade", "cert_commonName_wo_SNI", "security_headers", "cert_mustStapleExtension",
        "cert_crlDistributionPoints", "cert_ocspURL"}


def server(kind):
    ports = {"starttls": free_port(), "implicit": free_port()}
    listeners = "\n".join('listener "%s" { address = {"127.0.0.1:%d"} tls = "%s" }' % (m, p, m) for m, p in ports.items())
    s = Server(listener=listeners, extra=section(certificate("localhost-%s" % kind, kind, ["localhost"])), start=False,
               count=False, limits="connections_per_ip = 0 errors = 0", timeouts='handshake = "10s" drain = "1s"')
    s.ports, s.port = ports, ports["starttls"]
    s.start()
    return s


def testssl(s, mode):
    if not shutil.which("testssl"):
        raise Skip("testssl.sh is not installed: tools/install-deps peers")
    out = s.path("testssl.json")
    args = ["testssl", "--quiet", "--color", "0", "--nodns", "min", "--ip", "127.0.0.1", "--jsonfile", out,
            "-p", "-s", "-f", "-P", "-U", "-S", "--warnings", "batch"]
    if mode == "starttls":
        args += ["-t", "smtp"]
    r = subprocess.run([*args, "localhost:%d" % s.ports[mode]], capture_output=True, text=True, timeout=500,
                       stdin=subprocess.DEVNULL)
    with open(out) as f:
        found = json.load(f)
    check(len(found) > 40, "testssl.sh said little: %s" % r.stdout[-1500:])
    bad = [x for x in found if x["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL") and
           x["id"].split(" ")[0] not in OURS]
    equal([(x["id"], x["severity"], x["finding"]) for x in bad], [], "findings of testssl.sh (%s)" % mode)


def sslscan(s, mode):
    if not shutil.which("sslscan"):
        raise Skip("sslscan is not installed: tools/install-deps peers")
    args = ["sslscan", "--no-colour"] + (["--starttls-smtp"] if mode == "starttls" else [])
    text = subprocess.run([*args, "127.0.0.1:%d" % s.ports[mode]], capture_output=True, text=True, timeout=120).stdout
    for line in ("TLSv1.0   disabled", "TLSv1.1   disabled", "TLSv1.2   enabled", "TLSv1.3   enabled", "SSLv2     disabled",
                 "SSLv3     disabled", "Server supports TLS Fallback SCSV", "Session renegotiation not supported"):
        check(line in text, "sslscan lacks %r: %s" % (line, text))
    check("not vulnerable to heartbleed" in text and "vulnerable to heartbleed" not in text.replace("not vulnerable", ""), text)
    ciphers = [x.split()[4] for x in text.splitlines() if x.startswith(("Preferred", "Accepted"))]
    check(len(ciphers) >= 4, "sslscan saw few ciphers: %s" % text)
    for c in ciphers:
        check(c.startswith(("TLS_AES", "TLS_CHACHA", "ECDHE-")) and ("GCM" in c or "CHACHA" in c), "cipher %s" % c)


@test
def sslscan_finds_nothing():
    for kind in "ec", "rsa":
        with server(kind) as s:
            for mode in s.ports:
                sslscan(s, mode)


@test
def testssl_finds_nothing_with_implicit_tls():
    with server("ec") as s:
        testssl(s, "implicit")


@test
def testssl_finds_nothing_with_starttls():
    with server("rsa") as s:
        testssl(s, "starttls")


main()
