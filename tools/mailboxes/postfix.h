/*
 * postfix: what `import postfix` is made of: Postfix's text files as tables
 * (postfix_read.c), its main.cf (postfix_cf.c) and the files that this names
 * (postfix_maps.c), and what Postfix does with an address as entries of a list
 * (postfix_turn.c).  It reads sources, never what postmap(1) made of them, and
 * runs nothing of Postfix.
 */
#ifndef TOOLS_MAILBOXES_POSTFIX_H_
#define TOOLS_MAILBOXES_POSTFIX_H_

#include <stdio.h>

#include "tools/mailboxes/tool.h"

enum {
	POSTFIX_LINE_MAX =
	    1 << 20,             /* octets of a logical line; virtual_alias_expansion_limit keeps real ones far below */
	POSTFIX_FILES_MAX = 64,  /* files of one import */
	POSTFIX_DEPTH_MAX = 20,  /* $names inside of $names */
	POSTFIX_NAMES_MAX = 1000 /* $names that one value takes, those inside of others included */
};

/* A logical line of a table (postmap(1)), or a parameter of main.cf. */
struct postfix_row {
	char       *key;   /* canonical "local@domain" or "@domain"; lower case of one without '@' */
	char       *value; /* what stands behind it, "" if nothing */
	const char *file;
	unsigned    line;  /* where it begins; 0: it stands in no file */
	unsigned    order; /* of reading, over all files */
};

/* One or several files; of a key that stands twice the first row counts, as for postmap(1). */
struct postfix_table {
	struct postfix_row *row; /* by key, once it was sorted */
	size_t              n, cap;
};

struct postfix {
	struct postfix_table mailbox, alias;        /* virtual_mailbox_maps, virtual_alias_maps */
	struct postfix_table domains, aliasdomains; /* virtual_mailbox_domains, virtual_alias_domains */
	struct postfix_table local;                 /* mydestination */
	struct postfix_table accounts;              /* alias_maps: aliases(5); the key is a name */
	struct postfix_table param;                 /* of main.cf and of -o, which comes later; the last one counts */
	bool                 main_cf;               /* there is one: what it does not say has Postfix's default */
	bool                 quiet;                 /* keys that are no addresses are not told */
	bool                 paths;                 /* values of mailbox are paths: virtual(8) delivers */
	char                *myorigin;              /* what a bare name gets, "" if not known */
	char                *delimiter;             /* recipient_delimiter, "" */
	char                *file[POSTFIX_FILES_MAX];
	size_t               nfiles;
	unsigned             rows;     /* read so far */
	unsigned             names;    /* expanded so far for one value */
	uint64_t             mistakes; /* what cannot be represented */
};

/* Tell what becomes of a line.  A mistake is counted; a note says what is the same or does not matter. */
void postfix_mistake(struct postfix *p, const char *file, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void postfix_note(const char *file, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * postfix_lines(p, file, take, arg):
 * Give each logical line of ${file} to ${take}: comments and empty lines gone,
 * continuations joined; it may write in the text.  0 or an exit code, after a
 * message.  The name of the file is kept for as long as ${p} lives.
 */
int postfix_lines(struct postfix *p, const char                                                   *file,
    void (*take)(struct postfix *p, void *arg, const char *file, unsigned line, char *text), void *arg);

/* Add the rows of the text file ${file}; keys that are no addresses are told.  0 or an exit code, after a message. */
int postfix_read(struct postfix *p, struct postfix_table *t, const char *file);

/* Add a row.  0, or EX_OSERR after a message. */
int postfix_add(
    struct postfix *p, struct postfix_table *t, const char *key, const char *value, const char *file, unsigned line);

/* Sort by key and drop doubles, telling each.  Before the first postfix_find(). */
void postfix_sort(struct postfix_table *t);

/* The row of ${key}, or NULL. */
const struct postfix_row *postfix_find(const struct postfix_table *t, const char *key);

/* Read main.cf's parameters; NULL: there is none.  0 or an exit code, after a message. */
int postfix_main_cf(struct postfix *p, const char *file);

/* Read the files that the parameters name, and fill the rest of ${p}.  0 or an exit code, after a message. */
int postfix_gather(struct postfix *p);

/* A parameter's value, with its default and all $names in it, malloc()ed; NULL after a message. */
char *postfix_value(struct postfix *p, const char *name);

/* A parameter as it stands there, or NULL. */
const struct postfix_row *postfix_param(const struct postfix *p, const char *name);

/* Write the list to ${out}; with ${incomplete}, what cannot be represented is deferred in it.  0 or an exit code. */
int postfix_turn(struct postfix *p, FILE *out, bool incomplete);

/* The next word of a list, which ends at blanks and commas outside of double quotes; NULL at the end. */
char *postfix_word(char **rest);

void postfix_free(struct postfix *p);
#endif
