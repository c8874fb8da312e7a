/*
 * mailboxes: the look-up of DESIGN.md in its smallest form, over a list in
 * memory: exact, without the extension, catch-all, then 550 5.1.1; a domain
 * without an entry is not ours.  A stand-in for the directory, so that a
 * dialogue means the same here and against a live server.
 */
#ifndef TESTS_DIALOG_MAILBOXES_H_
#define TESTS_DIALOG_MAILBOXES_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/reply.h"

enum { MAILBOXES_MAX = 64 };

struct mailbox {
	char key[128];     /* local@domain or @domain, lower case, unquoted */
	char same_as[128]; /* @domain: it is another name of this domain */
	char reply[128];   /* of reject= or defer=, or empty */
};

struct mailboxes {
	struct mailbox list[MAILBOXES_MAX];
	size_t         n;
};

static inline void
mailboxes_line(struct mailboxes *m, char *s)
{
	struct mailbox *b  = &m->list[m->n];
	char           *at = strchr(s, '@'), *end, *p;
	size_t          n  = 0;

	if (at == NULL || s[0] == '#')
		return;
	if (m->n == MAILBOXES_MAX)
		abort();
	end = at + strcspn(at, " \t\n");
	for (p = s; p < end && n < sizeof(b->key) - 1; p++)
		if (*p != '"')
			b->key[n++] = (char)ascii_lower((uint8_t)*p);
	if ((p = strstr(end, "domain-alias=")) != NULL)
		snprintf(b->same_as, sizeof(b->same_as), "%.*s", (int)strcspn(p + 13, " \n"), p + 13);
	else if ((p = strstr(end, "reject=\"")) != NULL || (p = strstr(end, "defer=\"")) != NULL)
		snprintf(
		    b->reply, sizeof(b->reply), "%.*s", (int)strcspn(strchr(p, '"') + 1, "\""), strchr(p, '"') + 1);
	m->n++;
}

static inline void
mailboxes_read(struct mailboxes *m, const char *file)
{
	FILE *f = fopen(file, "r");
	char  line[512];

	if (f == NULL) {
		perror(file);
		exit(2);
	}
	while (fgets(line, sizeof(line), f) != NULL)
		mailboxes_line(m, line);
	fclose(f);
}

static inline const struct mailbox *
mailboxes_find(const struct mailboxes *m, const char *local, size_t n, const char *domain)
{
	char key[700];

	snprintf(key, sizeof(key), "%.*s@%s", (int)n, local, domain);
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->list[i].key, key) == 0)
			return &m->list[i];
	return NULL;
}

static inline bool
mailboxes_ours(const struct mailboxes *m, const char *domain)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(strchr(m->list[i].key, '@') + 1, domain) == 0)
			return true;
	return false;
}

static inline void
mailboxes_lower(char *out, size_t cap, struct span s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)ascii_lower(s.p[i]);
	out[n] = '\0';
}

/* Leave *r alone for a recipient that exists, else fill in the refusal. */
static inline void
mailboxes_lookup(const struct mailboxes *m, const struct addr *a, struct reply *r)
{
	char                  local[400], domain[300];
	const struct mailbox *b;

	mailboxes_lower(local, sizeof(local), a->local);
	mailboxes_lower(domain, sizeof(domain), a->domain);
	if (domain[0] == '\0')
		return;
	if (!mailboxes_ours(m, domain)) {
		reply_set(r, 550, ENH(5, 7, 1), "not-ours", "not a domain of ours");
		return;
	}
	b = mailboxes_find(m, "", 0, domain);
	if (b != NULL && b->same_as[0] != '\0')
		mailboxes_lower(domain, sizeof(domain), span_str(b->same_as));
	b = mailboxes_find(m, local, strlen(local), domain);
	if (b == NULL && strchr(local, '+') != NULL)
		b = mailboxes_find(m, local, strcspn(local, "+"), domain);
	if (b == NULL)
		b = mailboxes_find(m, "", 0, domain);
	if (b == NULL && strcmp(local, "postmaster") == 0)
		return;
	if (b == NULL)
		reply_set(r, 550, ENH(5, 1, 1), "unknown-user", "no such mailbox");
	else if (b->reply[0] != '\0')
		reply_parse(span_str(b->reply), r);
}
#endif
