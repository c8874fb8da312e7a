"""machine: this system once more, for a test that installs and sets up as an operator would: the same files, but what is written
stays in memory; a network, host name and processes of its own; a stand-in for systemctl.

It needs root, name spaces and overlayfs, and skips without.  All of it goes with close().
"""
import os
import shlex
import shutil
import subprocess
import time

from harness import BIN, TOP, Skip, check, need_root, scratch

FOLDERS = ("etc", "usr", "var", "root", "home", "opt", "srv")
START = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine {top}
for d in {folders}; do
    mkdir -p {top}/$d.upper {top}/$d.work
    chmod --reference=/$d {top}/$d.upper
    mount -t overlay -o lowerdir=/$d,upperdir={top}/$d.upper,workdir={top}/$d.work machine /$d
done
# "make install" looks after build/, which is the tests' own.
mkdir {top}/build.upper {top}/build.work
mount -t overlay -o lowerdir={build},upperdir={top}/build.upper,workdir={top}/build.work machine {build}
mount -t tmpfs -o mode=755 machine /run
mkdir -p /run/lock {top}/bin
ip link set lo up
ip -6 route add local 2001:db8::/32 dev lo 2>/dev/null || true
ip route add local 192.0.2.0/24 dev lo
hostname {hostname}
touch {top}/ready
# Not exec: it takes in the orphans.
while :; do sleep 1; done
"""
# Units of ours are read; of other services it knows how their packages start them.
SYSTEMCTL = """\
#!/bin/bash
# systemctl: a stand-in: starts, stops and reloads one service after another, and keeps their numbers in /run/services.
mkdir -p /run/services
case $1 in daemon-reload) exit 0 ;; esac
verb=$1 now=no; shift
for s; do
    s=${s%.service} ready=
    case $s in --now) now=yes; continue ;; -*) continue ;; esac
    unit=$(ls /{etc,usr/local/lib,lib}/systemd/system/$s.service 2>/dev/null | head -1)
    get() { sed -n "s/^$1=//p" "$unit" | head -1; }
    case $s in
    dovecot) start='/usr/sbin/dovecot -F' reload='doveadm reload' ;;
    haproxy) start='/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg' reload='kill -USR2 $pid' ;;
    rspamd) start='/usr/bin/rspamd -f --insecure' reload='kill -HUP $pid' ;;
    postfix) start='sleep infinity' reload=: ;;
    postgrey) . /etc/default/postgrey; start="/usr/sbin/postgrey $POSTGREY_OPTS" reload='kill -HUP $pid' ;;
    spamd) . /etc/default/spamd; start="/usr/sbin/spamd $OPTIONS" reload='kill -HUP $pid' ready='(: >/dev/tcp/127.0.0.1/783)' ;;
    clamav-daemon) install -d -o clamav /run/clamav; start='/usr/sbin/clamd --foreground=true' ready='[ -S /run/clamav/clamd.ctl ]' ;;
    clamav-milter | spamass-milter) /etc/init.d/$s "$verb" >/dev/null || exit; continue ;;
    *) [ -n "$unit" ] || { echo "Unit $s.service not found." >&2; exit 5; }
        start=$(get ExecStart) reload=$(get ExecReload)
        [ -z "$(get RuntimeDirectory)" ] || mkdir -p "/run/$(get RuntimeDirectory)"
        [ ! -e "/usr/lib/tmpfiles.d/$s.conf" ] || systemd-tmpfiles --create "/usr/lib/tmpfiles.d/$s.conf"
        ;;
    esac
    pid=$(cat "/run/services/$s" 2>/dev/null)
    stop() { [ -z "$pid" ] || { kill "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; rm "/run/services/$s"; }; }
    run() {
        pre=$([ -z "$unit" ] || get ExecStartPre)
        [ -z "$pre" ] || $pre >/run/services/$s.log 2>&1 || { cat /run/services/$s.log >&2; exit 1; }
        rm -f /run/services/$s.notify
        if [ "$unit" ] && [ "$(get Type)" = forking ]; then
            $start </dev/null >>/run/services/$s.log 2>&1 || { cat /run/services/$s.log >&2; exit 1; }
            pidfile=$(get PIDFile)
            for _ in $(seq 100); do [ ! -s "$pidfile" ] || break; sleep 0.1; done
            cat "$pidfile" >/run/services/$s
            return 0
        fi
        setsid $start </dev/null >>/run/services/$s.log 2>&1 &
        echo $! >/run/services/$s
        new=$!
        sleep 0.7
        # It loads its rules first.
        [ $s != rspamd ] || for _ in $(seq 450); do (: >/dev/tcp/127.0.0.1/11332) 2>/dev/null && break; sleep 0.2; done
        [ -z "$ready" ] || for _ in $(seq 450); do eval "$ready" 2>/dev/null && break; sleep 0.2; done
        kill -0 $new 2>/dev/null || { cat /run/services/$s.log >&2; exit 1; }
    }
    case $verb in
    enable) [ $now = no ] || run ;;
    start) [ -n "$pid" ] || run ;;
    disable) [ $now = no ] || stop ;;
    stop) stop ;;
    restart) stop; run ;;
    reload) eval "$reload" ;;
    is-active) [ -n "$pid" ] && kill -0 "$pid" && echo active ;;
    *) echo "systemctl: no verb $verb in this stand-in" >&2; exit 64 ;;
    esac || exit
done
"""
JOURNALCTL = """\
#!/bin/bash
# journalctl: a stand-in: what a service has written.
while [ $# -gt 0 ]; do case $1 in -u) unit=$2; shift 2 ;; *) shift ;; esac; done
# The log has a thread of its own: nobody who types is as quick as a script.
sleep 1
exec cat "/run/services/${unit:-letterplate}.log"
"""


class Machine:
    def __init__(self, hostname="mx.example.org"):
        need_root()
        self.top = scratch("machine.")
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c",
             START.format(top=self.top, build=os.path.join(TOP, "build"), folders=" ".join(FOLDERS), hostname=hostname)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.pid = self.first()
        self.script("systemctl", SYSTEMCTL)
        self.script("journalctl", JOURNALCTL)
        # What is under test is built.
        self.script("make", "#!/bin/bash\n# make: a stand-in that builds nothing.\ncase \"$*\" in '') ;; install) "
                    "exec /usr/bin/make -s -o all install BIN=%s >/dev/null ;; *) echo \"make: not here: $*\" >&2; exit 64 ;; esac\n" % BIN)
        self.script("sudo", "#!/bin/bash\n# sudo: root is who runs this.\nexec \"$@\"\n")

    def first(self):
        """The number of its first process, once it has what it needs."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.holder.poll() is not None:
                raise Skip("no name spaces or no overlayfs here: %s" % self.holder.stderr.read().strip()[-300:])
            try:
                with open("/proc/%d/task/%d/children" % (self.holder.pid, self.holder.pid)) as f:
                    pid = int(f.read().split()[0])
                if os.path.exists("/proc/%d/root%s/ready" % (pid, self.top)):
                    return pid
            except (OSError, IndexError):
                pass
            time.sleep(0.02)
        raise AssertionError("the machine does not come up")

    def file(self, path):
        """A path of its own, as this process sees it."""
        return "/proc/%d/root%s" % (self.pid, path)

    def read(self, path):
        with open(self.file(path), errors="replace") as f:
            return f.read()

    def write(self, path, text, mode=0o644, append=False):
        os.makedirs(os.path.dirname(self.file(path)), exist_ok=True)
        with open(self.file(path), "a" if append else "w") as f:
            f.write(text)
        os.chmod(self.file(path), mode)

    def script(self, name, text):
        """A program that comes before all others of its name."""
        self.write(self.top + "/bin/" + name, text, 0o755)

    def run(self, text, timeout=120, cwd=TOP, stdin=None):
        """Run commands as root's shell would, until one fails; the CompletedProcess, with both outputs in stdout."""
        env = {"PATH": "%s/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" % self.top, "HOME": "/root", "LC_ALL": "C.UTF-8",
               "TERM": "dumb", "USER": "root"}
        env.update((k, v) for k, v in os.environ.items() if k.endswith("SAN_OPTIONS"))
        return subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-n", "-u", "-p", "bash", "-euo", "pipefail", "-c",
                               # Not nsenter's --wd, which would be the folder outside.
                               "cd %s\n%s" % (shlex.quote(cwd), text)],
                              env=env, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout)

    def do(self, text, **kw):
        r = self.run(text, **kw)
        check(r.returncode == 0, "%s: status %d: %s" % (text, r.returncode, r.stdout[-3000:]))
        return r.stdout

    def install(self):
        """The programs under test, as "make install" places them, and the user that a package would make."""
        self.do("make install; systemd-sysusers /usr/local/lib/sysusers.d/letterplate.conf")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stderr.close()
        shutil.rmtree(self.top, ignore_errors=True)
