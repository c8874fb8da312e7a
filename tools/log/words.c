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
	{ "too-many-from-address", "that address had as many connections as limits.connections_per_ip allows" },
	{ "too-fast-from-address",
	    "that address had begun as many connections in that minute as limits.rate_per_ip allows" },
	{ "too-many-handshakes",
	    "that address had begun as many TLS handshakes in that minute as limits.handshakes_per_ip allows" },
	{ "no-worker", "no worker served, and none became ready: the log of that time says why" },
	{ "no-session-left", "the server had no descriptor left for one more session" },
	{ "too-many-errors", "the client had made as many mistakes as limits.errors allows" },
	{ "session-too-long", "the session had lasted as long as limits.session allows" },
	{ "too-slow", "the content came more slowly than limits.data_rate allows" },
	{ "size-exceeded", "the message is larger than message_size_limit" },
	{ "size-flood", "the client went on sending far beyond the size limit" },
	{ "over-quota", "the mailbox, or its file system's quota, is full" },
	{ "disk-full", "the disk of the mail store is full" },
	{ "store-busy", "more messages waited for the disk than may" },
	{ "store-error", "the mail store failed; its own line above says how" },
	{ "reports-full", "as many delivery reports wait as may; a message that asks for none would have been taken" },
	{ "handler-timeout", "a handler did not answer in time" },
	{ "handler-failed", "a handler could not do its work; its own line above says why" },
	{ "edits-failed", "what the handlers changed could not be carried out; the line above says why" },
	{ "milter", "the milter said so in words of its own" },
	{ "milter-reject", "the milter refused it" },
	{ "milter-tempfail", "the milter put it off; the sender will try again" },
	{ "milter-close", "the milter wanted the session closed" },
	{ "header-too-large", "a filter wanted to edit its header, which is larger than can be edited" },
	{ "policy-reject", "the policy server refused it" },
	{ "policy-defer", "the policy server put it off; the sender will try again" },
	{ "policy-defer-if-permit", "the policy server put off what would have been accepted otherwise" },
	{ "policy-defer-if-reject", "the policy server put off what would have been refused otherwise" },
	{ "network-rejected", "its network is one that a networks section refuses" },
	{ "network-deferred", "its network is one that a networks section puts off" },
	{ "dns-list", "its address is on as many block lists in DNS as are enough" },
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
	{ "auth-required", "the listener takes mail only from those who have said who they are" },
	{ "auth-in-clear", "who it is may be said inside TLS alone" },
	{ "auth-mechanism", "the client chose a mechanism that is not offered" },
	{ "auth-syntax", "the client's answer was not base64, or not what the mechanism asks for" },
	{ "auth-line-too-long", "the client's answer was longer than may be" },
	{ "auth-cancelled", "the client gave it up itself" },
	{ "auth-wrong", "the name, the password or the token was wrong" },
	{ "auth-binding", "the client's TLS did not end at this server: somebody may stand between" },
	{ "auth-unavailable", "whoever could tell was not there, or had too much to do" },
	{ "auth-failures", "the client had failed to say who it is as often as a session may" },
	{ "auth-budget-ip", "that address had guessed wrong as often as limits.auth_failures_per_ip allows" },
	{ "auth-budget-user", "wrong guesses at that name had been as many as limits.auth_failures_per_user allows" },
	{ "xclient-refused", "it is not in xclient_from" },
	{ "http-verb", "the client spoke HTTP" },
	{ "bdat-count", "BDAT had no number, so that nobody could tell content from commands" },
	{ "syntax", "the command was malformed" },
	{ "not-implemented", "that command is known, and not served" },
	{ "bad-sequence", "the command came at the wrong time" },
	{ "unknown-command", "there is no such command" },
	{ "unknown-parameter", "the command had a parameter that is not offered" },
	{ "bad-parameter", "a parameter of the command was malformed, or its value wrong" },
	{ "repeated-parameter", "the command had the same parameter twice" },
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
	{ "http-verb", "The client spoke HTTP, and was let go" },
	{ "too-slow", "Its message came too slowly, and it was let go" },
	{ "session-too-long", "It had lasted as long as a session may" },
	{ "no-memory", "The server was out of memory, and ended it" },
	{ "tls-failed", "The TLS handshake failed" },
	{ "tls-timeout", "The TLS handshake took too long" },
	{ "too-many-handshakes", "Its address had begun too many TLS handshakes in that minute" },
	{ "too-many-connections", "There were too many connections" },
	{ "too-many-from-address", "There were too many connections from its address" },
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
