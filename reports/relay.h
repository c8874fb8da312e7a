/*
 * relay: an SMTP client for one message at a time, over one connection that stays while there is more to send.
 * Driven by poll: it never waits.  TLS when the relay offers STARTTLS, else in clear.
 */
#ifndef REPORTS_RELAY_H_
#define REPORTS_RELAY_H_

#include <poll.h>

#include "common/buf.h"
#include "reports/lookup.h"
#include "reports/relay_reply.h"
#include "reports/relay_tls.h"

enum {
	RELAY_CONNECT_MS = 30000,    /* for one address */
	RELAY_QUIT_MS    = 5000,     /* for its good-bye; others wait behind it */
	RELAY_REPLY_MAX  = 8192,     /* octets of one reply, all its lines */
	RELAY_OUT_MAX    = 64 << 20, /* octets that wait to be sent: a report, dots stuffed */
	RELAY_WORDS_MAX  = 200       /* octets of its words that are logged */
};

enum relay_result {
	RELAY_SENT,  /* it took the message */
	RELAY_LATER, /* 4xx to this one */
	RELAY_NEVER, /* 5xx, or it cannot take such a message */
	RELAY_DOWN   /* nothing was said of this one: no connection, silence, nonsense, 421 */
};

/* How it went with the message: ${words} are the relay's, or ours. */
typedef void relay_told(void *arg, enum relay_result how, const char *words);

enum relay_state {
	RELAY_CLOSED,
	RELAY_CONNECTING,
	RELAY_GREETING,
	RELAY_EHLO,
	RELAY_HELO,
	RELAY_STARTTLS,
	RELAY_SHAKING,
	RELAY_READY, /* nothing is under way */
	RELAY_RSET,
	RELAY_MAIL,
	RELAY_RCPT,
	RELAY_DATA,
	RELAY_END, /* the message was sent */
	RELAY_QUIT
};

struct relay {
	const struct lookup *where;
	const char          *hostname;         /* ours */
	uint32_t             reply_ms, end_ms; /* how long a reply may take; the one to the end of data */
	relay_told          *told;
	void                *arg;

	enum relay_state    state;
	int                 fd;
	unsigned            nth; /* which address */
	int64_t             deadline_ms;
	int64_t             whole_ms; /* when the message at hand has taken too long, however quick each reply is */
	struct relay_offers offers;
	bool                in_clear; /* a handshake failed: the next connection goes without */
	struct relay_tls   *tls;      /* NULL: in clear */
	bool                has_message;
	struct buf          in, out;
	/* the message at hand */
	struct span to, text;
	bool        wants_utf8;
	char        words[RELAY_WORDS_MAX + 1];
};

/* Once, with the first six fields set. */
void relay_init(struct relay *r);

/* Whether it would take a message. */
bool relay_free(const struct relay *r);

/* Send ${text} (LF line ends) from <> to ${to}; both live until told() is called, which is never from within. */
void relay_send(struct relay *r, struct span to, struct span text, bool utf8, int64_t now_ms);

/* There is nothing more for the moment. */
void relay_quit(struct relay *r, int64_t now_ms);

/* What to poll: false, nothing.  Afterwards tell what came of it; also when relay_deadline_ms() has come. */
bool    relay_poll(const struct relay *r, struct pollfd *p);
void    relay_turn(struct relay *r, short events, int64_t now_ms);
int64_t relay_deadline_ms(const struct relay *r);
#endif
