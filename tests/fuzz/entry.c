/*
 * entry: no line crashes the reader of lists, every mistake is a message
 * of one line, and what was read is the same after it was printed and read
 * again.  A blank behind a line makes it take the long way: no difference.
 */
#include "common/entry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parsed {
	int rc;
	size_t keylen, reclen;
	char key[NORM_KEY_MAX];
	uint8_t rec[ENTRY_RECORD_MAX];
};

static struct parsed first, again;
static char line[2 * ENTRY_RECORD_MAX + 2048];

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
parse(struct span s, struct parsed *p)
{
	char err[512] = "";

	p->rc = entry_parse(s, p->key, &p->keylen, p->rec, &p->reclen, err, sizeof(err));
	must(p->rc >= -1 && p->rc <= 1);
	must((p->rc == -1) == (err[0] != '\0'));
	must(strpbrk(err, "\r\n\t\033") == NULL);
	must(p->rc != 1 ||
	    (p->keylen > 1 && p->keylen <= NORM_KEY_MAX && p->reclen > 0 && p->reclen <= ENTRY_RECORD_MAX));
}

static void
must_agree(void)
{
	must(again.rc == first.rc);
	if (first.rc != 1)
		return;
	must(span_eq(span_of(first.key, first.keylen), span_of(again.key, again.keylen)));
	must(span_eq(span_of(first.rec, first.reclen), span_of(again.rec, again.reclen)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry e;
	ssize_t n;

	if (size > ENTRY_LINE_MAX - 1)
		return 0;
	parse(span_of(data, size), &first);
	/* Not behind a backslash or an open quote, where it would be part of a word: then both are mistakes. */
	memcpy(line, data, size);
	line[size] = ' ';
	parse(span_of(line, size + 1), &again);
	must_agree();
	if (first.rc != 1)
		return 0;
	must(entry_decode(span_of(first.rec, first.reclen), &e) == 0);
	n = entry_format(span_of(first.key, first.keylen), &e, line, sizeof(line));
	/* Escapes may make a line longer than a list takes. */
	if (n < 0 || n > ENTRY_LINE_MAX)
		return 0;
	parse(span_of(line, (size_t)n), &again);
	must_agree();
	return 0;
}
