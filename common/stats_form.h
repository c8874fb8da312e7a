/*
 * stats_form: what stands where in the slots of a segment.
 * A segment says it itself, in words behind its head, so that a build with
 * other counters can read what this one counted: by name, not by place.  It
 * is the one part that may never change its own layout: the first fields of
 * struct stats_head, and the words below.
 *
 *	word NAME AT                         a 64-bit word of a slot: pid, generation, beat
 *	replies - AT N                       64-bit words by reply code
 *	counter NAME AT    gauge NAME AT     64-bit words
 *	histogram NAME AT N                  N buckets, and the sum behind them
 *	rows NAME AT N SIZE COUNT ENH CODE WORD WORD_MAX      N rows of SIZE octets; the others are places in a row
 *	handlers - AT N SIZE WORD_MAX HISTOGRAM N
 *	answer NAME AT    running - AT       in a row of handlers
 *	tags - AT N SIZE COUNT WORD WORD_MAX
 */
#ifndef COMMON_STATS_FORM_H_
#define COMMON_STATS_FORM_H_

#include <stddef.h>

#include "common/stats.h"

enum {
	STATS_FORM_MAX      = STATS_HEAD - STATS_FORM, /* octets of the words with their NUL */
	STATS_FORM_SLOTS    = 1024,                    /* slots that a segment of another build may have */
	STATS_FORM_SLOT_MAX = 1 << 20                  /* octets of one of them */
};

#define STATS_FORM_NONE UINT32_MAX /* a place: the segment has none such */

struct stats_form_rows {
	uint32_t at, n, size;
	uint32_t count, enh, code, word, word_max; /* in a row */
};

struct stats_form {
	uint64_t started;
	uint32_t head, nslots, slot_size;
	uint32_t pid, generation, beat;
	uint32_t reply, nreply;
	uint32_t counter[STATS_NCOUNTERS], gauge[STATS_NGAUGES];
	struct {
		uint32_t at, n;
	} hist[STATS_NHISTOGRAMS];
	struct stats_form_rows reason, tls_why;
	struct {
		uint32_t at, n, size, word_max, hist, nhist;
		uint32_t answer[STATS_NANSWERS], running;
	} handler;
	struct stats_form_rows tag; /* enh and code are not used */
};

/* Our own form in words.  Octets with the NUL. */
size_t stats_form_write(char out[STATS_FORM_MAX]);

/* CRC-32C of it. */
uint32_t stats_form_sum(void);

/**
 * stats_form_read(fd, f):
 * The form of the segment ${fd}; what our build does not know is left out, and
 * what it says of places outside a slot.  0, or -1 with errno: EPROTONOSUPPORT
 * when it has none that we can read, as those of builds before there were any.
 */
int stats_form_read(int fd, struct stats_form *f);
#endif
