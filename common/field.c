/*
 * field: name, blanks, colon.
 */
#include "common/field.h"

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
