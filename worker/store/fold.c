/*
 * fold: a run without CR is copied a block at a time.
 * The only state between two pieces is one CR.  PURE.
 */
#include "worker/store/fold.h"

#include "common/scan.h"

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
	size_t w = 0, run, most;

	while (in->n > 0 && w < cap) {
		if (f->cr)
			w += settle(f, *in, out + w);
		most = in->n < cap - w ? in->n : cap - w;
		if (f->raw) {
			memcpy(out + w, in->p, most);
			run = most;
		} else {
			run = scan_copy(in->p, most, out + w);
		}
		w += run;
		*in = span_skip(*in, run);
		if (run < most) {
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
