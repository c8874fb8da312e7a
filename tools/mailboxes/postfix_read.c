/*
 * postfix_read: Postfix's text files.  Lines as in postconf(5) and postmap(1):
 * one that begins with white space continues the one before, over empty lines
 * and comments too; of a key that stands twice the first counts.
 */
#include <bsd/stdlib.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"
#include "tools/mailboxes/input.h"
#include "tools/mailboxes/postfix.h"

static void __attribute__((format(printf, 4, 0)))
tell(const char *file, unsigned line, const char *kind, const char *fmt, va_list ap)
{
	if (line > 0)
		fprintf(stderr, "%s:%u: %s", file, line, kind);
	else
		fprintf(stderr, "%s: %s", file, kind);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
postfix_mistake(struct postfix *p, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(file, line, "", fmt, ap);
	va_end(ap);
	p->mistakes++;
}

void
postfix_note(const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(file, line, "note: ", fmt, ap);
	va_end(ap);
}

/* --- logical lines --- */

struct logical {
	char *text; /* POSTFIX_LINE_MAX + 1 */
	size_t n;
	unsigned line;
};

static bool
white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

/* 0, or EX_DATAERR after a message. */
static int
gather(struct logical *l, struct span s, const char *file, unsigned line)
{
	if (memchr(s.p, '\0', s.n) != NULL) {
		warnx("%s:%u: a NUL octet: name the text file here, not what postmap made of it", file, line);
		return EX_DATAERR;
	}
	if (s.n > POSTFIX_LINE_MAX - l->n) {
		warnx("%s:%u: the line is longer than %d octets", file, line, POSTFIX_LINE_MAX);
		return EX_DATAERR;
	}
	memcpy(l->text + l->n, s.p, s.n);
	l->n += s.n;
	l->text[l->n] = '\0';
	return 0;
}

static const char *
keep_name(struct postfix *p, const char *file)
{
	if (p->nfiles == POSTFIX_FILES_MAX)
		errno = ENFILE;
	else if ((p->file[p->nfiles] = strdup(file)) != NULL)
		return p->file[p->nfiles++];
	return NULL;
}

int
postfix_lines(struct postfix *p, const char *file,
    void (*take)(struct postfix *p, void *arg, const char *file, unsigned line, char *text), void *arg)
{
	struct logical l = { .text = malloc(POSTFIX_LINE_MAX + 1) };
	const char *name = keep_name(p, file);
	struct input in;
	struct span s;
	int got, rc = 0;

	if (l.text == NULL || name == NULL || input_open(&in, file, POSTFIX_LINE_MAX) != 0) {
		warn("cannot open %s", file);
		free(l.text);
		return EX_NOINPUT;
	}
	while (rc == 0 && (got = input_line(&in, &s)) > 0) {
		size_t blanks = 0;

		while (blanks < s.n && white(s.p[blanks]))
			blanks++;
		if (blanks == s.n || s.p[blanks] == '#')
			continue;
		if (blanks == 0 || l.n == 0) {
			if (l.n > 0)
				take(p, arg, name, l.line, l.text);
			l.n = 0;
			l.line = (unsigned)in.line;
			s = span_skip(s, blanks);
		}
		rc = gather(&l, s, name, (unsigned)in.line);
	}
	if (rc == 0 && got < 0) {
		warn("cannot read %s", file);
		rc = EX_NOINPUT;
	}
	if (rc == 0 && l.n > 0)
		take(p, arg, name, l.line, l.text);
	input_close(&in);
	free(l.text);
	return rc;
}

/* --- words --- */

/* Where the word at ${s} ends: at white space, or at a comma if ${list}, outside of double quotes. */
static char *
word_end(char *s, bool list)
{
	bool quoted = false;

	for (; *s != '\0'; s++) {
		if (quoted && *s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '"')
			quoted = !quoted;
		else if (!quoted && (isspace((unsigned char)*s) || (list && *s == ',')))
			break;
	}
	return s;
}

char *
postfix_word(char **rest)
{
	char *s = *rest, *end;

	while (isspace((unsigned char)*s) || *s == ',')
		s++;
	if (*s == '\0')
		return NULL;
	end = word_end(s, true);
	*rest = *end != '\0' ? end + 1 : end;
	*end = '\0';
	return s;
}

/* --- tables --- */

int
postfix_add(
    struct postfix *p, struct postfix_table *t, const char *key, const char *value, const char *file, unsigned line)
{
	struct postfix_row r = { .file = file, .line = line, .order = p->rows++ };

	if (t->n == t->cap) {
		size_t cap = t->cap > 0 ? 2 * t->cap : 64;
		struct postfix_row *more = reallocarray(t->row, cap, sizeof(*more));

		if (more == NULL)
			goto fail;
		t->row = more;
		t->cap = cap;
	}
	r.key = strdup(key);
	r.value = strdup(value);
	if (r.key != NULL && r.value != NULL) {
		t->row[t->n++] = r;
		return 0;
	}
fail:
	free(r.key);
	free(r.value);
	warn("%s", file);
	return EX_OSERR;
}

struct reading {
	struct postfix_table *t;
	int rc;
};

static void
take_row(struct postfix *p, void *arg, const char *file, unsigned line, char *text)
{
	struct reading *r = arg;
	char *value = word_end(text, false), key[NORM_KEY_MAX + 1], why[256];
	size_t n = 0;

	if (r->rc != 0)
		return;
	while (isspace((unsigned char)*value))
		*value++ = '\0';
	for (char *end = value + strlen(value); end > value && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	if (strchr(text, '@') == NULL) {
		for (; n < NORM_KEY_MAX && text[n] != '\0'; n++)
			key[n] = (char)ascii_lower((uint8_t)text[n]);
	} else if (entry_key(span_str(text), key, &n, why, sizeof(why)) != 0) {
		if (!p->quiet)
			postfix_mistake(p, file, line, "%s; this row is left out: mend it or take it away", why);
		return;
	}
	key[n] = '\0';
	r->rc = postfix_add(p, r->t, key, value, file, line);
}

int
postfix_read(struct postfix *p, struct postfix_table *t, const char *file)
{
	struct reading r = { .t = t };
	int rc = postfix_lines(p, file, take_row, &r);

	return rc != 0 ? rc : r.rc;
}

static int
by_key(const void *a, const void *b)
{
	const struct postfix_row *x = a, *y = b;
	int rc = strcmp(x->key, y->key);

	return rc != 0 ? rc : (x->order > y->order) - (x->order < y->order);
}

void
postfix_sort(struct postfix_table *t)
{
	size_t n = 0;

	if (t->n > 0)
		qsort(t->row, t->n, sizeof(*t->row), by_key);
	for (size_t i = 0; i < t->n; i++) {
		struct postfix_row *r = &t->row[i];

		if (n > 0 && strcmp(t->row[n - 1].key, r->key) == 0) {
			if (strcmp(t->row[n - 1].value, r->value) != 0)
				postfix_note(r->file, r->line, "'%s' stands at %s:%u too, and that one counts", r->key,
				    t->row[n - 1].file, t->row[n - 1].line);
			free(r->key);
			free(r->value);
			continue;
		}
		t->row[n++] = *r;
	}
	t->n = n;
}

const struct postfix_row *
postfix_find(const struct postfix_table *t, const char *key)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int rc = strcmp(t->row[mid].key, key);

		if (rc == 0)
			return &t->row[mid];
		if (rc < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void
table_free(struct postfix_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->row[i].key);
		free(t->row[i].value);
	}
	free(t->row);
}

void
postfix_free(struct postfix *p)
{
	table_free(&p->mailbox);
	table_free(&p->alias);
	table_free(&p->domains);
	table_free(&p->aliasdomains);
	table_free(&p->local);
	table_free(&p->accounts);
	table_free(&p->param);
	for (size_t i = 0; i < p->nfiles; i++)
		free(p->file[i]);
	free(p->myorigin);
	free(p->delimiter);
}
