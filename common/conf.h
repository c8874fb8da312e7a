/*
 * conf: the config file as an immutable value.
 * libconfuse reads it; every mistake is reported with file and line, and
 * unknown keys are mistakes.  Master and workers read the same octets with the
 * same parser: the master passes the text in a memfd.  letterplate.conf(5)
 * documents every key; the defaults and ranges stand in conf.c's one table.
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

struct conf_listener {
	const char          *name; /* its title, unique */
	unsigned             line; /* where its section opens in the file */
	struct conf_address *address;
	size_t               naddress;
	enum conf_protocol   protocol;
	enum conf_tls        tls;
	struct conf_nets     proxy_from, xclient_from, bare_newline_from;
};

struct conf_store {
	const char *kind; /* "maildir" */
	const char *path;
	bool        delivered_to;
};

struct conf_tls_section {
	const char *name; /* SNI name, "" for the default */
	const char *certificate, *key;
	const char *ocsp; /* "" if not set */
	unsigned    line; /* where it opens in the file */
};

struct conf {
	const char              *file; /* as given by -c, for messages */
	const char              *hostname;
	const char              *user;
	unsigned                 workers; /* 1..64; 0 in the file is made one a CPU */
	const char              *state_dir;
	const char              *directory;
	uint64_t                 message_size_limit; /* octets */
	uint32_t                 recipient_limit;
	const char              *recipient_delimiters;
	const char              *postmaster; /* canonical, "" if not set */
	bool                     dsn;
	const char              *dsn_relay; /* "" if not set */
	struct conf_listener    *listener;
	size_t                   nlistener;
	struct conf_tls_section *tls;
	size_t                   ntls;
	struct {
		uint32_t command_ms, data_ms, handshake_ms, drain_ms;
	} timeouts;
	struct {
		uint32_t connections, connections_per_ip, errors;
		uint32_t rate_per_ip;    /* connections a minute */
		uint32_t error_pause_ms; /* before what follows an error, from half of errors on */
		uint32_t session_ms;
		uint64_t data_rate; /* octets a second */
	} limits;                   /* 0: no limit */
	struct conf_store store;
	struct {
		enum conf_log_format format;
		int                  level;
	} log;                      /* level: enum log_level */
	uint32_t greeting_delay_ms; /* 0 */
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

/* Read FILE whole.  0 with a malloc()ed *text, or -1 with errno (EFBIG past CONF_TEXT_MAX). */
int conf_read(const char *file, char **text, size_t *n);

/**
 * conf_check(cf, report, arg):
 * Look at all that the config names: folders exist and are writable by the
 * worker's user, the user exists, the snapshot can be read, certificates match
 * their keys.  0, or -1 after at least one report.  What does not keep the
 * server from starting is reported as "FILE:LINE: warning: ..." and counts as 0.
 */
int conf_check(const struct conf *cf, conf_report *report, void *arg);

/* Whether the 16-octet address is in one of the networks. */
bool conf_nets_have(const struct conf_nets *nets, const uint8_t addr[16]);

/* Whether any listener offers TLS: then there are certificates, a key process, ticket keys. */
bool conf_offers_tls(const struct conf *cf);

void conf_free(struct conf *cf); /* NULL is a no-op */
#endif
