/*
 * deliver: the ways of a report.
 * What fails is tried again until it is REPORT_LIFE_S old.  A relay that is
 * down holds back those that go there, not those for mailboxes here.
 */
#include "reports/deliver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/steady.h"
#include "reports/compose.h"

enum { LOOKUP_AGE_MS = 3600 * 1000 }; /* an idle process looks the relay up again */

static int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- what is said and counted --- */

/* ${tls}: what it went through, or NULL. */
static void
tell(const struct spool_entry *e, const struct report *r, bool good, const struct relay_tls *tls, const char *way,
    const char *result, const char *why)
{
	struct log_line l;

	log_begin(&l, good ? LOG_L_INFO : LOG_L_WARN, "report");
	log_str(&l, "record", e->name);
	if (r != NULL) {
		log_span(&l, "id", r->id);
		log_span(&l, "to", r->from);
	}
	log_str(&l, "way", way);
	log_str(&l, "result", result);
	log_u64(&l, "tries", e->tries + 1);
	if (tls != NULL) {
		log_str(&l, "tls", relay_tls_version(tls));
		log_str(&l, "cipher", relay_tls_cipher(tls));
	}
	if (why != NULL && why[0] != '\0')
		log_str(&l, "why", why);
	log_end(&l);
}

static void
succeeded(struct deliver *d, struct spool_entry *e, const struct report *r, const char *way, const char *words)
{
	bool here = strcmp(way, "mailbox") == 0;
	const struct relay_tls *tls = here ? NULL : d->relay.tls;

	stats_add(d->stats, here ? STATS_REPORTS_DELIVERED : STATS_REPORTS_SENT, 1);
	stats_add(d->stats, STATS_REPORTS_TLS, tls != NULL);
	tell(e, r, true, tls, way, here ? "delivered" : "sent", words);
	spool_done(&d->spool, e);
}

static void
given_up(struct deliver *d, struct spool_entry *e, const struct report *r, const char *way, const char *why)
{
	stats_add(d->stats, STATS_REPORTS_FAILED, 1);
	tell(e, r, false, NULL, way, "given-up", why);
	spool_done(&d->spool, e);
}

/* Once more later (${blameless}: as soon as it can be), or not any more. */
static void
deferred_how(
    struct deliver *d, struct spool_entry *e, const struct report *r, const char *way, const char *why, bool blameless)
{
	if (spool_age_s(e, steady_early()) > REPORT_LIFE_S) {
		given_up(d, e, r, way, why);
		return;
	}
	stats_add(d->stats, STATS_REPORTS_DEFERRED, 1);
	tell(e, r, false, NULL, way, "deferred", why);
	if (blameless)
		spool_again(&d->spool, e);
	else
		spool_later(&d->spool, e, clock_ms());
}

static void
deferred(struct deliver *d, struct spool_entry *e, const struct report *r, const char *way, const char *why)
{
	deferred_how(d, e, r, way, why, false);
}

/* --- to the relay --- */

static void
relay_is_down(struct deliver *d, const char *words)
{
	int64_t wait = DELIVER_DOWN_FIRST_MS, now_ms = clock_ms();

	for (unsigned i = 0; i < d->downs && wait < DELIVER_DOWN_MAX_MS; i++)
		wait *= 2;
	d->downs++;
	d->up_ms = now_ms + (wait < DELIVER_DOWN_MAX_MS ? wait : DELIVER_DOWN_MAX_MS);
	if (d->down_since_ms == 0)
		d->down_since_ms = now_ms;
	log_msg(LOG_L_WARN, "relay", "%s does not serve: %s", d->conf->dsn_relay, words);
}

/* Told once each time: somebody may have hidden the offer, or the relay was changed. */
static void
notice_tls(struct deliver *d)
{
	if (d->secured && d->relay.tls == NULL)
		log_msg(LOG_L_WARN, "relay", "%s took reports inside TLS before, and has taken one in clear",
		    d->conf->dsn_relay);
	d->secured = d->relay.tls != NULL;
}

static void
relay_told_us(void *arg, enum relay_result how, const char *words)
{
	struct deliver *d = arg;
	struct spool_entry *e = d->at_relay;

	d->at_relay = NULL;
	if (how == RELAY_DOWN) {
		relay_is_down(d, words);
	} else {
		d->downs = 0;
		d->down_since_ms = 0;
	}
	switch (how) {
	case RELAY_SENT:
		notice_tls(d);
		succeeded(d, e, &d->report, "relay", words);
		break;
	case RELAY_LATER:
		deferred(d, e, &d->report, "relay", words);
		break;
	case RELAY_DOWN:
		deferred_how(d, e, &d->report, "relay", words, true);
		break;
	case RELAY_NEVER:
		given_up(d, e, &d->report, "relay", words);
		break;
	}
	free(d->text);
	free(d->record);
	d->text = NULL;
	d->record = NULL;
}

static void
to_relay(struct deliver *d, struct spool_entry *e, int64_t now_ms)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t n;

	localtime_r(&now, &tm);
	if (spool_read(&d->spool, e, &d->record, &d->report) != 0 ||
	    (d->text = compose(&d->report, d->conf->hostname, now, (int32_t)tm.tm_gmtoff, &n)) == NULL) {
		deferred(d, e, NULL, "relay", strerror(errno));
		free(d->record);
		d->record = NULL;
		return;
	}
	d->at_relay = e;
	e->busy = true;
	relay_send(&d->relay, d->report.from, span_of(d->text, n), compose_is_utf8(&d->report), now_ms);
}

/* --- to a mailbox --- */

static void
local_told_us(void *arg, int err)
{
	struct deliver *d = arg;
	struct spool_entry *e = d->at_local;
	struct report r;
	uint8_t *record;
	bool known = spool_read(&d->spool, e, &record, &r) == 0;

	d->at_local = NULL;
	if (err == 0)
		succeeded(d, e, known ? &r : NULL, "mailbox", NULL);
	else
		deferred(d, e, known ? &r : NULL, "mailbox", strerror(err));
	free(record);
}

static void
unreadable(struct deliver *d, struct spool_entry *e, int err)
{
	struct spool_entry was = *e;

	if (err == ENODATA) {
		spool_done(&d->spool, e);
	} else if (err != EBADMSG) {
		deferred(d, e, NULL, "spool", strerror(err));
	} else if (spool_bad(&d->spool, e, clock_ms()) == 0) {
		stats_add(d->stats, STATS_REPORTS_FAILED, 1);
		tell(&was, NULL, false, NULL, "spool", "put-aside",
		    "it is damaged, or not ours; it is in " REPORT_SPOOL "/bad now");
	}
}

/* Where does it go? */
static void
sort(struct deliver *d, struct spool_entry *e)
{
	const char *why = NULL;
	uint8_t *record;
	struct report r;

	if (spool_read(&d->spool, e, &record, &r) != 0) {
		unreadable(d, e, errno);
		return;
	}
	d->at_local = e;
	e->busy = true;
	switch (local_put(d->local, &r, &why)) {
	case LOCAL_OURS:
		free(record);
		return;
	case LOCAL_FOREIGN:
		e->busy = false;
		if (d->conf->dsn_relay[0] == '\0') {
			given_up(d, e, &r, "relay", "there is no dsn_relay for foreign senders");
			break;
		}
		/* What REQUIRETLS protected is not told in clear, nor to a relay whose certificate nobody checks (RFC 8689 4.2.1, 5). */
		if (r.requiretls)
			given_up(
			    d, e, &r, "relay", "the message came with REQUIRETLS, and nobody checks who the relay is");
		else
			e->way = SPOOL_RELAY;
		break;
	case LOCAL_LATER:
		deferred(d, e, &r, "mailbox", why);
		break;
	case LOCAL_NEVER:
		given_up(d, e, &r, "mailbox", why);
		break;
	}
	d->at_local = NULL;
	free(record);
}

/* --- turns --- */

int
deliver_init(struct deliver *d)
{
	d->relay.where = &d->where;
	d->relay.hostname = d->conf->hostname;
	d->relay.reply_ms = d->conf->timeouts.command_ms;
	d->relay.end_ms = d->conf->timeouts.data_ms;
	d->relay.told = relay_told_us;
	d->relay.arg = d;
	relay_init(&d->relay);
	d->changed = true;
	steady_begin();
	if (spool_open(&d->spool, d->conf->store.path) != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot open the spool of reports in %s: %s", d->conf->store.path,
		    strerror(errno));
		return -1;
	}
	d->local = local_new(d->conf, local_told_us, d);
	return d->local != NULL ? 0 : -1;
}

static void
look(struct deliver *d, int64_t now_ms)
{
	if (!d->holds) {
		d->holds = spool_lock(&d->spool) == 1;
		if (d->holds)
			spool_sweep(&d->spool, steady_early());
	}
	if (now_ms - d->scanned_ms < (d->changed ? DELIVER_SCAN_MIN_MS : DELIVER_SCAN_MS))
		return;
	d->scanned_ms = now_ms;
	d->changed = false;
	if (spool_scan(&d->spool) != 0)
		log_msg(LOG_L_ERROR, "reports", "cannot read the spool: %s", strerror(errno));
}

/*
 * Whether a record may be begun: only if it can be removed when it is done.
 * Its report would go out again after each restart.  Told when it changes.
 */
static bool
may_begin(struct deliver *d)
{
	bool shut = spool_changeable(&d->spool) != 0;

	if (shut && !d->shut)
		log_msg(LOG_L_ERROR, "reports",
		    "%s/new cannot be changed: %s; no report is sent until the server's user may write there",
		    REPORT_SPOOL, strerror(errno));
	else if (!shut && d->shut)
		log_msg(LOG_L_INFO, "reports", "%s/new can be changed again", REPORT_SPOOL);
	d->shut = shut;
	return !shut;
}

/* What is left of records that are done, and a folder that was shut. */
static void
clear(struct deliver *d, int64_t now_ms)
{
	if ((!d->shut && d->spool.ndone == 0) || now_ms < d->clear_ms)
		return;
	d->clear_ms = now_ms + DELIVER_CLEAR_MS;
	if (may_begin(d))
		spool_clear(&d->spool);
}

void
deliver_turn(struct deliver *d, int64_t now_ms)
{
	struct spool_entry *e;

	look(d, now_ms);
	if (!d->holds)
		return;
	clear(d, now_ms);
	while (!d->shut && d->at_local == NULL && (e = spool_next(&d->spool, SPOOL_UNKNOWN, now_ms)) != NULL &&
	    may_begin(d))
		sort(d, e);
	while (!d->shut && relay_free(&d->relay) && d->at_relay == NULL && now_ms >= d->up_ms &&
	    (e = spool_next(&d->spool, SPOOL_RELAY, now_ms)) != NULL && may_begin(d))
		to_relay(d, e, now_ms);
	if (d->at_relay == NULL)
		relay_quit(&d->relay, now_ms);
	stats_gauge(d->stats, STATS_REPORTS_WAITING, d->spool.n);
	stats_beat(d->stats, (uint64_t)time(NULL));
}

int64_t
deliver_due_ms(const struct deliver *d, int64_t now_ms)
{
	int64_t due = d->holds ? d->scanned_ms + (d->changed ? DELIVER_SCAN_MIN_MS : DELIVER_SCAN_MS) : now_ms + 200;
	int64_t next = d->holds && !d->shut && d->at_local == NULL ? spool_due_ms(&d->spool) : INT64_MAX;

	/* Those that wait for the relay alone are due when it is. */
	if (next <= now_ms)
		next = d->up_ms > now_ms ? d->up_ms : INT64_MAX;
	if (next < due)
		due = next;
	if ((d->shut || d->spool.ndone > 0) && d->clear_ms < due)
		due = d->clear_ms;
	return relay_deadline_ms(&d->relay) < due ? relay_deadline_ms(&d->relay) : due;
}

bool
deliver_stale(const struct deliver *d, int64_t now_ms, int64_t age_ms)
{
	if (d->where.literal || d->at_local != NULL || d->at_relay != NULL || d->spool.ndone > 0)
		return false;
	if (d->down_since_ms != 0 && now_ms - d->down_since_ms > DELIVER_ASK_AGAIN_MS)
		return true;
	return age_ms > LOOKUP_AGE_MS;
}
