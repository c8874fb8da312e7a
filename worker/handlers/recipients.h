/*
 * recipients: asks the mailbox directory whose a recipient is.
 */
#ifndef WORKER_HANDLERS_RECIPIENTS_H_
#define WORKER_HANDLERS_RECIPIENTS_H_

#include "common/conf.h"
#include "common/stats.h"
#include "worker/handlers/handler.h"

/* Octets one look-up may need for aliases on its way. */
enum { RECIPIENTS_ARENA_FIRST = 4096, RECIPIENTS_ARENA_MAX = 16 << 20 };

struct recipients;

/* Open the snapshot; one that is missing or damaged is logged and looked for again.  NULL with errno ENOMEM. */
struct recipients *recipients_new(const struct conf *cf, struct stats_slot *stats);

/* Take up a newer snapshot if there is one; call at least once a second. */
void recipients_refresh(struct recipients *rs);

/**
 * recipients_domain(rs, domain):
 * Whether ${domain} (a name, not canonical yet) is one that mail is received
 * for: 1, 0, or -1 with errno when it cannot be known.  By an older list where
 * the newest cannot be used: nobody is refused for a domain that is not in it.
 */
int recipients_domain(struct recipients *rs, struct span domain);

extern const struct handler_ops recipients_ops; /* ctx is the struct recipients, freed by its close */

#endif
