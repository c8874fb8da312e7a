/*
 * postfix_turn: what postfix_turn.c, which decides, and postfix_entry.c share.
 */
#ifndef TOOLS_MAILBOXES_POSTFIX_TURN_H_
#define TOOLS_MAILBOXES_POSTFIX_TURN_H_

#include "common/entry.h"
#include "tools/mailboxes/postfix.h"

enum { TURN_TARGETS_MAX = ENTRY_ALIAS_MAX };

struct turn {
	struct postfix      *p;
	FILE                *out;
	bool                 incomplete;
	struct postfix_table served; /* domains with an entry */
	struct postfix_table keeper; /* paths of mailboxes: who has it */
	int                  rc;
};

/* What an alias row leads to. */
struct targets {
	char  *key[TURN_TARGETS_MAX]; /* canonical, malloc()ed */
	size_t n;
	char  *domain; /* "@domain" stands there: all names of another domain */
	bool   self;   /* the address itself is among them */
	int    depth;  /* of accounts that lead to accounts */
	int    passed; /* accounts that were passed on the way, each time that they were */
	bool   bad;    /* one of them cannot be represented */
	bool   quiet;  /* which is told elsewhere */
};

/* What stands behind the '@' of ${key}. */
const char *postfix_domain(const char *key);

/* Whether the domain of ${key} is in the table; whether Postfix serves it by its maps at all. */
bool postfix_has(const struct postfix_table *t, const char *key);
bool postfix_ours(const struct turn *t, const char *key);

/* ${key} as a list has it, quoted where it must be.  Good until the next call. */
const char *postfix_written(const char *key);

/* Write "KEY NAME=VALUE" ("KEY" if ${name} is empty) for the row ${r}, or tell a mistake there. */
void postfix_put(struct turn *t, const struct postfix_row *r, const char *key, const char *name, const char *value);
void postfix_put_targets(
    struct turn *t, const struct postfix_row *r, const char *key, const char *name, const struct targets *to);

/* What was told cannot be said in a list: if it shall be there all the same, senders hear 450 and try again. */
void postfix_put_later(struct turn *t, const struct postfix_row *r);

/* What the alias row ${r} leads to.  Mistakes are told, unless ${quiet}.  Owner: the caller, postfix_targets_free(). */
void postfix_targets(struct turn *t, const struct postfix_row *r, struct targets *to, bool quiet);
void postfix_targets_free(struct targets *to);
#endif
