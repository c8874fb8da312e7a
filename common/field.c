/*
 * field: name, blanks, colon; then lines.
 */
#include "common/field.h"

#include <string.h>

size_t
field_colon(struct span line, size_t *name)
{
	size_t i = 0;

	while (i < line.n && field_octet(line.p[i]))
		i++;
	*name = i;
	while (i < line.n && field_blank(line.p[i]))
		i++;
	return *name > 0 && i < line.n && line.p[i] == ':' ? i : 0;
}

struct span
field_header(struct span content)
{
	size_t at = 0, name;

	while (at < content.n) {
		struct span line = span_skip(content, at);
		const uint8_t *lf = memchr(line.p, '\n', line.n);

		if (lf != NULL)
			line = span_head(line, (size_t)(lf - line.p) + 1);
		if (field_blank(line.p[0]) ? at == 0 : field_colon(line, &name) == 0)
			break;
		at += line.n;
	}
	return span_head(content, at);
}
