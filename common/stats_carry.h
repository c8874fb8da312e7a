/*
 * stats_carry: what is counted in one segment is added to a slot of another.
 * When a build with other counters takes over, and when the file of a running
 * server was deleted, there is a new segment; workers that finish their
 * sessions go on counting in the one that they know.  The master looks there
 * again and again and adds what has come since it looked last, by name.  What
 * it saw last stands in a memory file that a successor inherits with the
 * segment, so every count is added once, by whoever is master then.
 */
#ifndef COMMON_STATS_CARRY_H_
#define COMMON_STATS_CARRY_H_

#include "common/stats_form.h"

struct stats_carry {
	int               fd, seen; /* the segment; the memory file */
	struct stats_form form;
	char             *now, *was; /* a slot each */
};

/**
 * stats_carry_open(c, fd, seen):
 * Carry from ${fd}; ${seen} as the predecessor left it, or -1: nothing was
 * carried from there yet.  Both belong to ${c} from then on, also when it
 * fails.  0, or -1 with errno: EPROTONOSUPPORT for a segment without a form.
 */
int stats_carry_open(struct stats_carry *c, int fd, int seen);

/* Add what has come since.  0, or -1 with errno: nothing is added twice by doing it again. */
int stats_carry_look(struct stats_carry *c, struct stats_slot *into);

/* Slot ${i} as it is, in our layout and nothing added: for who looks.  0, or -1 with errno. */
int stats_carry_slot(struct stats_carry *c, unsigned i, struct stats_slot *out);

/* Who counts in slot ${i} there, and what he is doing: pid, generation, beat and gauges become those of ${into}.  0 or -1. */
int stats_carry_owner(const struct stats_carry *c, unsigned i, struct stats_slot *into);

/* His beat alone.  0, or -1 with errno. */
int stats_carry_beat(const struct stats_carry *c, unsigned i, uint64_t *beat);

void stats_carry_close(struct stats_carry *c);
#endif
