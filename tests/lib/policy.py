"""policy: a stand-in for a policy server, that answers as a test tells it, and
misbehaves as it tells it too."""
import os
import socket
import threading
import time


class Policy:
    """ANSWER(request, conn) gives an action ("DUNNO"), or octets to be sent as they are, or
    None to say nothing; an exception closes the connection.  PATH: a unix socket."""

    def __init__(self, answer=lambda r, c: "DUNNO", path=None):
        self.answer, self.requests, self.conns, self.path = answer, [], [], path
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sock.bind(path or ("127.0.0.1", 0))
        if path:
            os.chmod(path, 0o666)
        self.sock.listen(200)
        self.name = "unix:" + path if path else "inet:127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def section(self, name, stage="rcpt", **more):
        more = dict({"timeout": "5s"}, **more)
        return 'policy "%s" { socket = "%s" stage = "%s" %s }\n' % (
            name, self.name, stage, " ".join('%s = "%s"' % kv for kv in more.items()))

    def _accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.conns.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        buf = b""
        try:
            while True:
                while b"\n\n" not in buf:
                    more = c.recv(65536)
                    if not more:
                        return
                    buf += more
                head, _, buf = buf.partition(b"\n\n")
                request = dict(line.split("=", 1) for line in head.decode().split("\n"))
                request["_lines"] = head.decode().split("\n")
                self.requests.append(request)
                a = self.answer(request, c)
                if isinstance(a, str):
                    a = b"action=" + a.encode() + b"\n\n"
                if a is not None:
                    c.sendall(a)
        except Exception:
            pass
        finally:
            c.close()

    def close(self):
        """Nobody listens there any more."""
        self.sock.shutdown(socket.SHUT_RDWR)        # close() alone would not reach the thread that waits in accept()
        self.sock.close()
        for c in self.conns:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def drip(text, pause=0.01):
    """An answer, octet by octet."""
    def answer(_, c):
        for b in text:
            c.sendall(bytes([b]))
            time.sleep(pause)
    return answer
