/*
 * engine: what the files of the protocol engine share and nobody else sees:
 * its struct, its own replies as values, and the way from a command line to an
 * effect.  smtp.c pulls, answer.c takes answers, command.c and param.c read
 * lines, content.c is not of it (that is the header scanner).  PURE.
 */
#ifndef WORKER_SMTP_ENGINE_H_
#define WORKER_SMTP_ENGINE_H_

#include "worker/smtp/data.h"
#include "worker/smtp/smtp.h"

/* A reply of the engine's own: constant, so that a check and an effect can return one. */
struct say {
	uint16_t    code;
	bool        close;
	uint32_t    enh;
	const char *reason;
	const char *text;
};

enum smtp_state {
	SMTP_ST_GREET, /* SMTP_EV_CONNECT is open, or about to be */
	SMTP_ST_COMMAND,
	SMTP_ST_AUTH,      /* the next line is a response of an exchange, s->sasl */
	SMTP_ST_CONTENT,   /* s->data says which and how much */
	SMTP_ST_VERDICT,   /* LMTP: the engine's own verdict is being said once a recipient */
	SMTP_ST_HANDSHAKE, /* 220 to STARTTLS was said */
	SMTP_ST_CLOSED
};

/* A text in the session's arena.  It grows by doubling, so that a client which repeats EHLO can't fill the arena. */
struct kept {
	uint8_t *p;
	uint16_t n, cap; /* SMTP_LINE_MAX at the most */
};

struct smtp {
	const struct smtp_conf *cf;
	struct span             id;
	struct arena           *session, *transaction;
	enum smtp_state         state;
	enum smtp_ev            question; /* SMTP_EV_MORE: none is open */
	struct txn             *t;
	struct rcpt            *rcpt;    /* asked about; NULL at the end of an SMTP message */
	const struct say       *verdict; /* kept until the chunk is read, or said to each LMTP recipient */
	struct reply     *deferred;   /* a refusal of BDAT, kept until its chunk is read; in the transaction's arena */
	struct xclient   *xclient;    /* asked about; in the transaction's arena, while there is no transaction */
	struct sasl      *sasl;       /* under way; in the transaction's arena too, likewise */
	struct kept       name[2];    /* HELO's: the accepted one and the one asked about */
	struct kept       line;       /* of SMTP_EV_UNKNOWN */
	const struct say *unknown;    /* what it is refused with if nobody has other words */
	unsigned          name_now;   /* which one is accepted */
	bool              name_esmtp; /* the one asked about came with EHLO or LHLO */
	bool              refused;    /* the greeting was a refusal: QUIT alone is served (RFC 5321 3.1, RFC 7504) */
	bool              early;      /* input was there while SMTP_EV_CONNECT was open */
	bool              esmtp;      /* EHLO or LHLO, not HELO, was the last one accepted */
	bool              tls;
	bool              xclient_ok;
	uint8_t           authed; /* enum sasl_mech and 1; 0: not */
	uint8_t           auth_failures;
	bool              confided; /* the line that was taken last may have held a password */
	bool              bare_ok;
	bool              show, shown; /* lines are to be said; the one at the front was */
	bool              swallow;     /* inside a command line that is too long */
	bool              long_auth;   /* that line is of AUTH, */
	bool              long_bdat;   /* or opens a chunk */
	bool              ending;      /* the reply that is being made ends the transaction */
	bool              chunked;     /* the transaction's content comes by BDAT */
	bool              reset_due;   /* SMTP_EV_RESET comes next */
	bool              reset_told;  /* SMTP_EV_RESET was said: forget the transaction at the next call */
	uint32_t          seen;        /* octets at the front of the input that hold no LF */
	uint32_t          errors;      /* 5xx since the last accepted message */
	uint64_t          read;        /* content octets of this message, or of the chunk that is thrown away */
	struct data       data;
	struct smtp_sent  ended; /* what ended the transaction */
	char              ended_reason[REPLY_REASON_MAX];
};

/* What a pure check finds in a command line; spans point into the line. */
struct args {
	struct span arg;    /* all behind the verb; of MAIL and RCPT from the "<" on */
	uint64_t    octets; /* BDAT */
	bool        last;   /* BDAT */
};

/* smtp.c */

/* Append a one-line reply; code 0 and the session closed if memory is out. */
struct smtp_sent smtp_send(struct smtp *s, const struct reply *r, struct buf *out);
struct smtp_sent smtp_say(struct smtp *s, const struct say *say, struct buf *out);

/* Append ready-made octets that are one reply without an enhanced code. */
struct smtp_sent smtp_send_raw(struct smtp *s, const char *wire, size_t n, uint16_t code, struct buf *out);

/* The transaction, if there is one, ended with ${sent}. */
void smtp_end(struct smtp *s, struct smtp_sent sent);

/* The content of the message, or of the chunk, begins: ${verdict} (or NULL) is already known to follow it. */
void smtp_content(struct smtp *s, const struct say *verdict);

/* Whether ${octets} of content more are more than are read, be it to be thrown away: no client is followed that far. */
bool smtp_floods(const struct smtp *s, uint64_t octets);

extern const struct say say_flood;

/* command.c */

/* Carry out one command line without its end.  What to reply, or NULL: a question was opened or content is coming. */
const struct say *command_run(struct smtp *s, struct span line);

/* Whether ${line}, whole or not, is BDAT where that is offered: if its count can't be read, its octets can't be told from commands. */
bool command_opens_chunk(const struct smtp *s, struct span line);

/* What of ${line} may be shown: its beginning. */
struct span command_shown(const struct smtp *s, struct span line);

extern const struct say say_line_too_long, say_no_memory, say_size, say_count;

/* auth.c: the AUTH command's argument, a response, one that is too long; what ${r} means to an open question. */
bool                    auth_offered(const struct smtp *s);
const struct say       *auth_begin(struct smtp *s, struct span arg);
const struct say       *auth_line(struct smtp *s, struct span line);
const struct say       *auth_too_long(struct smtp *s);
struct smtp_sent        auth_answer(struct smtp *s, const struct reply *r, struct buf *out);
extern const struct say say_need_auth;

/* param.c: read ${rest}, what stands behind the path.  NULL, or the refusal. */
const struct say *param_mail(const struct smtp *s, struct txn *t, struct span rest);
const struct say *param_rcpt(const struct smtp *s, struct txn *t, struct rcpt *r, struct span rest);

/* ehlo.c */
struct smtp_sent        ehlo_greet(struct smtp *s, struct buf *out);
struct smtp_sent        ehlo_list(struct smtp *s, struct buf *out);
extern const struct say say_help;

/* Whether ${s} will do as a HELO name: an address literal, or labels of letters, digits, "-" and "_". */
bool ehlo_name_ok(struct span s);
#endif
