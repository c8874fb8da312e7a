/*
 * conf: the config file as an immutable value.
 * libconfuse reads it; every mistake is reported with file and line, and
 * unknown keys are mistakes.  Master and workers read the same octets with the
 * same parser: the master passes the text in a memfd.  letterplate.conf(5)
 * documents every key; the defaults and ranges stand in conf_table.c's one table.
 */
#ifndef COMMON_CONF_H_
#define COMMON_CONF_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	CONF_LISTENERS_MAX = 32,     /* listener sections */
	CONF_ADDRESSES_MAX = 64,     /* addresses of all listeners together */
	CONF_NETS_MAX      = 256,    /* networks in one list */
	CONF_WORKERS_MAX   = 64,     /* of one generation */
	CONF_HANDLERS_MAX  = 48,     /* sections of enum conf_kind together */
	CONF_WHEN_MAX      = 16,     /* listeners a section names as its condition */
	CONF_ALLOW_MAX     = 8,      /* things a module is allowed */
	CONF_SERVERS_MAX   = 8,      /* DNS servers */
	CONF_DNSLISTS_MAX  = 32,     /* block lists, and as many allow lists */
	CONF_CHECK_S       = 10,     /* what conf_check() waits for */
	CONF_TEXT_MAX      = 1 << 20 /* octets of a config file */
};

enum conf_protocol { CONF_SMTP, CONF_LMTP };
enum conf_tls { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_REQUIRED, CONF_TLS_IMPLICIT };
enum conf_log_format { CONF_LOG_LOGFMT, CONF_LOG_JSON };

/* A network: an address of 16 octets (IPv4 mapped) and how many leading bits count. */
struct conf_net {
	uint8_t addr[16];
	uint8_t bits; /* 0..128 */
};

struct conf_nets {
	struct conf_net *net;
	size_t           n;
};

struct conf_address {
	const char             *text; /* as in the file */
	struct sockaddr_storage ss;
	socklen_t               len;
	unsigned                line; /* in the file */
};

enum conf_auth { CONF_AUTH_OFF, CONF_AUTH_OPTIONAL, CONF_AUTH_REQUIRED };

struct conf_listener {
	const char          *name; /* its title, unique */
	unsigned             line; /* where its section opens in the file */
	struct conf_address *address;
	size_t               naddress;
	enum conf_protocol   protocol;
	enum conf_tls        tls;
	enum conf_auth       auth;
	struct conf_nets     proxy_from, xclient_from, bare_newline_from;
};

struct conf_store {
	const char *kind; /* "maildir" */
	const char *path;
	bool        delivered_to;
	uint64_t    journal; /* octets a worker, 0: none */
};

struct conf_tls_section {
	const char *name; /* SNI name, "" for the default */
	const char *certificate, *key;
	const char *ocsp; /* "" if not set */
	unsigned    line; /* where it opens in the file */
};

/* --- who is asked about mail (worker/handlers/handler.h) --- */

enum conf_kind {
	CONF_K_HANDLER,
	CONF_K_MILTER,
	CONF_K_POLICY,
	CONF_K_NETWORKS,
	CONF_K_DNS,
	CONF_K_QUOTA,
	CONF_K_CHECKS,
	CONF_K_TOKENS
};
enum conf_on_failure { CONF_F_ACCEPT, CONF_F_TEMPFAIL, CONF_F_REJECT };
enum conf_stage {
	CONF_S_CONNECT,
	CONF_S_HELO,
	CONF_S_MAIL,
	CONF_S_RCPT,
	CONF_S_DATA, /* DATA was said */
	CONF_S_END   /* the content is complete */
};
enum conf_cond { CONF_ANY, CONF_YES, CONF_NO };

/* When a handler is asked: all of it must hold, each time it would be asked. */
struct conf_when {
	const char      *listener[CONF_WHEN_MAX]; /* titles */
	size_t           nlistener;               /* 0: all */
	struct conf_nets networks;                /* none: all */
	enum conf_cond   authenticated, tls;
};

/* One section, in the order of the file, which is the order of asking. */
struct conf_handler {
	enum conf_kind       kind;
	const char          *name; /* its title, unique; of those without one the section's name */
	unsigned             line;
	struct conf_when     when;
	uint32_t             timeout_ms;
	enum conf_on_failure on_failure;
	const char          *module, *argument;     /* handler: path; "" if not set */
	const char          *allow[CONF_ALLOW_MAX]; /* handler: "network", or a path it may write below */
	size_t               nallow;
	struct conf_address  socket; /* milter, policy, tokens */
	enum conf_stage      stage;  /* policy */
};

/* Which addresses of a DNS list are a listing: of each of the four octets, a bit for each value. */
struct conf_answers {
	uint8_t octet[4][32];
};

struct conf_dnslist {
	const char         *zone;
	int                 weight;  /* 1..1000 */
	bool                chooses; /* only these answers count; else all of 127.0.0.0/8 */
	struct conf_answers answers;
};

struct conf_dns {
	unsigned            line; /* 0: there is no such section */
	struct conf_address server[CONF_SERVERS_MAX];
	size_t              nserver; /* 0: the system's */
	uint32_t            timeout_ms;
	struct conf_dnslist block[CONF_DNSLISTS_MAX], allow[CONF_DNSLISTS_MAX];
	size_t              nblock, nallow;
	uint32_t            threshold;    /* the sum of weights from which on a client is refused */
	bool                client_names; /* look up who the client is */
};

struct conf_networks {
	unsigned         line; /* 0: there is no such section */
	struct conf_nets accept, reject, defer, skip_checks;
};

/* What a stranger may not say of itself; each off unless switched on. */
struct conf_checks {
	unsigned line; /* 0: there is no such section */
	bool     helo_full, helo_literal, helo_own;
	bool     sender_full, sender_own;
	bool     sender_domain; /* asks DNS: there is a section dns */
};

enum conf_when_full { CONF_FULL_DEFER, CONF_FULL_REJECT };

struct conf {
	const char          *file; /* as given by -c, for messages */
	const char          *hostname;
	const char          *user;
	unsigned             workers; /* 1..64; 0 in the file is made one a CPU */
	const char          *state_dir;
	const char          *directory;
	uint64_t             message_size_limit; /* octets */
	uint32_t             recipient_limit;
	const char          *recipient_delimiters;
	const char          *postmaster; /* canonical, "" if not set */
	bool                 dsn;
	const char          *dsn_relay;   /* "" if not set */
	const char          *credentials; /* path, "" if not set */
	struct conf_handler *handler;     /* in the order of the file */
	size_t               nhandler;
	struct conf_networks networks;
	struct conf_dns      dns;
	struct conf_checks   checks;
	struct {
		bool enforce; /* then it is in ${handler}, the last of them if there is no such section */
		enum conf_when_full when_full;
	} quota;
	struct {
		unsigned            line; /* 0: there is no such section */
		struct conf_address socket;
		uint32_t            timeout_ms;
	} tokens; /* who is asked about OAuth's */
	struct conf_listener    *listener;
	size_t                   nlistener;
	struct conf_tls_section *tls;
	size_t                   ntls;
	struct {
		uint32_t command_ms, data_ms, handshake_ms, drain_ms;
	} timeouts;
	struct {
		uint32_t connections, connections_per_ip, errors;
		uint32_t rate_per_ip;                                  /* connections a minute */
		uint32_t handshakes_per_ip;                            /* TLS, a minute */
		uint32_t auth_failures_per_ip, auth_failures_per_user; /* an hour */
		uint32_t error_pause_ms; /* before what follows an error, from half of errors on */
		uint32_t session_ms;
		uint64_t data_rate; /* octets a second */
	} limits;                   /* 0: no limit */
	struct conf_store store;
	struct {
		enum conf_log_format format;
		int                  level;
		const char          *to;   /* as log_to_parse() takes it */
		uint32_t             rate; /* lines a second and process, 0: no limit */
	} log;                             /* level: enum log_level */
	uint32_t greeting_delay_ms;        /* 0 */
};

/* Told each mistake, one clear line without a line end: "FILE:LINE: what, and what to do". */
typedef void conf_report(void *arg, const char *line);

/**
 * conf_parse(file, text, n, report, arg, out):
 * Read ${text} (${n} octets).  ${file} is the name for messages.  0 and *out,
 * or -1 after at least one report.  Opens nothing: see conf_check().
 * Owner of *out: the caller, who gives it to conf_free().
 */
int conf_parse(const char *file, const char *text, size_t n, conf_report *report, void *arg, struct conf **out);

/**
 * conf_state_dir(file, text, n, report, arg):
 * What ${text} says of state_dir, whatever else is wrong with it: so a server is
 * found whose config has a mistake that it does not know of yet.  The default
 * where the whole of it names none.  malloc()ed; or NULL where it cannot be
 * told, after at least one report.  conf_state.c has how.
 */
char *conf_state_dir(const char *file, const char *text, size_t n, conf_report *report, void *arg);

/* Read FILE whole.  0 with a malloc()ed *text, or -1 with errno (EFBIG past CONF_TEXT_MAX). */
int conf_read(const char *file, char **text, size_t *n);

/**
 * conf_check(cf, report, arg):
 * Look at all that the config names: folders exist and are writable by the
 * worker's user, the user exists, the snapshot can be read, certificates match
 * their keys.  0, or -1 after at least one report.  What does not keep the
 * server from starting is reported as "FILE:LINE: warning: ..." and counts as 0.
 * What may hang is asked by children, which have CONF_CHECK_S: a module that is
 * loaded, a key, what stands on a file system that does not answer.
 */
int conf_check(const struct conf *cf, conf_report *report, void *arg);

/**
 * conf_check_later(cf, report, arg):
 * Warn of what may be true later, and is not now: a listener's address that is
 * not this machine's, a dsn_relay without an address, a postmaster that the
 * mailbox directory refuses.  Waits for DNS, some seconds at the most.
 */
void conf_check_later(const struct conf *cf, conf_report *report, void *arg);

/* A network as the config writes it, 10.0.0.0/8 or an address alone.  NULL, or what is wrong in words. */
const char *conf_value_net(const char *s, struct conf_net *out);

/* Whether the 16-octet address is in one of the networks. */
bool conf_nets_have(const struct conf_nets *nets, const uint8_t addr[16]);

/* Whether an IPv4 address, network order, is one of them. */
bool conf_answers_have(const struct conf_answers *a, const uint8_t ip[4]);

/* Whether any listener offers TLS: then there are certificates, a key process, ticket keys. */
bool conf_offers_tls(const struct conf *cf);

/* Whether any listener offers AUTH: then somebody is asked who clients are, and letterplate-auth counts their guesses. */
bool conf_offers_auth(const struct conf *cf);

/* Whether it is by password too: then there are credentials. */
bool conf_offers_passwords(const struct conf *cf);

/* Whether DSN is offered.  Without a dsn_relay there is no way for reports to foreign senders. */
bool conf_offers_dsn(const struct conf *cf);

void conf_free(struct conf *cf); /* NULL is a no-op */
#endif
