"""dns: a stand-in for a DNS server: a zone in a dictionary, and ways to misbehave."""
import socket
import struct
import threading
import time

TYPES = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NAMES = {v: k for k, v in TYPES.items()}


def encode(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0"


def rdata(kind, v):
    if kind == "A":
        return socket.inet_aton(v)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, v)
    if kind == "TXT":
        v = v.encode() if isinstance(v, str) else v
        return bytes([len(v)]) + v
    if kind == "MX":
        return struct.pack(">H", 10) + encode(v)
    return encode(v)


class Dns:
    """ZONE: {("A", "name"): [values]}.  A value that is a function is called with the query, and says
    what to send: octets, or None.  ASKED: how often each was asked for."""

    def __init__(self, zone, address=("127.0.0.1", 0)):
        self.zone, self.asked, self.ttl = zone, {}, 300
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.name = "%s:%d" % self.sock.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, q, key, values):
        end = 12
        while q[end]:
            end += q[end] + 1
        question = q[12:end + 5]
        rcode = 0x8180 if values is not None else 0x8183
        out = q[:2] + struct.pack(">5H", rcode, 1, len(values or []), 0, 0) + question
        for v in values or []:
            d = rdata(key[0], v)
            out += b"\xc0\x0c" + struct.pack(">2HIH", TYPES[key[0]], 1, self.ttl, len(d)) + d
        return out

    def _serve(self):
        while True:
            try:
                q, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            labels, i = [], 12
            while q[i]:
                labels.append(q[i + 1:i + 1 + q[i]].decode())
                i += q[i] + 1
            key = (NAMES.get(struct.unpack(">H", q[i + 1:i + 3])[0], "?"), ".".join(labels).lower())
            self.asked[key] = self.asked.get(key, 0) + 1
            values = self.zone.get(key)
            if values is None and any(k[1] == key[1] for k in self.zone):
                values = []
            if callable(values):
                threading.Thread(target=self._later, args=(values, q, peer), daemon=True).start()
            else:
                self.sock.sendto(self.answer(q, key, values), peer)

    def _later(self, f, q, peer):
        out = f(q)
        if out is not None:
            try:
                self.sock.sendto(out, peer)
            except OSError:
                pass


def late(dns, key, values, seconds):
    """A zone's value: the answer, so much later."""
    def f(q):
        time.sleep(seconds)
        return dns[0].answer(q, key, values)
    return f
