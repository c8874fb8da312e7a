/*
 * report: no record crashes letterplate-reports, and whatever is in one, the
 * message made of it has the form of a report and addresses nobody else.
 */
#include "common/report.h"

#include <stdlib.h>

#include "reports/compose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char end[] = "--\n", to[] = "\nTo: <";
	struct report r;
	char *text, *line;
	size_t n;

	if (report_read(span_of(data, size), &r) != 0)
		return 0;
	text = compose(&r, "mx.example.org", 1700000000, 3600, &n);
	must(text != NULL && n > sizeof(end) && memcmp(text + n - 3, end, 3) == 0);
	line = strstr(text, to);
	must(line != NULL && memcmp(line + strlen(to), r.from.p, r.from.n) == 0);
	/* The header of the message itself ends with an empty line of ours; there is no second To in it. */
	must(strstr(line + 1, "\nSubject: Your message was delivered\n") == line + strlen(to) + r.from.n + 1);
	if (!compose_is_utf8(&r))
		for (size_t i = 0; i < n; i++)
			must((uint8_t)text[i] < 0x7f && (text[i] >= ' ' || text[i] == '\n' || text[i] == '\t'));
	free(text);
	return 0;
}
