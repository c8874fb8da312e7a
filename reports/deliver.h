/*
 * deliver: takes records from the spool and brings each on its way, until it
 * is delivered, taken over, or given up.  The one place that decides and says so.
 */
#ifndef REPORTS_DELIVER_H_
#define REPORTS_DELIVER_H_

#include "common/conf.h"
#include "common/stats.h"
#include "reports/local.h"
#include "reports/relay.h"
#include "reports/spool.h"

enum {
	DELIVER_DOWN_FIRST_MS = 250, /* after a connection that came to nothing; doubled each time */
	DELIVER_DOWN_MAX_MS   = 300000,
	DELIVER_ASK_AGAIN_MS  = 60000, /* so long down: the relay's name is to be looked up anew */
	DELIVER_SCAN_MS       = 30000, /* the folder is read at least so often */
	DELIVER_SCAN_MIN_MS   = 100,   /* ... and not more often than this */
	DELIVER_CLEAR_MS      = 2000   /* a folder that cannot be changed is looked at again */
};

struct deliver {
	const struct conf *conf;
	struct stats_slot *stats;
	struct lookup      where;
	struct spool       spool;
	struct relay       relay;
	struct local      *local;
	bool               holds;    /* the lock: this process sends */
	bool               changed;  /* something may be new in the folder */
	bool               shut;     /* the folder cannot be changed: nothing is begun */
	int64_t            clear_ms; /* when to look again whether it can, and to remove what is done */
	int64_t            scanned_ms;
	int64_t            up_ms;         /* when the relay is to be tried again */
	int64_t            down_since_ms; /* 0: it is not */
	unsigned           downs;
	bool               secured; /* the relay has taken a report inside TLS */
	/* under way */
	struct spool_entry *at_relay, *at_local;
	uint8_t            *record; /* of at_relay */
	char               *text;
	struct report       report;
};

/* With conf, stats and where set; inside the sandbox, before seccomp.  0, or -1 after a logged line. */
int deliver_init(struct deliver *d);

/* Do what can be done now. */
void deliver_turn(struct deliver *d, int64_t now_ms);

/* When there will be something to do without an event, monotonic milliseconds. */
int64_t deliver_due_ms(const struct deliver *d, int64_t now_ms);

/* Whether the relay's name should be looked up anew, and nothing is under way that a restart would break. */
bool deliver_stale(const struct deliver *d, int64_t now_ms, int64_t age_ms);
#endif
