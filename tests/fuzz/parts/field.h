/* field: what a field's value in a list of edits must be, whoever wrote it. */
#ifndef TESTS_FUZZ_PARTS_FIELD_H_
#define TESTS_FUZZ_PARTS_FIELD_H_

#include <stdbool.h>

#include "common/span.h"

/* Whether what stands behind the colon can be taken for one field only: no NUL, no CR, each LF before a line that begins with a blank and has more than blanks. */
static inline bool
one_field(struct span v)
{
	for (size_t i = 0; i < v.n; i++) {
		size_t k = i + 1;

		if (v.p[i] == '\0' || v.p[i] == '\r')
			return false;
		if (v.p[i] != '\n')
			continue;
		while (k < v.n && (v.p[k] == ' ' || v.p[k] == '\t'))
			k++;
		if (k == i + 1 || k == v.n || v.p[k] == '\n')
			return false;
	}
	return true;
}

#endif
