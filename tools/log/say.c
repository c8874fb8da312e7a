/*
 * say: the one place where what stood in a log goes to a terminal.
 * The server escapes what it logs; but a file can be anybody's.
 */
#include "tools/log/say.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* ${text} without what a terminal acts on; malloc()ed, or NULL. */
static char *
escaped(const char *text)
{
	static const char hex[] = "0123456789abcdef";
	struct span s = span_str(text);
	char *out = malloc(4 * s.n + 1), *to = out;

	while (out != NULL && s.n > 0) {
		size_t n = s.p[0] == '\\' ? 1 : log_plain(s);

		if (n > 0) {
			memcpy(to, s.p, n);
			to += n;
		} else {
			n = 1;
			*to++ = '\\';
			*to++ = 'x';
			*to++ = hex[s.p[0] >> 4];
			*to++ = hex[s.p[0] & 15];
		}
		s = span_skip(s, n);
	}
	if (out != NULL)
		*to = '\0';
	return out;
}

/* Columns are counted as characters: close enough for names and addresses. */
static size_t
width(const char *p, size_t n)
{
	size_t w = 0;

	for (size_t i = 0; i < n; i++)
		w += (p[i] & 0xc0) != 0x80;
	return w;
}

void
say(FILE *f, const char *stamp, const char *fmt, ...)
{
	char *raw = NULL, *text = NULL;
	size_t column = SAY_INDENT;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&raw, fmt, ap);
	va_end(ap);
	if (r == -1 || (text = escaped(raw)) == NULL)
		goto out;
	fprintf(f, "%-*s", SAY_INDENT, stamp);
	for (const char *p = text; *p != '\0';) {
		size_t n = strcspn(p, " "), w = width(p, n);

		if (column > SAY_INDENT && column + 1 + w > SAY_COLUMNS) {
			fprintf(f, "\n%*s", SAY_INDENT, "");
			column = SAY_INDENT;
		} else if (column > SAY_INDENT) {
			fputc(' ', f);
			column++;
		}
		fwrite(p, 1, n, f);
		column += w;
		p += n;
		p += *p == ' ';
	}
	fputc('\n', f);
out:
	free(text);
	if (r != -1)
		free(raw);
}
