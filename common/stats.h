/*
 * stats: the counters, in a file that is mapped by those who count and those
 * who look.
 *
 * The segment is a page with a head and then one page-aligned slot a worker
 * (slot 0 is the master's).  A slot has exactly one writer, its worker's loop;
 * stores are relaxed and 64 bits wide, never torn, and nothing is shared on
 * the hot path.  A worker maps its own slot only.  A new worker takes a dead
 * one's slot and goes on counting, so sums never go back.  Readers trust
 * nothing in it.
 */
#ifndef COMMON_STATS_H_
#define COMMON_STATS_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STATS_FILE "stats"     /* in state_dir */
#define STATS_NEXT "stats.new" /* there too: one that is not to be looked at yet */

enum {
	STATS_MAGIC = 0x4c505354, /* "LPST" */
	/* raised when a struct below changes; new counters, gauges and histograms change the head by themselves */
	STATS_LAYOUT = 5,
	STATS_HEAD   = 16384, /* octets of the head; slot i stands at STATS_HEAD + i * sizeof(struct stats_slot) */
	STATS_FORM   = 512,   /* where in the head its form stands: stats_form.h */
	STATS_PAGE   = 4096,
	STATS_SLOT_REPORTS = 129, /* letterplate-reports counts here; it is no worker */
	STATS_SLOT_CARRIED = 130, /* the master counts here what was counted in earlier segments: stats_carry.h */
	STATS_SLOTS        = 131, /* the master's, two generations of 64 workers, and these two */
	STATS_CODES        = 600, /* reply codes; 0..199 stay unused */
	STATS_REASONS      = 256, /* different (code, enhanced, reason) a slot; the last one holds the overflow */
	STATS_HANDLERS     = 56,  /* different handlers a slot; the last one holds the overflow */
	STATS_HANDLER_MAX  = 72,  /* octets of a handler's name with its NUL */
	STATS_RUNNING_MAX  = 16,  /* handlers that are named of those whose code runs in a slot */
	STATS_TAGS         = 64,  /* different tags a slot; the last one holds the overflow */
	STATS_TAG_MAX      = 32,  /* octets of a tag with its NUL */
	STATS_TLS_WHYS     = 48,  /* different reasons of failed handshakes a slot; the last one as above */
	STATS_BUCKETS = 40 /* of a histogram: bucket i counts values below 2^i microseconds that no lower one took */
};

/* Counters and gauges: name, help.  Gauges go to 0 when their worker ends. */
#ifndef STATS_MORE_COUNTERS /* a build for the tests has one more */
#define STATS_MORE_COUNTERS(X)
#endif
#define STATS_COUNTERS(X) \
	STATS_MORE_COUNTERS(X) \
	X(MESSAGES, "messages", "messages accepted and stored") \
	X(OCTETS, "octets", "octets of accepted messages, as received") \
	X(RECIPIENTS, "recipients", "mailboxes that accepted messages were stored in") \
	X(SESSIONS_TOTAL, "sessions_total", "sessions begun") \
	X(SESSIONS_REFUSED, "sessions_refused", "connections answered with 421 at the door, or closed before TLS") \
	X(TIMEOUTS, "timeouts", "sessions ended by a deadline") \
	X(EARLY_TALKERS, "early_talkers", "clients that spoke before the greeting") \
	X(HTTP_VERBS, "http_verbs", "clients that spoke HTTP") \
	X(SLOW_CLIENTS, "slow_clients", "sessions ended because content came too slowly") \
	X(LONG_SESSIONS, "long_sessions", "sessions ended because they had lasted too long") \
	X(ERROR_PAUSES, "error_pauses", "pauses after an error in sessions with many") \
	X(PROXY_HEADERS, "proxy_headers", "sessions begun by a PROXY header") \
	X(PROXY_FAILED, "proxy_failed", "connections closed for want of a valid PROXY header") \
	X(BARE_NEWLINES, "bare_newlines", "messages with a CR or LF that stands alone") \
	X(LOST_CLIENTS, "lost_clients", "sessions the client left without QUIT") \
	X(STORE_ERRORS, "store_errors", "messages the store could not take") \
	X(JOURNAL_RECORDS, "journal_records", "messages made durable by the journal") \
	X(JOURNAL_BATCHES, "journal_batches", "times the journal was synced for them") \
	X(JOURNAL_REPLAYED, "journal_replayed", "messages written to their mailboxes again after a crash") \
	X(LOOKUP_ERRORS, "lookup_errors", "recipients that could not be looked up") \
	X(DISCARDED, "discarded", "messages accepted and dropped because a handler said so") \
	X(HANDLER_TIMEOUTS, "handler_timeouts", "handlers that did not answer in time") \
	X(MILTERS_PASSED_OVER, "milters_passed_over", "sessions that went on without a milter that failed (accept)") \
	X(ACCEPT_ERRORS, "accept_errors", "times no descriptor was left for a connection") \
	X(TRACE_LOST, "trace_lost", "records of sessions dropped because a trace was not read fast enough") \
	X(LOG_DROPPED, "log_dropped", "log lines dropped because their reader was too slow") \
	X(TLS_1_2, "tls_1_2", "TLS 1.2 handshakes completed") \
	X(TLS_1_3, "tls_1_3", "TLS 1.3 handshakes completed") \
	X(TLS_FAILED, "tls_failed", "TLS handshakes that failed") \
	X(TLS_REFUSED, "tls_refused", "TLS handshakes refused because an address had begun too many") \
	X(TLS_LIMITED, "tls_limited", \
	    "connections closed before TLS because there were too many, in all or of an address") \
	X(TLS_RESUMED, "tls_resumed", "TLS handshakes that resumed a session by its ticket") \
	X(TLS_INJECTED, "tls_injected", "sessions closed for plaintext behind STARTTLS") \
	X(TLS_FLOODS, "tls_floods", "sessions ended for a flood of TLS records without data") \
	X(REPORTS_QUEUED, "reports_queued", "delivery reports put into the spool") \
	X(REPORTS_DELIVERED, "reports_delivered", "delivery reports put into mailboxes here") \
	X(REPORTS_SENT, "reports_sent", "delivery reports that dsn_relay took") \
	X(REPORTS_TLS, "reports_tls", "of them inside TLS") \
	X(REPORTS_DEFERRED, "reports_deferred", "times a delivery report has to be tried again") \
	X(REPORTS_FAILED, "reports_failed", "delivery reports given up") \
	X(REPORTS_DIED, "reports_died", "letterplate-reports ended unasked (master)") \
	X(AUTH_PLAIN, "auth_plain", "clients that authenticated by PLAIN") \
	X(AUTH_LOGIN, "auth_login", "clients that authenticated by LOGIN") \
	X(AUTH_SCRAM, "auth_scram", "clients that authenticated by SCRAM-SHA-256") \
	X(AUTH_SCRAM_PLUS, "auth_scram_plus", "clients that authenticated by SCRAM-SHA-256-PLUS") \
	X(AUTH_OAUTHBEARER, "auth_oauthbearer", "clients that authenticated by OAUTHBEARER") \
	X(AUTH_XOAUTH2, "auth_xoauth2", "clients that authenticated by XOAUTH2") \
	X(AUTH_PLAIN_WRONG, "auth_plain_wrong", "wrong guesses by PLAIN") \
	X(AUTH_LOGIN_WRONG, "auth_login_wrong", "wrong guesses by LOGIN") \
	X(AUTH_SCRAM_WRONG, "auth_scram_wrong", "wrong guesses by SCRAM-SHA-256") \
	X(AUTH_SCRAM_PLUS_WRONG, "auth_scram_plus_wrong", "wrong guesses by SCRAM-SHA-256-PLUS") \
	X(AUTH_OAUTHBEARER_WRONG, "auth_oauthbearer_wrong", "tokens of OAUTHBEARER that were refused") \
	X(AUTH_XOAUTH2_WRONG, "auth_xoauth2_wrong", "tokens of XOAUTH2 that were refused") \
	X(AUTH_DEFERRED, "auth_deferred", "times it could not be told who a client is, or it had guessed too often") \
	X(AUTH_DIED, "auth_died", "letterplate-auth ended unasked (master)") \
	X(WORKERS_STARTED, "workers_started", "workers started (master)") \
	X(WORKERS_DIED, "workers_died", "workers that ended unasked (master)") \
	X(WORKERS_HUNG, "workers_hung", "workers ended because their loop did not turn (master)") \
	X(KEYS_DIED, "keys_died", "key processes that ended unasked (master)") \
	X(UPGRADES, "upgrades", "binaries taken by USR2 (master)") \
	X(UPGRADES_FAILED, "upgrades_failed", "binaries refused at USR2 (master)") \
	X(CONTROL_COMMANDS, "control_commands", "requests at the control socket (master)") \
	X(RELOADS, "reloads", "configs taken by HUP (master)") \
	X(RELOADS_FAILED, "reloads_failed", "configs refused at HUP (master)")
#define STATS_GAUGES(X) \
	X(SESSIONS_OPEN, "sessions_open", "sessions open now") \
	X(STORE_FREE, "store_free", "octets free where mail is stored") \
	X(STORE_SIZE, "store_size", "octets that the file system there has") \
	X(STORE_FILES_FREE, "store_files_free", "files that may still be made there, 0 where there is no such limit") \
	X(COMMITS_PENDING, "commits_pending", "messages being made durable now") \
	X(REPORTS_WAITING, "reports_waiting", "delivery reports in the spool now") \
	X(SANDBOX_LEVEL, "sandbox_level", "bits: 1 uid, 2 Landlock, 4 seccomp") \
	X(DIRECTORY_MADE, "directory_made", "unix time the directory in use was made, 0 without one") \
	X(DIRECTORY_ENTRIES, "directory_entries", "entries of the directory in use") \
	X(DIRECTORY_NEWEST, "directory_newest", "1 if the directory in use is the newest, 0 if that cannot be used") \
	X(CERTIFICATE_EXPIRES, "certificate_expires", "unix time the first certificate expires, 0 without TLS") \
	X(CERTIFICATE_DAYS, "certificate_days", "days until then")
/* Histograms of microseconds. */
#define STATS_HISTOGRAMS(X) \
	X(COMMIT, "commit_seconds", "from end of data to durable") \
	X(LOOKUP, "lookup_seconds", "one recipient's look-up") \
	X(HANDLERS, "handlers_seconds", "one stage's handlers") \
	X(SESSION, "session_seconds", "a session's length") \
	X(LOOP, "loop_seconds", "one turn of the event loop, without waits")

/* What a handler's questions came to; all but ASKED and LATER add up to ASKED, with refusals on the way of content on top. */
#define STATS_ANSWERS(X) \
	X(ASKED, "asked", "questions asked") \
	X(NEXT, "next", "had no objection") \
	X(ACCEPTED, "accepted", "answered with 2xx") \
	X(DEFERRED, "deferred", "answered with 4xx") \
	X(REFUSED, "refused", "answered with 5xx") \
	X(DISCARDED, "discarded", "had the message dropped") \
	X(TIMEOUT, "timeouts", "did not answer in time") \
	X(FAILED, "failed", "could not find out") \
	X(GONE, "gone", "client gone before the answer") \
	X(LATER, "later", "answered later")

#define STATS_ENUM(id, name, help)  STATS_##id,
#define STATS_AENUM(id, name, help) STATS_A_##id,
enum stats_answer { STATS_ANSWERS(STATS_AENUM) STATS_NANSWERS };
enum stats_counter { STATS_COUNTERS(STATS_ENUM) STATS_NCOUNTERS };
enum stats_gauge { STATS_GAUGES(STATS_ENUM) STATS_NGAUGES };
#define STATS_HENUM(id, name, help) STATS_H_##id,
enum stats_histogram { STATS_HISTOGRAMS(STATS_HENUM) STATS_NHISTOGRAMS };

struct stats_reason {
	_Atomic uint64_t count; /* 0: the row is free; stored last */
	_Atomic uint32_t enh;   /* ENH() */
	_Atomic uint16_t code;
	char             reason[34]; /* NUL-terminated, [a-z0-9-] */
};

struct stats_hist {
	_Atomic uint64_t bucket[STATS_BUCKETS];
	_Atomic uint64_t sum_us;
};

struct stats_handler {
	char              name[STATS_HANDLER_MAX]; /* NUL-filled; "": the row is free */
	_Atomic uint64_t  answer[STATS_NANSWERS];
	struct stats_hist hist;    /* from question to answer */
	_Atomic uint64_t  running; /* calls of its code under way, in any thread of the worker */
};

struct stats_tag {
	char             word[STATS_TAG_MAX]; /* NUL-filled */
	_Atomic uint64_t count;               /* 0: the row is free; stored last */
};

struct stats_slot {
	_Alignas(4096) _Atomic uint64_t pid; /* 0: nobody writes it now */
	_Atomic uint64_t     generation;
	_Atomic uint64_t     beat; /* unix seconds, by the loop, which looks at the clock more than once in each */
	_Atomic uint64_t     reply[STATS_CODES];
	_Atomic uint64_t     counter[STATS_NCOUNTERS];
	_Atomic uint64_t     gauge[STATS_NGAUGES];
	struct stats_hist    hist[STATS_NHISTOGRAMS];
	struct stats_reason  reason[STATS_REASONS];
	struct stats_reason  tls_why[STATS_TLS_WHYS]; /* code and enh 0 */
	struct stats_handler handler[STATS_HANDLERS];
	struct stats_tag     tag[STATS_TAGS];
};

_Static_assert(sizeof(struct stats_slot) % STATS_PAGE == 0, "a slot is whole pages, so that it can be mapped alone");

struct stats_head {
	uint32_t         magic, layout, nslots, slot_size; /* slot_size in octets; layout: STATS_LAYOUT_ALL */
	uint64_t         started;                          /* unix seconds */
	char             version[32];
	uint32_t         head;    /* octets of the head */
	uint32_t         form;    /* stats_form_sum(): two builds may count as many things, and others */
	_Atomic uint32_t settled; /* 0: what earlier segments hold is not in it yet; a reader waits a moment */
};

_Static_assert(sizeof(struct stats_head) <= STATS_FORM, "the form begins behind the head");

/* What stands in head.layout. */
#define STATS_LAYOUT_ALL \
	((uint32_t)STATS_LAYOUT << 24 | (uint32_t)STATS_NCOUNTERS << 16 | (uint32_t)STATS_NGAUGES << 8 | \
	    STATS_NHISTOGRAMS)

/* --- who counts --- */

/* Create DIR/stats anew (temporary file, rename), 0644, all its blocks allocated, settled.  The descriptor, or -1 with errno. */
int stats_create(const char *dir, const char *version);

/**
 * stats_create_next(dir, version, started):
 * The same under STATS_NEXT in the folder ${dir}, a descriptor, and not
 * settled; ${started} in unix seconds.  stats_publish() gives it its name.
 */
int stats_create_next(int dir, const char *version, uint64_t started);

/* STATS_NEXT becomes STATS_FILE.  0, or -1 with errno. */
int stats_publish(int dir);

/* All that earlier segments held by now is in it: readers need not wait.  0, or -1 with errno. */
int stats_settle(int fd);

/* Whether ${fd} is a segment of our layout.  0, or -1 with errno: EPROTONOSUPPORT when it is another build's. */
int stats_layout_check(int fd);

/**
 * stats_slot_map(fd, i, generation):
 * Map slot ${i} of ${fd} alone, read-write, and take it: pid, generation;
 * gauges to 0, counters go on.  NULL with errno: EINVAL for no such slot,
 * EPROTONOSUPPORT for a segment of another layout.
 */
struct stats_slot *stats_slot_map(int fd, unsigned i, uint64_t generation);

/* Map it without taking it: for the master to show whom he knows there.  NULL with errno as above. */
struct stats_slot *stats_slot_borrow(int fd, unsigned i);

/* Its owner is dead: pid and gauges to 0, and nobody's code runs (master). */
void stats_slot_release(struct stats_slot *s);

/* The same for slot ${i} of ${fd}, mapped for the moment (master).  0, or -1 with errno. */
int stats_slot_clear(int fd, unsigned i);

/* Unmap. */
void stats_slot_unmap(struct stats_slot *s);

/**
 * stats_reply(s, code, enh, reason):
 * One reply was sent.  ${reason} "" counts by code alone; else it is counted
 * under (code, enh, reason) too, or under "other" once the table is full.
 */
void stats_reply(struct stats_slot *s, uint16_t code, uint32_t enh, const char *reason);

/* A TLS handshake failed: OpenSSL's words, or errno's, which are made a word of [a-z0-9-], cut to its 33 octets. */
void stats_tls_failed(struct stats_slot *s, const char *why);

/* The row of the handler ${name}, found or taken; the last one once all are taken. */
unsigned stats_handler(struct stats_slot *s, const char *name);

/* One answer of the handler of ${row}; ${us} microseconds from question to answer. */
void stats_answer(struct stats_slot *s, unsigned row, enum stats_answer a);
void stats_answer_time(struct stats_slot *s, unsigned row, uint64_t us);

/* ${by} 1: the code of the handler of ${row} is about to be called, -1: it has come back.  From any thread, unlike all else here. */
static inline void
stats_running(struct stats_slot *s, unsigned row, int by)
{
	atomic_fetch_add_explicit(&s->handler[row].running, (uint64_t)by, memory_order_relaxed);
}

/* A message or session has the tag ${word}; counted under "other" once the table is full. */
void stats_tag(struct stats_slot *s, const char *word);

void stats_hist_add(struct stats_hist *h, uint64_t us);

/* One value of ${us} microseconds. */
void stats_observe(struct stats_slot *s, enum stats_histogram h, uint64_t us);

static inline void
stats_add(struct stats_slot *s, enum stats_counter c, uint64_t n)
{
	atomic_store_explicit(
	    &s->counter[c], atomic_load_explicit(&s->counter[c], memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void
stats_gauge(struct stats_slot *s, enum stats_gauge g, uint64_t v)
{
	atomic_store_explicit(&s->gauge[g], v, memory_order_relaxed);
}

/* The loop lives: ${now} in unix seconds. */
static inline void
stats_beat(struct stats_slot *s, uint64_t now)
{
	atomic_store_explicit(&s->beat, now, memory_order_relaxed);
}

/* The beat of slot ${i} of ${fd}.  0, or -1 with errno. */
int stats_beat_of(int fd, unsigned i, uint64_t *beat);

/**
 * stats_running_of(fd, i, name):
 * The handlers whose code runs in slot ${i} of the segment ${fd}, whichever
 * build wrote it: how many, of whom the first STATS_RUNNING_MAX are named.
 * What cannot be read, or could be nobody's name, is left out.
 */
size_t stats_running_of(int fd, unsigned i, char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX]);

/* --- who looks --- */

struct stats_row {
	uint64_t count;
	uint32_t enh;
	uint16_t code;
	char     reason[34];
};

struct stats_handler_sum {
	char     name[STATS_HANDLER_MAX];
	uint64_t answer[STATS_NANSWERS];
	uint64_t bucket[STATS_BUCKETS];
	uint64_t sum_us;
	uint64_t running;
};

struct stats_tag_sum {
	char     word[STATS_TAG_MAX];
	uint64_t count;
};

struct stats_worker {
	unsigned slot;
	uint64_t pid, generation, beat, sessions_open;
};

/* The sum over all slots, checked and plain. */
struct stats_sum {
	uint64_t started;
	char     version[33];
	uint64_t reply[STATS_CODES];
	uint64_t counter[STATS_NCOUNTERS];
	uint64_t gauge
	    [STATS_NGAUGES]; /* sums; of STORE_*, DIRECTORY_*, CERTIFICATE_* and SANDBOX_LEVEL the smallest over live workers */
	uint64_t                  bucket[STATS_NHISTOGRAMS][STATS_BUCKETS];
	uint64_t                  sum_us[STATS_NHISTOGRAMS];
	struct stats_row         *row; /* sorted by code, enhanced code, reason */
	size_t                    nrow;
	struct stats_row         *tls_why; /* why handshakes failed, sorted; code and enh 0 */
	size_t                    ntls_why;
	struct stats_handler_sum *handler; /* sorted by name */
	size_t                    nhandler;
	struct stats_tag_sum     *tag; /* sorted by word */
	size_t                    ntag;
	struct stats_worker       worker[STATS_SLOTS];
	size_t                    nworker;
};

struct stats_map;

/**
 * stats_open(path, m):
 * Open a segment to look at.  What another build counted is found by its form
 * (stats_form.h).  0, or -1 with errno: EBADMSG when it is no segment,
 * EPROTONOSUPPORT for one of a build that wrote no form, ENOENT, EACCES.
 */
int stats_open(const char *path, struct stats_map **m);

/* The same by a descriptor, of which it keeps a duplicate. */
int stats_open_fd(int fd, struct stats_map **m);

/**
 * stats_look(path, out):
 * Open, read, close; and once more when ${path} has become another segment
 * meanwhile, so that numbers of two looks never go back.  One that is not
 * settled is waited for, a second at the most.  0, or -1 with errno as below.
 */
int stats_look(const char *path, struct stats_sum *out);

/* Add all slots up.  0, or -1 with errno ENOMEM, or EBADMSG when the file shrank.  stats_sum_free() gives it back. */
int  stats_read(struct stats_map *m, struct stats_sum *out);
void stats_sum_free(struct stats_sum *s);

/* Values that histogram ${h} holds. */
uint64_t stats_hist_count(const struct stats_sum *s, size_t h);

/**
 * stats_hist_quantile(s, h, q):
 * The value in microseconds below which the share ${q} (0..1) of the values
 * lies, interpolated within its bucket; 0 for an empty histogram.  ${q} 1
 * gives the bound of the highest bucket in use: no value was above it, but for
 * the last bucket, that has none.
 */
double stats_hist_quantile(const struct stats_sum *s, size_t h, double q);

/* The same of any buckets. */
uint64_t stats_buckets_count(const uint64_t bucket[STATS_BUCKETS]);
double   stats_buckets_quantile(const uint64_t bucket[STATS_BUCKETS], double q);

void stats_close(struct stats_map *m);

extern const char *const stats_counter_name[STATS_NCOUNTERS], *const stats_counter_help[STATS_NCOUNTERS];
extern const char *const stats_gauge_name[STATS_NGAUGES], *const stats_gauge_help[STATS_NGAUGES];
extern const char *const stats_answer_name[STATS_NANSWERS], *const stats_answer_help[STATS_NANSWERS];
extern const char *const stats_hist_name[STATS_NHISTOGRAMS], *const stats_hist_help[STATS_NHISTOGRAMS];
#endif
