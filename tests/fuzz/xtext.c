/*
 * fuzz xtext: what is decoded and encoded again decodes to the same, and no
 * path component that comes out can leave its folder.
 */
#include "common/xtext.h"

#include <stdlib.h>

#include "common/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 2000 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_xtext(struct span in)
{
	uint8_t out[MAX], back[MAX];
	char wire[3 * MAX];
	ssize_t n, m;

	n = xtext_encode(in, wire, sizeof(wire));
	must(n >= (ssize_t)in.n);
	must(xtext_decode(span_of(wire, (size_t)n), back, sizeof(back)) == (ssize_t)in.n);
	must(in.n == 0 || memcmp(back, in.p, in.n) == 0);
	n = xtext_decode(in, out, sizeof(out));
	if (n < 0)
		return;
	m = xtext_encode(span_of(out, (size_t)n), wire, sizeof(wire));
	must(m >= n && xtext_decode(span_of(wire, (size_t)m), back, sizeof(back)) == n);
	must(memcmp(out, back, (size_t)n) == 0);
}

static void
check_path(struct span in)
{
	char out[3 * MAX];
	ssize_t n = path_encode(in, out, sizeof(out));

	if (n < 0) {
		must(in.n == 0 || in.n > 255 / 3);
		return;
	}
	must(n > 0 && n <= 255 && out[0] != '.');
	for (ssize_t i = 0; i < n; i++)
		must(out[i] > ' ' && out[i] <= '~' && out[i] != '/' && !(out[i] >= 'G' && out[i] <= 'Z'));
}

/* A reply that was read is one line on the wire, and reads the same from there. */
static void
check_reply(struct span in)
{
	struct reply r, again;
	char out[REPLY_WIRE_MAX];
	size_t n;

	if (reply_parse(in, &r) != 0)
		return;
	must(r.code / 100U == ENH_CLASS(r.enh) && r.n > 0);
	n = reply_format(&r, span_of(NULL, 0), out);
	must(n <= sizeof(out) && memchr(out, '\n', n) == out + n - 1 && memchr(out, '\r', n) == out + n - 2);
	must(reply_parse(span_of(out, n - 2), &again) == 0);
	must(again.code == r.code && again.enh == r.enh && again.n == r.n && memcmp(again.text, r.text, r.n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size < MAX ? size : MAX);

	check_xtext(in);
	check_path(in);
	check_reply(in);
	return 0;
}
