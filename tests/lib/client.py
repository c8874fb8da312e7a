"""client: a plain SMTP client on a socket, that counts each reply it reads.

It does what it is told, right or wrong; what it saw is kept in `seen`, so that
a test can compare with the server's own counters.  Not a mail library: use
smtplib, swaks and curl for what real clients do.
"""
import re
import smtplib
import socket

REPLY_LINE = re.compile(rb"([2-5]\d\d)([ -])(.*)")
ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3}) ")


class Reply:
    def __init__(self, code, lines):
        self.code, self.lines = code, lines
        self.text = "\n".join(lines)
        m = ENHANCED.match(lines[-1] + " ")
        self.enhanced = ".".join(m.groups()) if m else ""
        m = re.search(r" \[(\S+)\]$", lines[-1])
        self.session = m.group(1) if m else ""

    @property
    def queued(self):
        """The id in "250 2.0.0 queued as ID"."""
        m = re.match(r"2\.0\.0 queued as (\S+)$", self.lines[-1])
        return m.group(1) if m else ""

    def __str__(self):
        return "%d %s" % (self.code, self.text)

    def __repr__(self):
        return "<%s>" % self

    def is_(self, code, enhanced=None):
        """Assert the codes; return the reply."""
        if self.code != code or (enhanced is not None and self.enhanced != enhanced):
            raise AssertionError("reply is '%s', not %s %s" % (self, code, enhanced or ""))
        return self


class Closed(Exception):
    """The server closed the connection."""


def connect(address, source=None, timeout=30.0, rcvbuf=None):
    """A connected socket; ADDRESS is (host, port) or the path of a unix socket."""
    if isinstance(address, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(timeout)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        s.bind((source, 0))
    try:
        s.connect(address)
        if family != socket.AF_UNIX:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        s.close()
        raise
    return s


class Client:
    """One connection.  `seen` is a Counter of codes, shared with the server's object."""

    def __init__(self, address, seen, source=None, timeout=30.0, rcvbuf=None, greet=True):
        self.seen, self.buf, self.at_end = seen, b"", False
        self.sock = connect(address, source, timeout, rcvbuf)
        self.greeting = self.reply() if greet else None

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.buf:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                self.at_end = True
                raise Closed("connection closed after %r" % self.buf[-80:])
            self.buf += more
        line, _, self.buf = self.buf.partition(b"\n")
        if not line.endswith(b"\r"):
            raise AssertionError("reply line without CR: %r" % line)
        if len(line) + 1 > 512:
            raise AssertionError("reply line of %d octets: %r" % (len(line) + 1, line[:80]))
        return line[:-1]

    def reply(self):
        lines = []
        while True:
            m = REPLY_LINE.fullmatch(self.line())
            if not m:
                raise AssertionError("not a reply line")
            lines.append(m.group(3).decode("utf-8", "replace"))
            if m.group(2) == b" ":
                break
        self.seen[int(m.group(1))] += 1
        return Reply(int(m.group(1)), lines)

    def cmd(self, line):
        """Send one command line (str or octets, without CRLF); return its reply."""
        if isinstance(line, str):
            line = line.encode()
        self.send(line + b"\r\n")
        return self.reply()

    def hello(self, name="client.example"):
        return self.cmd("EHLO " + name).is_(250)

    def envelope(self, rcpts, sender="sender@client.example", params=""):
        """MAIL and RCPTs, all to be accepted."""
        self.cmd("MAIL FROM:<%s>%s" % (sender, params)).is_(250, "2.1.0")
        for r in [rcpts] if isinstance(rcpts, str) else rcpts:
            self.cmd("RCPT TO:<%s>" % r).is_(250, "2.1.5")

    def data(self, content):
        """DATA with CONTENT (octets, lines end in CRLF; dots are stuffed here); the final reply."""
        self.cmd("DATA").is_(354)
        self.send(stuff(content))
        return self.reply()

    def message(self, rcpts, content, **more):
        self.envelope(rcpts, **more)
        return self.data(content)

    def rest(self):
        """Read replies to the end of the connection; return them."""
        replies = []
        try:
            while True:
                replies.append(self.reply())
        except Closed:
            return replies

    def quit(self):
        self.cmd("QUIT").is_(221, "2.0.0")
        self.ended()
        self.close()

    def ended(self):
        """Assert that the server closes now, and says nothing more."""
        replies = self.rest()
        if replies:
            raise AssertionError("unexpected reply: %s" % replies[0])

    def close(self):
        self.at_end = True
        self.sock.close()

    def vanish(self):
        """Leave with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


def stuff(content):
    """CONTENT as it goes over the wire, with the end of data."""
    out = content.replace(b"\r\n.", b"\r\n..")
    if out.startswith(b"."):
        out = b"." + out
    return out + (b".\r\n" if not out or out.endswith(b"\r\n") else b"\r\n.\r\n")


def counting(base):
    """A subclass of smtplib.SMTP or LMTP that counts replies in `seen`."""
    class Counting(base):
        def __init__(self, seen, *args, **more):
            self.seen = seen
            super().__init__(*args, **more)

        def getreply(self):
            code, text = super().getreply()
            if code > 0:
                self.seen[code] += 1
            return code, text
    return Counting


SMTP, LMTP = counting(smtplib.SMTP), counting(smtplib.LMTP)
