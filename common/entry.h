/*
 * entry: one entry of the mailbox directory: its line in a list, and its
 * record in a snapshot.  The forms are documented in letterplate-mailboxes(8).
 */
#ifndef COMMON_ENTRY_H_
#define COMMON_ENTRY_H_

#include <stdbool.h>
#include <sys/types.h>

#include "common/norm.h"
#include "common/quota.h"
#include "common/reply.h"

enum {
	ENTRY_LINE_MAX   = 64 << 10,             /* octets of a line of a list */
	ENTRY_ALIAS_MAX  = 1000,                 /* targets of one alias */
	ENTRY_RECORD_MAX = ENTRY_LINE_MAX + 1024 /* octets of a record */
};

enum entry_kind {
	ENTRY_MAILBOX = 1,  /* local@domain, quota */
	ENTRY_ALIAS,        /* local@domain or @domain (catch-all): targets */
	ENTRY_REJECT,       /* a 5xx reply */
	ENTRY_DEFER,        /* a 4xx reply */
	ENTRY_DOMAIN,       /* @domain, made by the loader: the domain is ours and has no catch-all */
	ENTRY_DOMAIN_ALIAS, /* @domain: another domain */
	ENTRY_COPY          /* local@domain: a mailbox, and targets that get the mail as well */
};

/* A decoded record; spans point into what it was decoded from. */
struct entry {
	enum entry_kind    kind;
	struct quota_limit quota;
	struct span
	    text; /* ALIAS, COPY: targets, each NUL-terminated; REJECT, DEFER: the reply's text; DOMAIN_ALIAS: canonical domain */
	uint32_t ntargets;
};

/**
 * entry_parse(line, key, keylen, rec, reclen, err, errcap):
 * Read one line without its line end.  1 with the canonical key (at most
 * NORM_KEY_MAX octets) and record (at most ENTRY_RECORD_MAX) written; 0 for an
 * empty line or a comment; -1 with a clear message, NUL-terminated, in ${err}.
 */
int entry_parse(struct span line, char *key, size_t *keylen, uint8_t *rec, size_t *reclen, char *err, size_t errcap);

/**
 * entry_key(text, key, keylen, err, errcap):
 * Only the address of a line, "local@domain" or "@domain", in canonical form.
 * 0, or -1 with a clear message in ${err}.
 */
int entry_key(struct span text, char *key, size_t *keylen, char *err, size_t errcap);

/* Whether a record, of at least one octet, has targets: those of an alias or of copies. */
bool entry_has_targets(struct span rec);

/* Decode a record.  0, or -1 if it is damaged; trusts nothing in it. */
int entry_decode(struct span rec, struct entry *e);

/**
 * entry_format(key, e, out, cap):
 * Write the entry as a line of a list, without a line end, such that
 * entry_parse() gives it back.  Octets written, or -1 if ${cap} is too small.
 */
ssize_t entry_format(struct span key, const struct entry *e, char *out, size_t cap);
#endif
