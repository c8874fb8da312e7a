/*
 * check: questions in, answers out: what is quick at once, passwords by threads.
 */
#ifndef AUTH_CHECK_H_
#define AUTH_CHECK_H_

#include "common/authask.h"
#include "common/budget.h"
#include "common/conf.h"
#include "common/credential.h"

enum {
	CHECK_THREADS = 2,   /* that hash: 32 MiB each while they do */
	CHECK_QUEUE   = 1024 /* passwords that wait, shared out among the workers; more: AUTH_BUSY */
};

/* Start the threads that serve ${workers}, 1 to CONF_WORKERS_MAX; the three are kept.  0, or -1 with errno. */
int check_start(const struct conf *cf, const struct credentials *l, struct budget *b, unsigned workers);

/* A well-formed question of ${worker}, from 0 on, by the channel ${fd}; it is answered there.  *a is wiped. */
void check_ask(unsigned worker, int fd, struct auth_ask *a);

/* Whether ${n} octets are a question. */
bool check_form(const struct auth_ask *a, size_t n);
#endif
