/*
 * fold: a run without CR is found by memchr() and copied as a whole.
 * The only state between two pieces is one CR.  PURE.
 */
#include "worker/store/fold.h"

/* Settle a waiting CR now that something follows it: octets written, 0 or 1. */
static size_t
settle(struct fold *f, struct span in, uint8_t *out)
{
	f->cr = false;
	if (in.p[0] == '\n')
		return 0;
	out[0] = '\r';
	return 1;
}

size_t
fold_crlf(struct fold *f, struct span *in, uint8_t *out, size_t cap)
{
	size_t w = 0, run;
	const uint8_t *cr;

	while (in->n > 0 && w < cap) {
		if (f->cr)
			w += settle(f, *in, out + w);
		run = in->n < cap - w ? in->n : cap - w;
		cr = run > 0 && !f->raw ? memchr(in->p, '\r', run) : NULL;
		if (cr != NULL)
			run = (size_t)(cr - in->p);
		if (run > 0)
			memcpy(out + w, in->p, run);
		w += run;
		*in = span_skip(*in, run);
		if (cr != NULL) {
			f->cr = true;
			*in = span_skip(*in, 1);
		}
	}
	return w;
}

size_t
fold_end(struct fold *f, uint8_t *out)
{
	if (!f->cr)
		return 0;
	f->cr = false;
	out[0] = '\r';
	return 1;
}
