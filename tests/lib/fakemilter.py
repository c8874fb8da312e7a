"""fakemilter: a milter that does what a test wants, and worse.

    m = FakeMilter(on={"E": [packet("h", b"X-A\\0b\\0"), CONTINUE]})
    ... socket = m.socket ...
    m.heard            # [(connection, command, data)...]
    m.macros           # {"i": ...} as last said

ON maps a command's letter to what is answered: a list of packets, or a
function (connection, data) that returns one, or None to say nothing.  What is
not in it is answered with "continue", as far as the options want an answer.
It speaks the protocol from its own idea of it and shares no code with the server.
"""
import os
import socket
import struct
import threading

ALL_ACTIONS, ALL_STEPS = 0x1ff, 0x301fffff
NO = {"C": 1 << 0, "H": 1 << 1, "M": 1 << 2, "R": 1 << 3, "B": 1 << 4, "L": 1 << 5, "N": 1 << 6, "U": 1 << 8, "T": 1 << 9}
NR = {"L": 1 << 7, "C": 1 << 12, "H": 1 << 13, "M": 1 << 14, "R": 1 << 15, "T": 1 << 16, "U": 1 << 17, "N": 1 << 18, "B": 1 << 19}
SKIP, RCPT_REJ, LEADSPC, MDS_256K, MDS_1M = 1 << 10, 1 << 11, 1 << 20, 1 << 28, 1 << 29


def packet(cmd, data=b""):
    return struct.pack(">I", len(data) + 1) + cmd.encode() + data


def flags(table, letters):
    return sum(table[x] for x in letters)


CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD = (packet(x) for x in "cartd")


def code(text):
    return packet("y", text.encode() + b"\0")


class Connection:
    def __init__(self, milter, sock, number):
        self.milter, self.sock, self.number, self.ended = milter, sock, number, False
        self.steps = milter.steps

    def start(self):
        threading.Thread(target=self.run, daemon=True).start()

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def run(self):
        try:
            while not self.ended:
                n, = struct.unpack(">I", self.take(4))
                body = self.take(n)
                self.command(chr(body[0]), body[1:])
        except (EOFError, OSError):
            pass
        finally:
            self.sock.close()
            self.milter.gone += 1

    def close(self, reset=False):
        self.ended = True
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()       # a reset, not an end
        else:
            self.sock.shutdown(socket.SHUT_RDWR)

    def send(self, data):
        self.sock.sendall(data)

    def command(self, cmd, data):
        m = self.milter
        m.heard.append((self.number, cmd, data))
        if cmd == "D":
            words = data[1:].split(b"\0")[:-1]
            m.macros.update((words[i].decode(), words[i + 1].decode("utf-8", "replace"))
                            for i in range(0, len(words), 2))
            m.macros_at[chr(data[0])] = {words[i].decode(): words[i + 1].decode() for i in range(0, len(words), 2)}
            return
        if cmd == "O" and "O" not in m.on:
            m.offered = struct.unpack(">III", data)
            self.send(packet("O", struct.pack(">III", m.version, m.actions, m.steps) + m.symbols))
            return
        if cmd == "Q":
            self.ended = True
            return
        answer = m.on.get(cmd)
        if callable(answer):
            answer = answer(self, data)
        elif answer is None and cmd not in "AK" and not self.steps & NR.get(cmd, 0):
            answer = CONTINUE
        if answer:
            self.send(answer if isinstance(answer, bytes) else b"".join(answer))


class FakeMilter:
    def __init__(self, on=None, steps=0, actions=ALL_ACTIONS, version=6, symbols=b"", path=None, port=None):
        self.on, self.steps, self.actions, self.version, self.symbols = on or {}, steps, actions, version, symbols
        self.heard, self.macros, self.macros_at, self.connections, self.gone = [], {}, {}, [], 0
        self.offered = None
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.socket = "unix:" + path
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", port or 0))
            self.socket = "inet:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen(2048)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                return
            # Known before it is served: whoever was answered finds it here.
            self.connections.append(Connection(self, sock, len(self.connections)))
            self.connections[-1].start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.connections:
            try:
                c.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()
        return False

    def said(self, letters="CHUMRTLNBEAKQ"):
        """The commands heard, as letters in order."""
        return "".join(c for _, c, _ in self.heard if c in letters)

    def data(self, cmd):
        return [d for _, c, d in self.heard if c == cmd]
