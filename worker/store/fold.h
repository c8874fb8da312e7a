/*
 * fold: CRLF to LF, for octets that come in any pieces.
 * A CR or an LF that stands alone stays as it is, so that what turns LF into
 * CRLF again gets back what was signed.  PURE.
 */
#ifndef WORKER_STORE_FOLD_H_
#define WORKER_STORE_FOLD_H_

#include "common/span.h"

struct fold {
	bool cr;  /* a CR came last and waits for what follows */
	bool raw; /* octets pass as they are: they were folded before */
};

/**
 * fold_crlf(f, in, out, cap):
 * Take octets from the front of *in and write them folded to ${out} until *in
 * is empty or ${cap} octets are written.  Return the octets written.  All
 * zero is the state at the start.
 */
size_t fold_crlf(struct fold *f, struct span *in, uint8_t *out, size_t cap);

/* The end: write the CR that still waits, if one does.  0 or 1 octets; ${out} has room for it. */
size_t fold_end(struct fold *f, uint8_t *out);
#endif
