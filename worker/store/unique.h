/*
 * unique: names for Maildir files.
 * SEC.M<usec>P<pid>Q<n>_<slot>.<host> and, once a message is whole,
 * ",S=<octets>" behind it.  Unique as long as no two workers on hosts of the
 * same name share pid, slot and microsecond; whoever creates by such a name
 * still refuses to overwrite.
 */
#ifndef WORKER_STORE_UNIQUE_H_
#define WORKER_STORE_UNIQUE_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	UNIQUE_HOST_MAX = 128, /* octets of the host that are kept, encoded, with the NUL */
	UNIQUE_MAX      = 256  /* octets of a name with its NUL: NAME_MAX is never passed */
};

/* Who makes names; one a process.  Threads share it. */
struct unique {
	char             host[UNIQUE_HOST_MAX];
	unsigned         pid, slot;
	_Atomic uint64_t count;
};

struct unique_name {
	int64_t  sec;
	uint64_t n;
	uint32_t usec;
};

/* '/' and ':' in ${host} become \057 and \072, as do a backslash, a comma, a space and what is not printable ASCII. */
void unique_init(struct unique *u, const char *host, unsigned slot);

/* A name that was not given before. */
void unique_next(struct unique *u, struct unique_name *n);

/* The name in tmp/. */
void unique_tmp(const struct unique *u, const struct unique_name *n, char out[static UNIQUE_MAX]);

/* The name in new/, with the file's ${size} in octets. */
void unique_new(const struct unique *u, const struct unique_name *n, uint64_t size, char out[static UNIQUE_MAX]);

/* Whether ${name} is one that unique_tmp() gave on a host of our name. */
bool unique_ours(const struct unique *u, const char *name);
#endif
