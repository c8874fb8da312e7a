"""postfixmaps: Postfix's virtual maps in a folder, made at random or given, and what an address reaches by them.

The oracle asks the real postmap(1) for each key and follows virtual(5) and postmap(1) from there.
"""
import os
import random
import re
import subprocess

from harness import Skip, check, equal

MAIN = """\
compatibility_level = 3.6
myhostname = mx.test.example
mydomain = test.example
myorigin = {origin}
mydestination = $myhostname, localhost.$mydomain, localhost
recipient_delimiter = +
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {base}
virtual_mailbox_maps = hash:{root}/vmailbox
virtual_alias_maps = hash:{root}/virtual, texthash:{root}/more
"""


class Circle(Exception):
    """The maps go round in circles, for which Postfix has rules that virtual(5) does not tell."""


class Maps:
    """vmailbox, virtual and more: texts; DOMAINS: of mailboxes."""

    def __init__(self, root, vmailbox, virtual, more="", domains="one.example, two.example", origin="one.example"):
        if not os.path.exists("/usr/sbin/postmap"):
            raise Skip("postfix is not installed: tools/install-deps check")
        self.root, self.origin, self.domains = root, origin, domains
        os.makedirs(root, exist_ok=True)
        self.known = {}         # (key, table): value or None
        self.main = MAIN.format(root=root, domains=domains, origin=origin, base=os.path.join(root, "base"))
        for name, text in (("main.cf", self.main), ("master.cf", ""), ("vmailbox", vmailbox), ("virtual", virtual), ("more", more)):
            with open(os.path.join(root, name), "w") as f:
                f.write(text)
        for name in "vmailbox", "virtual":
            self.run("/usr/sbin/postmap", "-c", root, "hash:" + os.path.join(root, name))

    def run(self, *args, text=None):
        r = subprocess.run(args, input=text, capture_output=True, text=True, timeout=60)
        equal(r.returncode, 0, "%s: %s" % (" ".join(args), r.stderr))
        return r.stdout

    def postconf(self, name):
        return self.run("/usr/sbin/postconf", "-c", self.root, "-xh", name).strip()

    def query(self, key, *tables):
        """What postmap says of a key, in the first table that has it."""
        for table in tables:
            if (key, table) not in self.known:
                self.ask([key], table)
            if self.known[key, table] is not None:
                return self.known[key, table]
        return None

    def ask(self, keys, table):
        """Ask for many keys by one postmap; what it does not print is not there."""
        r = subprocess.run(["/usr/sbin/postmap", "-c", self.root, "-q", "-", table], input="".join(k + "\n" for k in keys),
                           capture_output=True, text=True, timeout=60)
        found = dict(line.split("\t", 1) for line in r.stdout.splitlines())
        check(r.returncode in (0, 1) and not r.stderr and set(found) <= set(keys), "postmap -q: %s" % r)
        self.known.update(((k, table), found.get(k)) for k in keys)

    def find(self, tables, address, bare=False):
        """postmap(1), virtual(5), TABLE SEARCH ORDER."""
        local, _, domain = address.rpartition("@")
        base = local.split("+", 1)[0] or local
        keys = [address] + ([base + "@" + domain] if base != local else [])
        if bare and domain in (self.origin, "mx.test.example", "localhost"):
            keys += [local] + ([base] if base != local else [])
        for key in keys + ["@" + domain]:
            value = self.query(key, *tables)
            if value is not None:
                return key, value
        return None, None

    def aliases(self):
        return ["hash:%s/virtual" % self.root, "texthash:%s/more" % self.root]

    def expand(self, address, seen=()):
        """The addresses that virtual_alias_maps makes of one."""
        key, value = self.find(self.aliases(), address, bare=True)
        if address in seen:
            raise Circle(address)
        if value is None:
            return {address}
        out = set()
        for word in re.split(r"[\s,]+", value.strip()):
            if word.startswith("@"):
                word = address.rpartition("@")[0] + word
            elif "@" not in word:
                word += "@" + self.origin
            out |= {word} if word == address else self.expand(word, (*seen, address))
        return out

    def paths(self, address):
        """The mailboxes that get its mail, as paths; empty: refused."""
        got = set()
        for a in self.expand(address.lower()):
            if a.rpartition("@")[2] in re.split(r"[\s,]+", self.domains):
                _, value = self.find(["hash:%s/vmailbox" % self.root], a)
                got.add(value)
        return got - {None}


def make(root, seed):
    """Maps at random: mailboxes, aliases, lists, copies, names alone, shared paths, catch-alls, aliases of a domain; and all addresses
    that are worth a question."""
    r = random.Random(seed)
    names = ["ann", "ben", "cat", "dan", "eve", "fay"]
    mailboxes = [n + "@one.example" for n in names if r.random() < 0.8] or ["ann@one.example"]
    boxes = ["%s %s/%s/" % (a, a.split("@")[1], a.split("@")[0]) for a in mailboxes]
    if r.random() < 0.5:
        boxes.append("Shared@One.Example  one.example/%s/" % r.choice(mailboxes).split("@")[0])
    two = r.choice(["mailboxes", "catch-all", "alias", "nothing"])
    if two == "mailboxes":
        boxes += ["gil@two.example\n   two.example/gil/", "# a comment\n\nhal@two.example two.example/hal/"]
    elif two == "catch-all":
        boxes.append("@two.example two.example/%s" % r.choice(["all/", "gil/"]))
        boxes.append("gil@two.example two.example/gil/")
    virtual, more = ["three.example  is a virtual alias domain"], []
    for i in range(r.randint(2, 6)):
        to = r.sample(mailboxes, min(len(mailboxes), r.randint(1, 3)))
        virtual.append("list%d@%s %s" % (i, r.choice(["one.example", "three.example"]), r.choice([", ", " ", ",\n   "]).join(to)))
    if r.random() < 0.6:
        virtual.append("chain@three.example %s" % virtual[1].split()[0])
    keeper = r.choice(mailboxes)
    if r.random() < 0.6:
        virtual.append("%s %s, %s" % (keeper, keeper, r.choice(mailboxes)))
    if r.random() < 0.4:
        virtual.append("%s %s" % (r.choice(mailboxes), r.choice(mailboxes)))
    if r.random() < 0.5:
        more.append("short %s" % r.choice(mailboxes).split("@")[0])
    if two == "alias":
        more.append("@two.example @one.example")
    if r.random() < 0.4:
        more.append("@three.example %s" % r.choice(mailboxes))
    if r.random() < 0.3:
        more.append("@one.example %s" % r.choice(mailboxes))
    if r.random() < 0.3:
        more.append("%s %s" % (virtual[-1].split()[0], r.choice(mailboxes)))       # the first map wins
    seen, unique = set(), []
    for line in virtual:
        if line.split()[0] not in seen:
            unique.append(line)
            seen.add(line.split()[0])
    text = {"vmailbox": "\n".join(boxes) + "\n", "virtual": "\n".join(unique) + "\n", "more": "\n".join(more) + "\n"}
    ask = {"%s@%s" % (n, d) for n in names + ["gil", "hal", "shared", "all", "short", "chain", "list0", "list1", "list2", "nobody", "ann+x", "ben+y.z"]
           for d in ("one.example", "two.example", "three.example")}
    m = Maps(root, **text)
    keys = sorted(ask | {a.replace("+x", "").replace("+y.z", "") for a in ask} | {"@" + a.split("@")[1] for a in ask} |
                  {a.split("@")[0] for a in ask})
    for table in [*m.aliases(), "hash:%s/vmailbox" % root]:
        m.ask(keys, table)
    return m, sorted(ask), text
