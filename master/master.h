/*
 * master: what the files of the master share.
 * One struct, one thread: signals set flags, the loop in control.c looks at
 * them in one place, and all else is called from there.  The master never
 * reads an octet that came from the network.
 */
#ifndef MASTER_MASTER_H_
#define MASTER_MASTER_H_

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/conf.h"
#include "common/id.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/stats_carry.h"
#include "master/ctl.h"
#include "master/listen.h"

enum {
	MASTER_SLOTS    = STATS_SLOT_REPORTS, /* slot 0 is the master's own */
	MASTER_START_MS = 30000,              /* how long a generation may take to be ready */
	MASTER_KILL_MS  = 5000,               /* what is granted beyond timeouts.drain before SIGKILL */
	MASTER_HEAR_MAX =
	    64, /* messages of a worker in a second; it has three to say in its life, and one a second while its log is lost */
	MASTER_LIVED_MS         = 2000, /* a worker that lived as long starts the back-off anew */
	MASTER_AGAIN_MS         = 100,  /* between the starts of one slot, whoever kills who sits there */
	MASTER_BACKOFF_FIRST_MS = 1000, /* before the second start after quick deaths; then twice as long each time */
	MASTER_BACKOFF_MAX_MS   = 5000,
	MASTER_BIND_MS          = 2000 /* how long a taken port, or state_dir, is tried again at the start */
};

enum generation_state { GENERATION_STARTING, GENERATION_SERVING, GENERATION_RETIRING, GENERATION_DEAD };

/* Processes that a generation may have beside its workers: helper.h. */
enum helper_what { HELPER_KEYS, HELPER_AUTH, HELPER_REPORTS, HELPER_KINDS };

struct helper;

/* A segment that workers still count in, and that is not ours any more: segment.h. */
struct segment {
	LIST_ENTRY(segment) entry;
	uint64_t           number;
	struct stats_carry carry;
};

/* Workers of one config. */
struct generation {
	LIST_ENTRY(generation) entry;
	uint64_t              number;
	uint64_t              segment; /* the number of that which its processes count in */
	struct conf          *conf;
	int64_t               read;                     /* unix seconds: when the config was */
	int                   conf_fd;                  /* memfd with the config's text, sealed */
	struct listen_sock   *sock[CONF_ADDRESSES_MAX]; /* in the order of the config */
	unsigned              nsock;
	enum generation_state state;
	int                   log_fd;      /* where its processes log, -1: standard error */
	int                   worker_exe;  /* held open, so that all its processes are of one build; -1: none */
	unsigned              live;        /* slots that it holds */
	int64_t               deadline_ms; /* STARTING: to be ready; RETIRING: to be gone */
	int                   code;        /* sysexits, why it could not start */
	struct helper        *helper[HELPER_KINDS]; /* NULL: its config needs none of that kind */
};

enum worker_state {
	WORKER_FREE,
	WORKER_STARTING, /* forked */
	WORKER_READY,    /* said IPC_READY */
	WORKER_WAITING   /* dead, its replacement waits for the back-off */
};

/* A slot and who sits in it. */
struct slot {
	enum worker_state  state;
	struct generation *gen;
	pid_t              pid;      /* 0 when none runs */
	int                control;  /* -1 when closed */
	bool               drained;  /* said IPC_DRAINED */
	bool               log_owed; /* it is still to hear of a new log */
	unsigned           nth;      /* of its generation's workers, from 0 */
	unsigned           deaths;   /* quick ones in a row */
	unsigned           said;     /* messages in the second that began at second_ms */
	int64_t            second_ms;
	int64_t            began_ms;
	int64_t            start_ms; /* WAITING: when to start the next one */
	int64_t            kill_ms;  /* 0, or when SIGKILL is due */
	uint64_t           beat;     /* as it was seen last */
	int64_t            late_ms;  /* how long it has not changed, in turns of the master */
	bool               hung;     /* it is being ended for that, */
	bool               killed;   /* or because all are to end at once */
	bool               dropped;  /* or for what it said, or for not ending in time */
};

/* watch.h */
struct watch {
	uint64_t watchdog_us; /* 0: the service manager has none */
	int64_t  hang_ms;     /* how long a loop may not turn */
	int64_t  turn_ms;     /* when the master last looked, 0: never */
	int64_t  beat_ms;     /* when it last said WATCHDOG=1 */
};

enum { NOBODY_LINGER_MAX = 64 }; /* sockets that were answered and stay a moment */

/* nobody.h */
struct nobody {
	int64_t  since_ms; /* since when no worker has served, 0: one does */
	bool     on;       /* senders are told, */
	int64_t  began_ms; /* since then, */
	uint64_t refused;  /* so many */
	int64_t  second_ms;
	unsigned answered;   /* of them in the second that began at second_ms, */
	char     id[ID_MAX]; /* with this id; "": none yet */
	struct {
		int     fd;
		int64_t until_ms;
	} lingering[NOBODY_LINGER_MAX]; /* a ring */
	unsigned first, nlingering;
};

/* The binary's replacement, as far as it has come: upgrade.h. */
struct upgrade {
	pid_t   pid;         /* 0, or the rehearsal that runs */
	int     pipe;        /* what it says */
	int     exe;         /* the program that rehearses, then takes over */
	int     predecessor; /* -1, or the program that is gone back to if our first generation comes to nothing */
	int64_t deadline_ms;
	bool    passed;   /* it said that it can */
	bool    back;     /* it is the predecessor */
	bool    running;  /* our first generation is starting */
	char   *reverted; /* why we, the predecessor, were gone back to; or why we go back */
	size_t  n;
	char    said[8192];
};

struct master {
	const char     *file;       /* the config, as given by -c */
	int             tickets_fd; /* -1: no listener has offered TLS yet */
	struct tickets *tickets;
	int             budget_fd;  /* -1: no listener has offered AUTH yet; budget.h */
	LIST_HEAD(, helper) helper; /* of all generations */
	LIST_HEAD(, generation) generation;
	int                null, stats_fd, conns_fd, state_fd, signal_fd;
	int                lock_fd;          /* lock.h */
	struct stats_slot *stats;            /* slot 0 */
	struct stats_slot *carried;          /* STATS_SLOT_CARRIED */
	uint64_t           segment;          /* the number of stats_fd's */
	LIST_HEAD(, segment) segments;       /* earlier ones */
	bool                segment_settled; /* all that earlier ones held when it got its name is in it */
	int64_t             segment_ms;      /* when they were last looked at */
	int64_t             segment_said_ms; /* when a failure was last logged, 0: never */
	struct listen_table listen;
	struct ctl          ctl;
	struct slot         slot[MASTER_SLOTS];
	struct generation  *serving, *starting;
	uint64_t            generations; /* the number of the newest */
	/* what signals asked for */
	bool           again; /* a reload is to be tried again, with the programs that we hold */
	bool           hold;  /* the generation that starts is of those */
	bool           want_stop, want_now, want_drain, want_reload, want_upgrade, want_log;
	int64_t        log_ms; /* when logs were opened anew */
	struct upgrade upgrade;
	struct watch   watch;
	struct nobody  nobody;
	/* life */
	bool           stopping;  /* no new sessions any more */
	bool           stopped;   /* and the workers were told to send the idle ones away */
	bool           serves;    /* READY=1 was said once */
	int64_t        stop_ms;   /* when SIGKILL is due */
	int            code;      /* exit status */
	int64_t        since;     /* unix seconds of the start */
	enum log_level log_level; /* now, everywhere: the config's until "ctl loglevel" */
};

/* Milliseconds of the monotonic clock. */
int64_t master_now_ms(void);
#endif
