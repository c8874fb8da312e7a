/*
 * words: tables alone.  A word that is missing here is shown as it is.
 */
#include "tools/log/words.h"

#include <string.h>

struct words_row {
	const char *word, *text;
};

static const struct words_row reasons[] = {
	{ "no-such-mailbox", "the directory has no such mailbox, and no catch-all for its domain" },
	{ "not-our-domain", "the directory has no entry of that domain: its mail is not received here" },
	{ "listed-reject", "the mailbox list refuses mail to it (reject=)" },
	{ "listed-defer", "the mailbox list puts mail to it off (defer=); the sender will try again" },
	{ "alias-loop", "its aliases lead back to themselves: mend the mailbox list" },
	{ "directory-unavailable",
	    "the directory could not be read, so nothing is known of the recipient; the sender will try again" },
	{ "alias-too-large", "the expansion of its aliases has no end in sight: mend the mailbox list" },
	{ "no-mailbox-decided", "no handler said where its mail belongs" },
	{ "too-many-mailboxes", "its aliases reach more mailboxes than one message may have" },
	{ "too-many-recipients",
	    "the transaction had as many recipients as recipient_limit allows; the rest come later" },
	{ "no-valid-recipients", "none of its recipients had been accepted" },
	{ "too-many-connections", "the server had as many connections as limits.connections allows" },
	{ "too-many-connections-from-address",
	    "that address had as many connections as limits.connections_per_ip allows" },
	{ "no-session-left", "the server had no descriptor left for one more session" },
	{ "too-many-errors", "the client had made as many mistakes as limits.errors allows" },
	{ "size-exceeded", "the message is larger than message_size_limit" },
	{ "size-flood", "the client went on sending far beyond the size limit" },
	{ "over-quota", "the mailbox, or its file system's quota, is full" },
	{ "disk-full", "the disk of the mail store is full" },
	{ "store-busy", "more messages waited for the disk than may" },
	{ "store-error", "the mail store failed; its own line above says how" },
	{ "handler-timeout", "a handler did not answer in time" },
	{ "no-memory", "memory was out" },
	{ "too-many-hops", "it has so many Received fields that it must be going round in a loop" },
	{ "delivered-before", "it was delivered to that mailbox before, and came back: a loop" },
	{ "bare-newline", "the content has a CR or LF that stands alone, which can smuggle a second message in" },
	{ "text-line-too-long", "the content has a line longer than any that is taken" },
	{ "line-too-long", "a command line was longer than may be" },
	{ "control-octet", "a command held a control octet" },
	{ "early-talker", "the client spoke before the greeting, as senders of junk do" },
	{ "tls-required", "that needs TLS first" },
	{ "plaintext-behind-starttls", "there was plaintext behind STARTTLS: somebody may have put it there" },
	{ "needs-smtputf8", "the address needs SMTPUTF8, which the client did not ask for" },
	{ "bad-sequence", "the command came at the wrong time" },
	{ "unknown-command", "there is no such command" },
	{ "unknown-parameter", "the command had a parameter that is not offered" },
	{ "sender-syntax", "the reverse-path is no address" },
	{ "helo-not-full", "the client's HELO name was neither a full host name nor an address in brackets" },
	{ "helo-literal", "the address in the client's HELO was not its own" },
	{ "helo-own", "the client gave this server's own name or address as its own" },
	{ "sender-not-full", "the sender's domain is no full name" },
	{ "sender-own", "the sender's domain is one of ours, and the client had not said who it is" },
	{ "sender-no-domain", "the sender's domain has neither a mail server nor an address in DNS" },
	{ "sender-null-mx", "the sender's domain says in DNS that it takes no mail" },
	{ "sender-unknown", "DNS did not say in time whether the sender's domain exists; the sender will try again" },
	{ "recipient-syntax", "the recipient is no address" },
	{ "wrong-protocol", "the client spoke LMTP to SMTP, or the other way round" },
	{ "shutdown", "the server was being stopped" },
	{ "timeout", "the client was silent for too long" },
};

static const struct words_row ends[] = {
	{ "quit", "The client said QUIT" },
	{ "lost", "The client went away without QUIT" },
	{ "timeout", "The client was silent for too long, and was let go" },
	{ "limit", "The server ended it, for one of its limits" },
	{ "refused", "The server refused it and closed" },
	{ "shutdown", "The server was being stopped, and ended it" },
	{ "no-memory", "The server was out of memory, and ended it" },
	{ "tls-failed", "The TLS handshake failed" },
	{ "tls-timeout", "The TLS handshake took too long" },
	{ "too-many-handshakes", "Its address had begun too many TLS handshakes in that minute" },
	{ "too-many-connections", "There were too many connections" },
	{ "too-many-connections-from-address", "There were too many connections from its address" },
	{ "too-fast-from-address", "There had been too many connections from its address in that minute" },
	{ "tls-flood", "The client sent a flood of TLS records without data, and was let go" },
	{ "plaintext-behind-starttls", "It was closed for plaintext behind STARTTLS" },
	{ "proxy-missing", "The load balancer sent no PROXY header" },
	{ "proxy-syntax", "The PROXY header was malformed" },
	{ "proxy-too-long", "The PROXY header was too long" },
	{ "proxy-checksum", "The PROXY header had a wrong checksum" },
	{ "proxy-short", "The load balancer closed before the end of its PROXY header, as a health check does" },
	{ "proxy-timeout", "The PROXY header did not come in time" },
};

static const char *
look_up(const struct words_row *row, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(row[i].word, word) == 0)
			return row[i].text;
	return NULL;
}

const char *
words_reason(const char *reason)
{
	return look_up(reasons, sizeof(reasons) / sizeof(*reasons), reason);
}

const char *
words_end(const char *end)
{
	return look_up(ends, sizeof(ends) / sizeof(*ends), end);
}
