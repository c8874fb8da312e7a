/*
 * conf_scan: makes a config's text safe for libconfuse 3.3.
 * Its lexer drops octets that it does not know, expands ${VAR}, counts the
 * lines of some comments twice, and an unclosed string leaves its global state
 * inside that string, so that the next parse (a reload) starts there.  What
 * could meet any of these is refused here with its line; grammar and values
 * are not this file's business.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "common/conf_priv.h"

struct scan {
	char *s; /* the copy, NUL-terminated */
	size_t i, n;
	unsigned line;
	bool bad, cr;
	conf_complain *complain;
	void *arg;
};

static void
bad(struct scan *sc, const char *why)
{
	sc->bad = true;
	sc->complain(sc->arg, sc->line, why);
}

static char
at(const struct scan *sc, size_t ahead)
{
	return sc->i + ahead < sc->n ? sc->s[sc->i + ahead] : '\0';
}

/* Words outside of quotes; all else that may be a value needs quotes. */
static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
	    c == ':' || c == '@' || c == '-';
}

static void
blank_line_comment(struct scan *sc)
{
	while (sc->i < sc->n && sc->s[sc->i] != '\n')
		sc->s[sc->i++] = ' ';
}

static void
blank_comment(struct scan *sc)
{
	unsigned began = sc->line;

	sc->s[sc->i++] = ' ';
	sc->s[sc->i++] = ' ';
	for (; sc->i < sc->n; sc->i++) {
		if (at(sc, 0) == '*' && at(sc, 1) == '/') {
			sc->s[sc->i++] = ' ';
			sc->s[sc->i++] = ' ';
			return;
		}
		if (sc->s[sc->i] == '\n')
			sc->line++;
		else
			sc->s[sc->i] = ' ';
	}
	sc->line = began;
	bad(sc, "this comment is not closed: \"*/\" is missing");
}

static void
quoted(struct scan *sc)
{
	char q = sc->s[sc->i++];

	for (; sc->i < sc->n && sc->s[sc->i] != '\n'; sc->i++) {
		char c = sc->s[sc->i];

		if (c == q) {
			sc->i++;
			return;
		}
		if (c == '\\' && at(sc, 1) != '\\' && at(sc, 1) != q)
			bad(sc, "in quotes a backslash may stand before a quote or a backslash only");
		if (c == '\\' && (at(sc, 1) == '\\' || at(sc, 1) == q))
			sc->i++;
		if (q == '"' && c == '$' && at(sc, 1) == '{')
			bad(sc, "\"${\" is refused: the environment is not read");
	}
	bad(sc, "this string is not closed on its line: a quote is missing");
}

/* libconfuse takes "section|key" as a path, which a word cannot spell. */
static void
no_quoted_key(struct scan *sc)
{
	size_t k = sc->i;

	while (k < sc->n && (sc->s[k] == ' ' || sc->s[k] == '\t' || sc->s[k] == '\n'))
		k++;
	if (k < sc->n && sc->s[k] == '=')
		bad(sc, "a key takes no quotes");
}

static void
octet(struct scan *sc)
{
	char why[96];
	unsigned char c = (unsigned char)sc->s[sc->i];

	if (c < 0x80)
		snprintf(why, sizeof why, "\"%c\" does not belong here; values other than plain words need quotes", c);
	else
		snprintf(why, sizeof why, "only ASCII may stand outside of quotes; values need quotes");
	bad(sc, why);
	/* One complaint a run: the rest of it would say the same. */
	while (sc->i < sc->n && !strchr(" \t\n\"'={},", sc->s[sc->i]))
		sc->i++;
	if (sc->i < sc->n && (unsigned char)sc->s[sc->i] == c)
		sc->i++;
}

static void
scan(struct scan *sc)
{
	while (sc->i < sc->n) {
		char c = sc->s[sc->i];

		if (c == '\n') {
			sc->line++;
			sc->i++;
		} else if (c == '#' || (c == '/' && at(sc, 1) == '/')) {
			blank_line_comment(sc);
		} else if (c == '/' && at(sc, 1) == '*') {
			blank_comment(sc);
		} else if (c == '"' || c == '\'') {
			quoted(sc);
			no_quoted_key(sc);
		} else if (is_word(c) || strchr(" \t={},", c) != NULL) {
			sc->i++;
		} else {
			octet(sc);
		}
	}
}

/* What no part of a text file may hold, comments included. */
static void
octets_ok(struct scan *sc)
{
	const uint8_t *wrong = u8_check((const uint8_t *)sc->s, sc->n);
	size_t end = wrong != NULL ? (size_t)(wrong - (const uint8_t *)sc->s) : sc->n;

	if (sc->n >= 3 && memcmp(sc->s, "\xef\xbb\xbf", 3) == 0)
		bad(sc, "the file begins with a byte order mark; save it without");
	for (size_t i = 0; i < end; i++) {
		unsigned char c = (unsigned char)sc->s[i];
		char why[64];

		if (c == '\n') {
			sc->line++;
		} else if (c == '\r' && !sc->cr) {
			sc->cr = true;
			bad(sc, "a carriage return; save the file with LF line ends");
		} else if (c != '\t' && c != '\r' && (c < 0x20 || c == 0x7f)) {
			snprintf(why, sizeof why, "a control octet (0x%02x)", c);
			bad(sc, why);
			return;
		}
	}
	if (wrong != NULL)
		bad(sc, "not UTF-8");
}

/* --- tokens of a clean text --- */

struct tok {
	char kind; /* 'w'ord, 's'tring, or the octet itself; 0 at the end */
	size_t at, n;
	unsigned line;
};

/* The token at or after *i; moves *i behind it. */
static struct tok
token(const char *s, size_t *i, unsigned *line)
{
	struct tok t = { .kind = '\0' };

	for (; s[*i] == ' ' || s[*i] == '\t' || s[*i] == '\n'; ++*i)
		*line += s[*i] == '\n';
	t.at = *i;
	t.line = *line;
	if (s[*i] == '\0')
		return t;
	if (s[*i] == '"' || s[*i] == '\'') {
		char q = s[(*i)++];

		t.kind = 's';
		while (s[*i] != '\0' && s[*i] != q)
			*i += s[*i] == '\\' && (s[*i + 1] == '\\' || s[*i + 1] == q) ? 2 : 1;
		*i += s[*i] == q;
	} else if (is_word(s[*i])) {
		t.kind = 'w';
		while (is_word(s[*i]))
			++*i;
	} else {
		t.kind = s[(*i)++];
	}
	t.n = *i - t.at;
	return t;
}

/*
 * What libconfuse takes without a word: a section that the file's end leaves
 * open, and a next line's first word as the value of a key without one.
 */
static void
structure(struct scan *sc)
{
	size_t i = 0, depth = 0;
	unsigned line = 1, opened = 0;
	struct tok prev = { .kind = '\0' }, t;

	while ((t = token(sc->s, &i, &line)).kind != '\0') {
		sc->line = prev.line;
		if (prev.kind == '=' && t.kind == 'w' && t.line != prev.line)
			bad(sc, "there is no value behind \"=\"");
		if (t.kind == '{' && depth++ == 0)
			opened = t.line;
		else if (t.kind == '}' && depth > 0)
			depth--;
		prev = t;
	}
	sc->line = opened;
	if (depth > 0)
		bad(sc, "what \"{\" opens here is not closed: a \"}\" is missing");
}

char *
conf_scan_clean(const char *text, size_t n, conf_complain *complain, void *arg)
{
	struct scan sc = { .n = n, .line = 1, .complain = complain, .arg = arg };

	sc.s = malloc(n + 1);
	if (sc.s == NULL) {
		complain(arg, 0, "out of memory");
		return NULL;
	}
	if (n > 0)
		memcpy(sc.s, text, n);
	sc.s[n] = '\0';
	octets_ok(&sc);
	if (!sc.bad) {
		sc.line = 1;
		scan(&sc);
	}
	if (!sc.bad)
		structure(&sc);
	if (!sc.bad)
		return sc.s;
	free(sc.s);
	return NULL;
}

char *
conf_scan_finish(const char *clean, unsigned **open, size_t *nopen)
{
	size_t n = strlen(clean), i = 0, from = 0, len = 0, depth = 0;
	struct tok prev = { .kind = '\0' }, t;
	unsigned line = 1;
	/* A title costs three octets and stands behind a "tls"; a section costs an octet at least. */
	char *out = malloc(2 * n + 2);

	*nopen = 0;
	*open = calloc(n / 2 + 1, sizeof **open);
	if (out == NULL || *open == NULL) {
		free(out);
		free(*open);
		*open = NULL;
		return NULL;
	}
	while ((t = token(clean, &i, &line)).kind != '\0') {
		if (t.kind == '{' && depth == 0 && prev.kind == 'w' && prev.n == 3 &&
		    memcmp(clean + prev.at, "tls", 3) == 0) {
			memcpy(out + len, clean + from, prev.at + 3 - from);
			len += prev.at + 3 - from;
			memcpy(out + len, " \"\"", 3);
			len += 3;
			from = prev.at + 3;
		}
		if (t.kind == '{') {
			if (depth++ == 0 && prev.kind != '=' && *nopen < n / 2)
				(*open)[(*nopen)++] = t.line;
		} else if (t.kind == '}' && depth > 0) {
			depth--;
		}
		prev = t;
	}
	memcpy(out + len, clean + from, n - from);
	len += n - from;
	/* fmemopen(3) may refuse an empty text. */
	if (len == 0)
		out[len++] = ' ';
	out[len] = '\0';
	return out;
}

/* Move *i behind the matching brace; it stands behind the opening one. */
static void
skip_braces(const char *s, size_t *i)
{
	size_t depth = 1;
	unsigned line = 0;
	struct tok t;

	while (depth > 0 && (t = token(s, i, &line)).kind != '\0')
		depth += (size_t)(t.kind == '{') - (size_t)(t.kind == '}');
}

/* Where the statement ends whose name ends at ${i}. */
static size_t
statement_end(const char *s, size_t i, bool *section)
{
	size_t end = i;
	unsigned line = 0;
	struct tok t = token(s, &i, &line);
	bool assign = t.kind == '=';

	*section = false;
	if (assign || t.kind == 's' || t.kind == 'w') {
		end = assign ? i : end;
		t = token(s, &i, &line);
	}
	if (t.kind == '{') {
		*section = !assign;
		skip_braces(s, &i);
		return i;
	}
	return assign && (t.kind == 's' || t.kind == 'w') ? i : end;
}

bool
conf_scan_blank(char *clean, unsigned line, const char *name, bool *section)
{
	size_t i = 0;
	unsigned now = 1;
	struct tok prev = { .kind = '\0' }, t;

	while ((t = token(clean, &i, &now)).kind != '\0' && t.line <= line) {
		if (t.line == line && (t.kind == 'w' || t.kind == 's') && prev.kind != '=' && prev.kind != ',') {
			size_t quote = t.kind == 's';

			if (t.n - 2 * quote == strlen(name) &&
			    memcmp(clean + t.at + quote, name, t.n - 2 * quote) == 0) {
				size_t end = statement_end(clean, i, section);

				for (size_t k = t.at; k < end; k++)
					if (clean[k] != '\n')
						clean[k] = ' ';
				return true;
			}
		}
		prev = t;
	}
	return false;
}
