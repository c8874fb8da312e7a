/*
 * script: a dialogue, tests/dialog/NAME.smtp, read into steps.  The format, a
 * line each (a line that is none of these is an error):
 *
 *   # text            a comment; "# P12 P13" names the lines of PROTOCOL.md proved
 *   ! lmtp            LMTP instead of SMTP
 *   ! ext WORD...     offer chunking, smtputf8, dsn, starttls, requiretls
 *   ! size N          message_size_limit, octets (default 10000)
 *   ! rcpt N          recipient_limit (default 100)
 *   ! errors N        limits.errors (default 20)
 *   ! bare-newline    bare_newline_from holds the client
 *   ! xclient         xclient_from holds the client
 *   ! tls             implicit TLS;  ! tls-required: TLS is required
 *   ! early           all is sent before the greeting
 *   ! engine          says nothing a live server can be asked (as E and T lines do)
 *   C: text           send the text and CRLF
 *   RAW: text         send the text; \r \n \t \\ \xHH are octets, here alone
 *   FILL: N text      send the text (with escapes) N times
 *   S: pattern        the next reply line; "*" is any run; what follows a space behind the pattern is free
 *   CLOSE             the server closes; nothing else was said
 *   TLS               the handshake takes place here
 *   SPLIT, PAUSE      live: write here what is held; and wait a moment
 *   E: QUESTION reply answer the next QUESTION (as stage_names has them) so; "close" first closes,
 *                     "yes" alone is the usual yes.  Without E lines recipients are looked up in mailboxes.list
 *   B: text           content (with escapes) of the next message that is accepted, as the store gets it
 *   T: pattern        a line of the event trace, in order
 *
 * C, RAW and FILL lines that follow one another are sent together.
 */
#ifndef TESTS_DIALOG_SCRIPT_H_
#define TESTS_DIALOG_SCRIPT_H_

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/smtp/smtp.h"

enum step_kind { STEP_SEND, STEP_EXPECT, STEP_CLOSE, STEP_TLS, STEP_ANSWER, STEP_BODY, STEP_TRACE };

struct step {
	enum step_kind kind;
	int            line; /* in the file */
	char          *p;
	size_t         n;
};

struct script {
	struct smtp_conf cf;
	bool             bare, xclient, tls, early, engine;
	struct step     *steps;
	size_t           nsteps;
};

static inline void
script_die(const char *file, int line, const char *why)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, why);
	exit(2);
}

static inline void
script_step(struct script *sc, enum step_kind kind, int line, const char *p, size_t n)
{
	struct step *st;

	sc->steps = realloc(sc->steps, (sc->nsteps + 1) * sizeof(*sc->steps));
	st        = &sc->steps[sc->nsteps++];
	*st       = (struct step){ .kind = kind, .line = line, .p = malloc(n + 1), .n = n };
	memcpy(st->p, p, n);
	st->p[n] = '\0';
}

/* Decode escapes in place; octets that are left. */
static inline size_t
script_unescape(const char *file, int line, char *s)
{
	size_t n = 0;

	for (char *p = s; *p != '\0'; p++) {
		char c = *p;

		if (c == '\\') {
			switch (*++p) {
			case 'r':
				c = '\r';
				break;
			case 'n':
				c = '\n';
				break;
			case 't':
				c = '\t';
				break;
			case '\\':
				break;
			case 'x':
				if (isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2])) {
					char hex[3] = { p[1], p[2], '\0' };

					c = (char)strtoul(hex, NULL, 16);
					p += 2;
					break;
				}
				/* fall through */
			default:
				script_die(file, line, "bad escape");
			}
		}
		s[n++] = c;
	}
	return n;
}

static inline unsigned
script_ext(const char *file, int line, char *words)
{
	static const struct {
		const char *word;
		unsigned    bit;
	} exts[]     = { { "chunking", SMTP_EXT_CHUNKING }, { "smtputf8", SMTP_EXT_SMTPUTF8 }, { "dsn", SMTP_EXT_DSN },
		    { "starttls", SMTP_EXT_STARTTLS }, { "auth", SMTP_EXT_AUTH }, { "tokens", SMTP_EXT_TOKENS } };
	unsigned ext = 0;
	char    *word;

	while ((word = strsep(&words, " ")) != NULL) {
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(exts) / sizeof(exts[0]); i++)
			if (strcmp(word, exts[i].word) == 0)
				bit = exts[i].bit;
		if (bit == 0)
			script_die(file, line, "no such extension");
		ext |= bit;
	}
	return ext;
}

static inline void
script_directive(struct script *sc, const char *file, int line, char *d)
{
	unsigned long n   = 0;
	char         *arg = strchr(d, ' ');

	if (arg != NULL) {
		*arg++ = '\0';
		n      = strtoul(arg, NULL, 10);
	}
	if (strcmp(d, "lmtp") == 0)
		sc->cf.lmtp = true;
	else if (strcmp(d, "ext") == 0 && arg != NULL)
		sc->cf.ext = script_ext(file, line, arg);
	else if (strcmp(d, "size") == 0)
		sc->cf.size_max = n;
	else if (strcmp(d, "flood") == 0)
		sc->cf.flood_max = n;
	else if (strcmp(d, "rcpt") == 0)
		sc->cf.rcpt_max = (uint32_t)n;
	else if (strcmp(d, "errors") == 0)
		sc->cf.errors_max = (uint32_t)n;
	else if (strcmp(d, "xclient") == 0)
		sc->xclient = true;
	else if (strcmp(d, "bare-newline") == 0)
		sc->bare = true;
	else if (strcmp(d, "auth-required") == 0)
		sc->cf.auth_required = true;
	else if (strcmp(d, "tls") == 0)
		sc->tls = true;
	else if (strcmp(d, "tls-required") == 0)
		sc->cf.tls_required = true;
	else if (strcmp(d, "early") == 0)
		sc->early = true;
	else if (strcmp(d, "engine") == 0)
		sc->engine = true;
	else
		script_die(file, line, "no such directive");
}

static inline void
script_fill(struct script *sc, const char *file, int line, char *arg)
{
	char         *text;
	unsigned long times = strtoul(arg, &text, 10);
	size_t        n, all;
	char         *p;

	if (text == arg || *text != ' ')
		script_die(file, line, "FILL: N text");
	n   = script_unescape(file, line, ++text);
	all = n * times;
	p   = malloc(all + 1);
	for (size_t i = 0; i < all; i++)
		p[i] = text[i % n];
	script_step(sc, STEP_SEND, line, p, all);
	free(p);
}

static inline void
script_line(struct script *sc, const char *file, int line, char *s)
{
	size_t n = strlen(s);

	if (n == 0 || s[0] == '#' || strcmp(s, "SPLIT") == 0 || strcmp(s, "PAUSE") == 0)
		return;
	if (strncmp(s, "! ", 2) == 0) {
		script_directive(sc, file, line, s + 2);
	} else if (strncmp(s, "C: ", 3) == 0 || strcmp(s, "C:") == 0) {
		char *p = malloc(n + 3);

		script_step(sc, STEP_SEND, line, p, (size_t)snprintf(p, n + 3, "%s\r\n", s + 2 + (n > 2)));
		free(p);
	} else if (strncmp(s, "RAW: ", 5) == 0) {
		script_step(sc, STEP_SEND, line, s + 5, script_unescape(file, line, s + 5));
	} else if (strncmp(s, "FILL: ", 6) == 0) {
		script_fill(sc, file, line, s + 6);
	} else if (strncmp(s, "S: ", 3) == 0) {
		script_step(sc, STEP_EXPECT, line, s + 3, n - 3);
	} else if (strncmp(s, "E: ", 3) == 0) {
		script_step(sc, STEP_ANSWER, line, s + 3, n - 3);
	} else if (strncmp(s, "B: ", 3) == 0) {
		script_step(sc, STEP_BODY, line, s + 3, script_unescape(file, line, s + 3));
	} else if (strcmp(s, "B:") == 0) {
		script_step(sc, STEP_BODY, line, "", 0);
	} else if (strncmp(s, "T: ", 3) == 0) {
		script_step(sc, STEP_TRACE, line, s + 3, n - 3);
	} else if (strcmp(s, "CLOSE") == 0) {
		script_step(sc, STEP_CLOSE, line, "", 0);
	} else if (strcmp(s, "TLS") == 0) {
		script_step(sc, STEP_TLS, line, "", 0);
	} else {
		script_die(file, line, "no line of a dialogue");
	}
}

/* Read ${file}; exits when it can't be. */
static inline struct script
script_read(const char *file)
{
	struct script sc  = { .cf = { .hostname = "mx.example.org",
				  .size_max     = 10000,
				  .flood_max    = SMTP_FLOOD_MIN,
				  .rcpt_max     = 100,
				  .errors_max   = 20 } };
	FILE         *f   = fopen(file, "r");
	char         *s   = NULL;
	size_t        cap = 0;
	ssize_t       n;

	if (f == NULL)
		script_die(file, 0, "can't open");
	for (int line = 1; (n = getline(&s, &cap, f)) > 0; line++) {
		if (s[n - 1] == '\n')
			s[n - 1] = '\0';
		script_line(&sc, file, line, s);
	}
	free(s);
	fclose(f);
	return sc;
}

static inline void
script_free(struct script *sc)
{
	for (size_t i = 0; i < sc->nsteps; i++)
		free(sc->steps[i].p);
	free(sc->steps);
}

/* Whether ${s} is what ${pattern} says: "*" is any run, and behind a space after the pattern all is free. */
static inline bool
script_match(const char *pattern, const char *s)
{
	for (; *pattern != '\0'; pattern++, s++) {
		if (*pattern == '*') {
			for (;; s++) {
				if (script_match(pattern + 1, s))
					return true;
				if (*s == '\0')
					return false;
			}
		}
		if (*pattern != *s)
			return false;
	}
	return *s == '\0' || *s == ' ';
}
#endif
