/*
 * state: all that a master knows, as lines that its successor reads
 * (common/facts.h), and the descriptors that they name.  Fields are found by
 * name and what is missing has a default, so that builds may differ; only what
 * a successor cannot do without is an error.
 */
#ifndef MASTER_STATE_H_
#define MASTER_STATE_H_

#include "common/facts.h"
#include "master/master.h"

/* The state in a memfd, which is to be inherited like the descriptors that it names: state_inherit().  -1 with errno. */
int state_write(const struct master *m, const char *reverted);

/* Whether an exec keeps the descriptors of the state that was written last. */
void state_inherit(bool yes);

/**
 * state_read(m, fd, why, cap):
 * Take over from ${fd}, the descriptors too, which are then closed by an exec
 * again.  ${m} is as main.c's init() left it.  0, or -1 with a line in ${why}.
 */
int state_read(struct master *m, int fd, char *why, size_t cap);

/* A field that is a descriptor; -1 is left out. */
void state_put_fd(struct facts *f, const char *key, int fd);

/* It, or -1. */
int state_get_fd(const struct fact *f, const char *key);

/* The generation of that number, or NULL. */
struct generation *state_generation(const struct master *m, const struct fact *f);
#endif
