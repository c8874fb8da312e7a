/*
 * setup: "letterplate setup": from a host name, domains and a certificate to a
 * config that passes -t, the folders that it names, and a first directory of
 * mailboxes.  Asks on a terminal, else takes flags.  It starts nothing, makes
 * no user, and never takes the place of a config that is there unless told.
 */
#ifndef MASTER_SETUP_H_
#define MASTER_SETUP_H_

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"

enum {
	SETUP_VALUE_MAX = 4096, /* octets of an answer */
	SETUP_WHY_MAX   = 6144,
	SETUP_TRIES_MAX = 5 /* wrong answers to one question */
};

enum setup_field {
	SETUP_CONFIG,
	SETUP_HOSTNAME,
	SETUP_DOMAINS, /* words, as written */
	SETUP_POSTMASTER,
	SETUP_CERTIFICATE, /* "": none */
	SETUP_KEY,
	SETUP_LISTEN, /* words: addresses of the listener */
	SETUP_STORE,
	SETUP_DIRECTORY,
	SETUP_STATE_DIR,
	SETUP_USER, /* "": who runs it */
	SETUP_FIELDS
};

struct setup {
	char *value[SETUP_FIELDS]; /* malloc()ed; NULL: not said */
	char *under;               /* the folder that all of it stands in; NULL: the system's */
	bool  root, force, no_tls, yes;
};

/* Run it: argv[0] is "setup".  The exit status, as letterplate-setup(8) lists them. */
int setup_main(int argc, char **argv);

/* --- setup_fields.c --- */

/* The flag of a field, without its dashes. */
const char *setup_flag(enum setup_field f);

/* What a field is when nobody says otherwise, malloc()ed, or NULL: it must be said. */
char *setup_default(const struct setup *s, enum setup_field f);

/**
 * setup_check(s, f, why):
 * Whether the value of ${f} can stand, given those of the fields before it.
 * 0; 1: it can, and ${why} (SETUP_WHY_MAX octets) warns; or an exit code with
 * what is wrong and what to do in ${why}.
 */
int setup_check(const struct setup *s, enum setup_field f, char *why);

/* --- setup_ask.c --- */

/* Ask on the terminal for what is not said, and whether it shall be done.  0 or an exit code, after a message. */
int setup_ask(struct setup *s);

/* --- setup_write.c --- */

/* The text of the config, malloc()ed; NULL with errno. */
char *setup_text(const struct setup *s);

/* Make folders, mailbox list, directory and config, in this order.  0 or an exit code, after a message. */
int setup_write(const struct setup *s);

/* The next word of a list with blanks and commas: *n octets from what is returned; NULL at the end. */
const char *setup_word(const char **rest, size_t *n);
#endif
