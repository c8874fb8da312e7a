"""harness: how a Python test program registers, runs and reports its tests.

A program decorates functions with @test and ends with main(), which prints a
line a test: "ok", "not ok" with a traceback, or "skip".  Arguments are names
(or parts of them) of the tests to run; without any, all run.
"""
import ctypes
import os
import signal
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LETTERPLATE_BIN") or os.path.join(TOP, "build/bin")      # e.g. where they were installed

# Where the tests run in the background it may be ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_tests = []
on_failure = []         # functions that print what helps to understand a failure
on_end = []             # functions that clean up after each test


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


def test(f):
    _tests.append(f)
    return f


def check(condition, why="not so"):
    if not condition:
        raise AssertionError(why)


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError("%s: got %s, want %s" % (what, short(got), short(want)))


def short(v):
    text = repr(v)
    return text if len(text) < 600 else text[:400] + " ... " + text[-150:]


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def own_mounts():
    """What this program mounts is seen by it and its children alone.

    Else a process that copies the mount namespace meanwhile (unshare -m, a
    sandbox) holds on to it: umount ends nothing, and mount finds the old file
    system at the same loop device again.
    """
    libc, newns, private_all = ctypes.CDLL(None), 0x00020000, (1 << 18) | 0x4000
    if os.geteuid() == 0 and libc.unshare(newns) == 0:      # who may not do that may not mount either
        libc.mount(b"none", b"/", None, ctypes.c_ulong(private_all), None)


def scratch(prefix="t."):
    """A new folder that the worker's user may pass through."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o711)
    return path


def sanitized():
    """Whether the programs under test are built with a sanitizer: slower, and fatter."""
    try:
        with open(os.path.join(TOP, "build/variant")) as f:
            return "-" in f.read()
    except OSError:
        return False


def main():
    program = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    failed = 0
    for f in _tests:
        name = f.__name__.replace("_", "-")
        if sys.argv[1:] and not any(a in name for a in sys.argv[1:]):
            continue
        began = time.monotonic()
        try:
            f()
            print("ok %s: %s (%.2f s)" % (program, name, time.monotonic() - began))
        except Skip as why:
            print("skip %s: %s: %s" % (program, name, why))
        except Exception as why:
            failed += 1
            print("not ok %s: %s: %s" % (program, name, " ".join(str(why).split()) or type(why).__name__))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            for g in on_failure:
                g()
        finally:
            for g in on_end:
                g()
            sys.stdout.flush()
    sys.exit(1 if failed else 0)
