/*
 * smtp: the protocol engine, pulled.
 * Octets in; events and reply octets out.  It does no I/O, knows no clock,
 * allocates only in the arenas it is lent, keeps no global and never calls
 * out (PURE).  So it is tested and fuzzed without a socket, and gives the same
 * events however the octets fall into packets.
 *
 * It asks one question at a time and consumes nothing while one is open: a
 * session that waits for a disk or a filter just does not answer yet, and
 * pipelined replies are in order by construction.
 */
#ifndef WORKER_SMTP_SMTP_H_
#define WORKER_SMTP_SMTP_H_

#include "common/buf.h"
#include "common/reply.h"
#include "worker/smtp/sasl.h"
#include "worker/smtp/txn.h"
#include "worker/smtp/xclient.h"

enum {
	/* octets of a command line with its CRLF; RFC 5321 4.5.3.1.4 and its extensions ask for 2,048 */
	SMTP_LINE_MAX      = 4096,
	SMTP_AUTH_LINE_MAX = 12290,    /* the same of AUTH and of what it is answered (RFC 4954 4), with its end */
	SMTP_TEXT_LINE_MAX = 65536,    /* octets of a line of content; RFC 5321 asks for 1,000 */
	SMTP_OUT_MIN       = 2048,     /* octets that must be free in the output before smtp_next() or smtp_answer() */
	SMTP_HELO_MAX      = 256,      /* octets of a HELO argument that are kept */
	SMTP_UNKNOWN_MAX   = 512,      /* octets of a line of SMTP_EV_UNKNOWN that are said: RFC 5321 4.5.3.1.4 */
	SMTP_FLOOD_MIN     = 16 << 20, /* the least flood_max of a server: what small limits are overstepped by */
	SMTP_AUTH_FAILURES = 3         /* wrong answers to who it is that a session may give; then 421 4.7.0 */
};

enum smtp_ext {                     /* what EHLO may offer */
	SMTP_EXT_CHUNKING = 1 << 0, /* RFC 3030, with BINARYMIME */
	SMTP_EXT_SMTPUTF8 = 1 << 1, /* RFC 6531 */
	SMTP_EXT_DSN      = 1 << 2, /* RFC 3461 */
	SMTP_EXT_STARTTLS = 1 << 3, /* RFC 3207 */
	SMTP_EXT_AUTH     = 1 << 4, /* RFC 4954, by password; inside TLS alone */
	SMTP_EXT_TOKENS   = 1 << 5  /* the same by OAuth's token, RFC 7628 */
};

/* What a listener's sessions share; immutable while any of them lives. */
struct smtp_conf {
	const char *hostname;   /* of the greeting and EHLO */
	uint64_t    size_max;   /* octets of content, counted with CRLF; 0: no limit */
	uint64_t    flood_max;  /* octets past size_max that are read and thrown away; more: 552 5.3.4 and close */
	uint32_t    rcpt_max;   /* accepted recipients a transaction; 0: no limit */
	uint32_t    errors_max; /* after so many 5xx replies since the last accepted message the next command but QUIT
					   gets 421 4.7.0; 0: no limit */
	unsigned    ext;        /* SMTP_EXT_* */
	bool        lmtp;       /* RFC 2033 */
	bool tls_required;  /* in clear only EHLO, HELO, LHLO, STARTTLS, NOOP, RSET, HELP and QUIT; else 530 5.7.0 */
	bool auth_required; /* no MAIL before AUTH: 530 5.7.0 */
};

enum smtp_ev {
	SMTP_EV_MORE,     /* nothing to say: feed more input */
	SMTP_EV_REPLY,    /* statement: the engine replied by itself; ev->sent says what */
	SMTP_EV_CONNECT,  /* question: may it be greeted? asked first, once */
	SMTP_EV_HELO,     /* question: ev->span is the argument */
	SMTP_EV_MAIL,     /* question: smtp_txn() has the reverse-path and parameters */
	SMTP_EV_RCPT,     /* question: ev->rcpt, not yet in the list */
	SMTP_EV_DATA,     /* question: content is about to come (DATA, or the first BDAT) */
	SMTP_EV_BODY,     /* statement: ev->span is content as on the wire, dots unstuffed; good until the next call */
	SMTP_EV_EOM,      /* question: take it?  LMTP: once a recipient, ev->rcpt; SMTP: once, ev->rcpt NULL */
	SMTP_EV_STARTTLS, /* question: ready to start?  (220, then the caller does the handshake) */
	SMTP_EV_AUTH,     /* question: ev->sasl->step says which; see smtp_answer() */
	SMTP_EV_LINE, /* statement, after smtp_show_lines() alone: the command line ev->span is about to be carried out */
	SMTP_EV_XCLIENT, /* question: ev->xclient is to be believed; may that client be greeted? */
	SMTP_EV_UNKNOWN, /* question: ev->span, a command line, is no command here; in which words is it refused? */
	SMTP_EV_RESET,   /* statement: the transaction ends; smtp_txn() is good until the next call; ev->sent is what
				   ended it, which was reported before: not to be counted again */
	SMTP_EV_CLOSE    /* statement: send what is queued, then close.  Said again at each further call */
};

/*
 * A reply that was appended to the output.  Each is reported once, by
 * SMTP_EV_REPLY or by what smtp_answer() and smtp_shutdown() return: counting
 * these counts all.
 */
struct smtp_sent {
	uint16_t    code;   /* 0: none */
	uint32_t    enh;    /* ENH(), 0 for 3xx, the greeting and HELO */
	const char *reason; /* a static word, or (smtp_answer) the one in the caller's reply; never NULL */
};

struct smtp_event {
	struct span           span;
	bool                  hidden; /* of SMTP_EV_LINE: more of it is there, and is shown to nobody */
	struct rcpt          *rcpt;
	struct smtp_sent      sent;
	const struct xclient *xclient; /* of SMTP_EV_XCLIENT, good until it is answered */
	const struct sasl    *sasl;    /* of SMTP_EV_AUTH, the same; wiped when the exchange is over */
};

/* What the caller's deadline should be. */
enum smtp_phase { SMTP_PHASE_COMMAND, SMTP_PHASE_DATA };

struct smtp; /* opaque; lives in the session's arena */

/**
 * smtp_new(cf, id, session, transaction):
 * An engine at the point before the greeting, allocated in ${session};
 * transactions are made in ${transaction}.  ${id} stands at the end of every
 * 4xx and 5xx and, like ${cf}, must outlive it.  NULL with errno ENOMEM.
 */
struct smtp *smtp_new(const struct smtp_conf *cf, struct span id, struct arena *session, struct arena *transaction);

/**
 * smtp_next(s, in, out, ev):
 * Consume from the front of *in until there is something to say; what it
 * leaves in *in must be there again, first, at the next call (at most
 * SMTP_LINE_MAX octets are left with SMTP_EV_MORE).  At most one reply is
 * appended to ${out} a call, which must have SMTP_OUT_MIN octets left.  While a
 * question is open the same event comes again and nothing is consumed.  Never
 * fails: bad input becomes replies, and at worst SMTP_EV_CLOSE.
 *
 * Octets that are in *in while SMTP_EV_CONNECT is open are an early talker's:
 * a yes is then 554 5.5.0 and close (reason "early-talker").  A transaction
 * that the engine ends by itself gives SMTP_EV_REPLY, then SMTP_EV_RESET; one
 * that an answer ends gives SMTP_EV_RESET at the next call.  Content past
 * size_max gives no SMTP_EV_BODY and is read to its end, and past size_max +
 * flood_max 552 5.3.4 and SMTP_EV_CLOSE.
 */
enum smtp_ev smtp_next(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev);

/**
 * smtp_answer(s, r, out):
 * Answer the open question.  NULL, or a reply with code 0, is the usual yes:
 * the greeting, the EHLO list, 250 2.1.0, 250 2.1.5, 354, "250 2.0.0 queued as
 * ID".  A 2xx to MAIL, RCPT or the end of message is a yes in the caller's
 * words; elsewhere the words are the engine's.  A refusal (4xx, 5xx) is sent as
 * it is, but to HELO without its enhanced code (RFC 2034 4); r->close closes
 * after it.  A refused greeting without close leaves QUIT alone to be served.
 * Return what was appended (code 0 if nothing: a yes to BDAT's question, and a
 * no to it, which SMTP_EV_REPLY reports once the chunk is read, RFC 3030 2).
 * SMTP_EV_UNKNOWN is refused whatever the answer: by a 4xx or 5xx as it is,
 * otherwise in the engine's words; a 4xx counts as an error too.
 * To SMTP_EV_AUTH there is no usual yes: a 2xx lets the client in, 334 with
 * base64 as its text goes on with SCRAM, anything else that is no refusal is
 * 454 4.7.0.
 * With no question open it aborts: that is a programming error.
 */
struct smtp_sent smtp_answer(struct smtp *s, const struct reply *r, struct buf *out);

/**
 * smtp_shutdown(s, r, out):
 * Say ${r} (421 4.3.2 at shutdown, 421 4.4.2 at a deadline) out of turn; from
 * now on smtp_next() says SMTP_EV_CLOSE, after an SMTP_EV_RESET that was due.
 * An open question is withdrawn.  Return what was appended: nothing where the
 * session was already being closed or stands before a TLS handshake.  The
 * transaction, if any, is still smtp_txn().
 */
struct smtp_sent smtp_shutdown(struct smtp *s, const struct reply *r, struct buf *out);

/* Content of this session may hold bare CR and LF (PROTOCOL 50: bare_newline_from); by default 550 5.5.2 at its end. */
void smtp_allow_bare_newline(struct smtp *s);

/**
 * smtp_allow_xclient(s):
 * The client is one of xclient_from: EHLO lists XCLIENT and it is served, for
 * the whole session.  From everybody else it is 550 5.7.0.  A yes to
 * SMTP_EV_XCLIENT is the greeting again, and all that was learnt before is
 * forgotten, what smtp_allow_bare_newline() said too (as soon as it is asked).
 */
void smtp_allow_xclient(struct smtp *s);

/**
 * smtp_show_lines(s, on):
 * From now on each command line that is complete is said by SMTP_EV_LINE
 * before it is carried out.  What may be a secret is left out: what stands
 * behind AUTH's mechanism, a line of its exchange, XCLIENT's words from LOGIN
 * on, and a line that begins with no command's name, whole: it may be a
 * password that was said at the wrong time.
 */
void smtp_show_lines(struct smtp *s, bool on);

/* The transaction, or NULL.  During SMTP_EV_MAIL it is the one that is asked about. */
struct txn *smtp_txn(const struct smtp *s);

/* The HELO name as given, empty before HELO; during SMTP_EV_HELO the one that is asked about.  Good until the next SMTP_EV_HELO is answered. */
struct span smtp_helo(const struct smtp *s);

/* The open SMTP_EV_UNKNOWN's line, its first SMTP_UNKNOWN_MAX octets, good until it is answered; else empty. */
struct span smtp_unknown(const struct smtp *s);

/* RFC 3848 and RFC 6531 keyword for Received: "SMTP", "ESMTP", "ESMTPS", "LMTP", "UTF8SMTP"... static. */
const char *smtp_with(const struct smtp *s);

/* How the client proved who it is: sasl_name[], or NULL. */
const char *smtp_auth_method(const struct smtp *s);

/* Whether the line that smtp_next() took last, the next one, or the open question may hold a password: it is shown to nobody. */
bool smtp_secret(const struct smtp *s);

/* The session ends: nothing of an exchange under way is left in memory. */
void smtp_wipe(struct smtp *s);

/* The open SMTP_EV_AUTH's exchange, or NULL. */
const struct sasl *smtp_sasl(const struct smtp *s);

/* 5xx replies since the last accepted message, what errors_max is compared with. */
uint32_t smtp_errors(const struct smtp *s);

enum smtp_phase smtp_phase(const struct smtp *s);

/* Whether content octets may still be coming or a question is open: not the moment for an idle session's 421. */
bool smtp_busy(const struct smtp *s);

/**
 * smtp_tls_started(s, in):
 * The handshake after a 220 to STARTTLS is done: forget all that was learnt in
 * clear (RFC 3207 4.2).  0, or -1 if ${in} is not empty: the peer pipelined
 * plaintext behind STARTTLS and must be dropped (CVE-2011-0411).  Until it is
 * called smtp_next() consumes nothing.  Before the first smtp_next() it says
 * that the session is inside TLS from its start.
 */
int smtp_tls_started(struct smtp *s, struct span in);
#endif
