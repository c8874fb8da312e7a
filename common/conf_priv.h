/*
 * conf_priv: what the files of the config share among themselves.
 * conf.c drives libconfuse and conf_whole.c looks at what it came to;
 * conf_table.c is the table of keys; conf_scan.c makes the text safe for
 * libconfuse's lexer; conf_set.c turns one value into one field; conf_value.c
 * knows the notations and nothing else.  Nobody else includes it.
 */
#ifndef COMMON_CONF_PRIV_H_
#define COMMON_CONF_PRIV_H_

#include <stdarg.h>

#include "common/addr.h"
#include "common/arena.h"
#include "common/conf.h"

enum {
	CONF_WHY_MAX      = 320,  /* octets of one complaint */
	CONF_REPORTS_MAX  = 64,   /* mistakes that are told at once */
	CONF_PASSES_MAX   = 32,   /* unknown keys that are told at once */
	CONF_PATH_MAX     = 1024, /* octets of a path: leaves room below PATH_MAX for what is made inside */
	CONF_KEYS_MAX     = 96,   /* rows of the table */
	CONF_SECTIONS_MAX = 16    /* kinds of section */
};

/* Lists of networks under construction. */
enum conf_list {
	CONF_L_PROXY,
	CONF_L_XCLIENT,
	CONF_L_BARE,
	CONF_L_WHEN,
	CONF_L_ACCEPT,
	CONF_L_REJECT,
	CONF_L_DEFER,
	CONF_L_SKIP,
	CONF_NLISTS
};

enum { CONF_K_TITLED = CONF_K_POLICY + 1 }; /* kinds of handler that have a title */

/* A struct conf and what it is made of: conf_free() gives all of it back at once. */
struct conf_own {
	struct conf  conf; /* first, so that a pointer to it is one to the whole */
	struct arena arena;
	unsigned     line[CONF_KEYS_MAX]; /* where each row of the table was set, 0: default */
};

struct conf_mistake {
	unsigned line;
	char     text[CONF_WHY_MAX];
};

struct conf_parse {
	struct conf_own     *own;
	unsigned             line;              /* of the value being set */
	unsigned             last_line;         /* of the file */
	char                 why[CONF_WHY_MAX]; /* complaint of a setter */
	struct conf_mistake *mistake;           /* of this pass, CONF_REPORTS_MAX of them and room for kept */
	size_t               nmistake;
	struct conf_mistake  kept[CONF_PASSES_MAX]; /* unknown keys, which end a pass */
	size_t               nkept;
	bool                 cut;         /* there were more */
	char                 unknown[64]; /* key that ended this pass, or "" */
	char                 where[32];   /* its section */
	unsigned             unknown_line;
	/* lists under construction */
	struct conf_listener    listener[CONF_LISTENERS_MAX + 1]; /* the last one is where one too many goes */
	struct conf_address     address[CONF_ADDRESSES_MAX];
	struct conf_net         nets[CONF_NLISTS][CONF_NETS_MAX]; /* of the section at hand */
	size_t                  nnets[CONF_NLISTS];
	struct conf_handler     fresh[CONF_K_TITLED];           /* the section at hand, by kind */
	struct conf_handler     handler[CONF_HANDLERS_MAX + 1]; /* the last one is where one too many goes */
	size_t                  nhandler;
	size_t                  nlistener, naddress, first_address;
	struct conf_tls_section tls[CONF_LISTENERS_MAX + 1];
	size_t                  ntls;
	uint64_t                tls_unset; /* listeners that say nothing of tls, a bit each */
	/* the section at hand */
	unsigned   *open_line; /* line of each section's opening, in order */
	size_t      nopen, section;
	bool        seen[CONF_KEYS_MAX]; /* rows of the table set in it, or, of those outside of sections, at all */
	unsigned    single;              /* sections that may stand once and did, a bit each */
	const char *title;
};

struct conf_key;

/* Set the field of ${k} from ${value}.  NULL, or what is wrong with it in words (static or p->why). */
typedef const char *conf_set(struct conf_parse *p, const struct conf_key *k, const char *value, void *field);

/* A row of the table: everything that is to be known about a key. */
struct conf_key {
	const char *section, *name;
	conf_set   *set;
	size_t      off;      /* in struct conf, conf_listener, conf_tls_section or conf_handler */
	const char *def;      /* as it would stand in a file; NULL: none, or empty */
	uint64_t    min, max; /* in the field's unit; of a string: octets */
	const char *arg;      /* setter's own: words of an enum, range in words */
	bool        list;
};

/* A section: how often it may stand, and whether it has a title. */
struct conf_section {
	const char *name;
	bool        many, title;
};

/* --- conf.c --- */

void conf_mistake(void *arg, unsigned line, const char *text); /* ${arg}: the struct conf_parse */
void conf_mistakef(struct conf_parse *p, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* How much of a value is shown: whole characters of at most 80 octets. */
int conf_shown(const char *value);

/* What is wrong with a section's title, or NULL. */
const char *conf_title_wrong(const char *title);

/* The list that was being made becomes *out.  False when memory is out. */
bool conf_take_nets(struct conf_parse *p, enum conf_list l, struct conf_nets *out);

/* A copy in the config's arena, or NULL. */
const char *conf_keep(struct conf_parse *p, const char *s);

/* Whether the key was set in the section at hand. */
bool conf_seen(const struct conf_parse *p, const char *section, const char *name);

/* --- conf_whole.c --- */

/* All of the text was read: what is wrong with it as a whole, and what is worked out; into the config. */
void conf_whole(struct conf_parse *p);

/* --- conf_handler.c: sections of who is asked --- */

/* The kind of a section, or -1. */
int conf_handler_kind(const char *section);

/* Back to the defaults, before the first section of a kind and after each. */
void conf_handler_defaults(struct conf_parse *p);

/* Such a section has ended. */
void conf_handler_end(struct conf_parse *p, enum conf_kind kind, const char *title, unsigned line);

/* All sections are there: into the config, in order. */
bool conf_handler_whole(struct conf_parse *p);

conf_set conf_set_text, conf_set_listener_name, conf_set_allow, conf_set_socket, conf_set_server, conf_set_dnslist;

/* --- conf_table.c --- */

extern const struct conf_key     conf_key[];
extern const size_t              conf_nkey;
extern const struct conf_section conf_section[];
extern const size_t              conf_nsection;

/* The row of a key ("" is the section of those outside), or NULL. */
const struct conf_key *conf_key_find(const char *section, const char *name);

/* The line on which a key outside of listeners was set, 0: it has its default. */
unsigned conf_line(const struct conf *cf, const char *section, const char *name);

/* As conf_parse(); *state_dir: what was read of it, malloc()ed, or NULL where that is not all there is. */
int conf_parse_for(
    const char *file, const char *text, size_t n, conf_report *report, void *arg, struct conf **out, char **state_dir);

/* --- conf_scan.c --- */

typedef void conf_complain(void *arg, unsigned line, const char *why);

/**
 * conf_scan_clean(text, n, complain, arg):
 * Return a copy of ${text} without comments (lines stay where they are), or
 * NULL after at least one complaint.  Refused is all that libconfuse's lexer
 * would swallow in silence or expand.  Owner: the caller, free().
 */
char *conf_scan_clean(const char *text, size_t n, conf_complain *complain, void *arg);

/**
 * conf_scan_finish(clean, open, nopen):
 * Return what libconfuse may read: ${clean} with an empty title where "tls"
 * has none.  *open are the lines on which sections open.  NULL when memory is
 * out.  Owner of both: the caller.
 */
char *conf_scan_finish(const char *clean, unsigned **open, size_t *nopen);

/* Blank the statement that begins with ${name} on line ${line}, so that what follows can be read.  *section: it was a section.  False if it isn't there. */
bool conf_scan_blank(char *clean, unsigned line, const char *name, bool *section);

/* --- conf_value.c: 0, or -1 when ${s} isn't written like one --- */

int conf_value_u64(const char *s, uint64_t *out);

/* Which answers of a DNS list count, 127.0.0.[2..11] (conf_answers.c).  0, or -1. */
int conf_value_answers(struct span s, struct conf_answers *out);
int conf_value_size(const char *s, uint64_t *octets);
int conf_value_duration(const char *s, uint64_t *ms);
int conf_value_bool(const char *s, bool *out);
int conf_value_word(const char *s, const char *words, unsigned *out); /* words: "a b c" */

const char *conf_value_address(const char *s, struct conf_address *out);
const char *conf_value_path(const char *s);

/* Whether both cannot be bound: NULL, or how they meet in words. */
const char *conf_value_clash(const struct conf_address *a, const struct conf_address *b);

/* --- conf_set.c --- */

conf_set conf_set_hostname, conf_set_user, conf_set_u32, conf_set_size, conf_set_message_size, conf_set_journal,
    conf_set_duration, conf_set_bool, conf_set_enum, conf_set_path, conf_set_log_to, conf_set_delimiters,
    conf_set_postmaster, conf_set_hostport, conf_set_address, conf_set_nets;

/* Fill p->why; for setters: return conf_why(p, ...). */
const char *conf_why(struct conf_parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- conf_check.c --- */

/* Report "FILE:LINE: WHAT" and the words of ${fmt}; line 0 is told as 1: a default stands on no line, and the words say what it is about. */
void conf_tell(const struct conf *cf, unsigned line, conf_report *report, void *arg, const char *what, const char *fmt,
    va_list ap) __attribute__((format(printf, 6, 0)));

#endif
