"""libmilter: a milter made of Sendmail's own library, by ctypes: what it takes for the protocol is what counts.

    python3 libmilter.py SOCKET LOG HOOK,HOOK...    HOOK: of HOOKS; each call is a line of LOG
"""
import ctypes
import os
import socket
import subprocess
import sys

from server import wait_for

SONAME = "libmilter.so.1.0.1"
CONTINUE, REJECT, TEMPFAIL = 0, 1, 4
HOOKS = ["connect", "helo", "envfrom", "envrcpt", "header", "eoh", "body", "eom", "abort", "close", "unknown", "data"]
TEXT = {"helo", "unknown"}      # those whose first argument is a string


def hook(name):
    args = [ctypes.c_char_p] if name in TEXT else [ctypes.c_void_p, ctypes.c_void_p]
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *args)


class Filter(ctypes.Structure):     # struct smfiDesc
    _fields_ = [("name", ctypes.c_char_p), ("version", ctypes.c_int), ("flags", ctypes.c_ulong)] + [(n, hook(n)) for n in HOOKS] + \
        [("negotiate", ctypes.c_void_p)]


def serve(sock, log, names):
    lib, out = ctypes.CDLL(SONAME), open(log, "a", buffering=1)

    def make(name):
        def call(ctx, *args):
            out.write(name + (" " + args[0].decode() if name in TEXT else "") + "\n")
            if name == "unknown" and args[0] == b"XYZZY":
                lib.smfi_setreply(ctypes.c_void_p(ctx), b"554", b"5.7.1", b"no magic here")
                return REJECT
            return TEMPFAIL if name == "unknown" and args[0] == b"PLUGH" else CONTINUE
        return hook(name)(call)

    f = Filter(b"test", 0x01000001, 0)
    for name in names:
        setattr(f, name, make(name))
    lib.smfi_register.argtypes = [Filter]
    if lib.smfi_register(f) != 0 or lib.smfi_setconn(sock.encode()) != 0:
        return 1
    return lib.smfi_main()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


class Libmilter:
    """One that runs; .said() is what it heard."""
    def __init__(self, port, log, *names):
        self.socket, self.log = "inet:127.0.0.1:%d" % port, log
        open(log, "w").close()
        self.process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), "inet:%d@127.0.0.1" % port, log, ",".join(names)])
        wait_for(lambda: listens(port), why="libmilter did not begin to listen")

    def said(self):
        with open(self.log) as f:
            return f.read().splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.kill()
        self.process.wait()
        return False


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1], sys.argv[2], sys.argv[3].split(",")))
