/*
 * expiry: when the certificates that a generation serves with expire.
 */
#ifndef MASTER_EXPIRY_H_
#define MASTER_EXPIRY_H_

#include "master/master.h"

enum { EXPIRY_WAIT_MS = 1000 }; /* how long the child that reads them may take; the master waits for it */

/**
 * expiry_read(gen, at):
 * For each tls section of ${gen}'s config, at[i] in unix seconds: the first
 * end of validity in the chain that is served, which the file may have
 * overtaken; 0: not known.  ${at} has CONF_LISTENERS_MAX places.
 */
void expiry_read(const struct generation *gen, int64_t *at);
#endif
