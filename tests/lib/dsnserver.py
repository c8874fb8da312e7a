"""dsnserver: a server that offers DSN, and what tests of reports ask of it."""
import glob
import os

from server import Server

TEXT = b"Subject: hello\r\nFrom: sender@client.example\r\nX-Long: a\r\n b\r\n\r\nthe body stays here\r\n"


class DsnServer(Server):
    """Offers DSN while self.dsn is "yes"; RELAY is host:port."""
    def __init__(self, relay, no_journal=False, **more):
        self.dsn, self.relay, self.no_journal = "yes", relay, no_journal
        super().__init__(**more)

    def config(self):
        text = super().config() + 'dsn = %s\ndsn_relay = "%s"\n' % (self.dsn, self.relay)
        return text.replace("delivered_to =", 'journal = 0 delivered_to =') if self.no_journal else text

    def waiting(self):
        return sorted(glob.glob(os.path.join(self.store_path, ".reports", "new", "*")))

    def ask(self, sender="sender@client.example", rcpts=(("alice@example.org", "NOTIFY=SUCCESS"),), mail="", text=TEXT):
        """Send a message; the final reply."""
        c = self.client()
        c.hello()
        c.cmd("MAIL FROM:<%s>%s" % (sender, mail and " " + mail)).is_(250)
        for to, params in rcpts:
            c.cmd("RCPT TO:<%s> %s" % (to, params)).is_(250)
        r = c.data(text)
        c.quit()
        return r
