"""sink: an SMTP server that keeps what it is given, or misbehaves as it is told.

    with Sink() as relay:
        ... dsn_relay = relay.address
        relay.wait(1)[0].rcpt, .sender, .text

MODE: a function that is given (verb, n-th time) and returns a reply line, None for the usual
one, "" to hang up, or HANG to say nothing any more.  With TLS, a server's SSL context, STARTTLS
is obeyed where it is offered; "SHAKE" is the verb of the handshake that follows, and what MODE
gives for it goes out in its place.
"""
import email
import email.policy
import socket
import threading
import time

HANG = object()


class Mail:
    def __init__(self, sender, rcpts, text, tls=None):
        self.sender, self.rcpts, self.text, self.tls = sender, rcpts, text, tls

    @property
    def message(self):
        return email.message_from_bytes(self.text, policy=email.policy.SMTPUTF8)


class Sink:
    def __init__(self, port=0, offers=("8BITMIME", "SMTPUTF8"), mode=None, tls=None):
        self.offers, self.mode, self.tls = offers, mode or (lambda verb, n: None), tls
        self.mails, self.counts, self.verbs, self.open = [], {}, [], []
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # Its thread is woken and ends first: it would go on with the descriptor's number, which is soon another listener's.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.acceptor.join()
        self.listener.close()
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self, n, timeout=15.0):
        end = time.monotonic() + timeout
        while len(self.mails) < n:
            if time.monotonic() > end:
                raise AssertionError("%d mails at the relay, want %d; it heard %s" % (len(self.mails), n, self.verbs[-12:]))
            time.sleep(0.02)
        return list(self.mails)

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _say(self, s, verb, usual):
        with self.lock:
            self.counts[verb] = n = self.counts.get(verb, 0) + 1
            self.verbs.append(verb)
        said = self.mode(verb, n)
        if said is HANG:
            time.sleep(600)
        if said == "":
            raise OSError
        s.sendall(((said or usual) + "\r\n").encode())
        return (said or usual)[0]

    def _serve(self, s):
        try:
            self._session(s, s.makefile("rb"))
        except OSError:
            pass
        s.close()

    def _shake(self, s):
        """Secured, or None when the session is over."""
        with self.lock:
            self.counts["SHAKE"] = n = self.counts.get("SHAKE", 0) + 1
        said = self.mode("SHAKE", n)
        if said is HANG:
            time.sleep(600)
        if said is not None:
            s.sendall(said.encode())
            s.recv(4096)
            return None
        return self.tls.wrap_socket(s, server_side=True)

    def _session(self, s, f):
        self._say(s, "CONNECT", "220 sink ESMTP")
        self._commands(s, f)

    def _commands(self, s, f, tls=None):
        sender, rcpts = None, []
        for line in f:
            verb = line.split()[0].upper().decode("ascii", "replace") if line.split() else "?"
            if verb == "EHLO":
                offers = [x for x in self.offers if not tls or x != "STARTTLS"]
                self._say(s, verb, "\r\n".join("250-" + x for x in ["sink"] + offers) + "\r\n250 HELP")
            elif verb == "STARTTLS" and self.tls:
                if self._say(s, verb, "220 go ahead") == "2":
                    secured = self._shake(s)
                    if secured:
                        self._commands(secured, secured.makefile("rb"), secured.version())
                        secured.close()
                    return
            elif verb == "MAIL":
                if self._say(s, verb, "250 ok") == "2":
                    sender, rcpts = line.strip().decode("utf-8"), []
            elif verb == "RCPT":
                if self._say(s, verb, "250 ok") == "2":
                    rcpts.append(line.strip().decode("utf-8"))
            elif verb == "DATA":
                if self._say(s, verb, "354 go on") != "3":
                    continue
                text = b""
                for line in f:
                    if line == b".\r\n":
                        break
                    text += line[1:] if line.startswith(b".") else line
                else:
                    return
                if self._say(s, "END", "250 taken") == "2":
                    self.mails.append(Mail(sender, rcpts, text, tls))
            elif verb == "QUIT":
                self._say(s, verb, "221 bye")
                return
            else:
                self._say(s, verb, "250 ok")
