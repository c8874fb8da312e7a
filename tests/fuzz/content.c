/*
 * fuzz content: the octets that are kept do not depend on how the message was
 * cut; they are the message less whole fields, and with an empty line more at
 * the most; and scanning them once more changes nothing.  The first two octets
 * choose the size of the pieces.
 */
#include "worker/smtp/content.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* Scan ${in} in pieces of ${step} octets; what is kept goes to ${out}, its length is returned. */
static size_t
scan(struct span in, size_t step, uint8_t *out, unsigned *received, bool *delivered)
{
	struct arena arena;
	struct content *c;
	struct span kept;
	size_t n = 0, total = in.n;

	arena_init(&arena, 2048, 1 << 20);
	c = content_new(&arena, "mx.example.org");
	must(c != NULL);
	while (in.n > 0) {
		struct span piece = span_head(in, step < in.n ? step : in.n);

		in = span_skip(in, piece.n);
		while (content_next(c, &piece, &kept)) {
			must(kept.n > 0 && n + kept.n <= total + CONTENT_ADDED_MAX);
			memcpy(out + n, kept.p, kept.n);
			n += kept.n;
		}
		must(piece.n == 0 && kept.n == 0);
	}
	if (content_end(c, &kept)) {
		must(n + kept.n <= total + CONTENT_ADDED_MAX);
		memcpy(out + n, kept.p, kept.n);
		n += kept.n;
	}
	*received = content_received(c);
	*delivered = content_delivered_to(c, SPAN("a@d"));
	arena_reset(&arena);
	return n;
}

/* Whether ${part} is ${whole} with octets left out. */
static bool
left_out(struct span whole, struct span part)
{
	size_t k = 0;

	for (size_t i = 0; i < whole.n && k < part.n; i++)
		k += whole.p[i] == part.p[k];
	return k == part.n;
}

/* The same, but for one empty line that is new. */
static bool
left_out_but_a_line(struct span whole, struct span part)
{
	uint8_t *less = malloc(part.n + 1);
	bool ok = left_out(whole, part);

	must(less != NULL);
	for (size_t i = 0; !ok && i + 2 <= part.n; i++) {
		if (part.p[i] != '\r' || part.p[i + 1] != '\n')
			continue;
		memcpy(less, part.p, i);
		memcpy(less + i, part.p + i + 2, part.n - i - 2);
		ok = left_out(whole, span_of(less, part.n - 2));
	}
	free(less);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned received[3];
	bool delivered[3];
	uint8_t *whole, *parts;
	size_t n;
	struct span in;

	if (size < 2)
		return 0;
	in = span_of(data + 2, size - 2);
	whole = malloc(size);
	parts = malloc(size);
	must(whole != NULL && parts != NULL);
	n = scan(in, size, whole, &received[0], &delivered[0]);
	for (int i = 0; i < 2; i++) {
		must(scan(in, 1U + data[i], parts, &received[1], &delivered[1]) == n);
		must(memcmp(whole, parts, n) == 0);
		must(received[0] == received[1] && delivered[0] == delivered[1]);
	}
	must(scan(in, 1, parts, &received[1], &delivered[1]) == n && memcmp(whole, parts, n) == 0);
	must(left_out_but_a_line(in, span_of(whole, n)));
	must(scan(span_of(whole, n), size, parts, &received[2], &delivered[2]) == n && memcmp(whole, parts, n) == 0);
	free(whole);
	free(parts);
	return 0;
}
