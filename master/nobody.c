/*
 * nobody: see nobody.h.  A reply is sent before anything is read, and nothing
 * ever is: the socket is shut down for writing and stays a moment, so that its
 * close does not overtake the reply.
 */
#include "master/nobody.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reply.h"
#include "master/notify.h"
#include "master/status.h"

enum { FDS_SHARE = 8 }; /* of the descriptors that we may have, one in so many may linger */

/* How long to wait before senders are told. */
static int64_t
patience_ms(const struct master *m)
{
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		if (m->slot[i].gen == m->serving && m->slot[i].deaths == 0)
			return NOBODY_PATIENCE_MS;
	return NOBODY_MS;
}

static void
begin(struct master *m, int64_t now)
{
	struct nobody *n = &m->nobody;
	struct log_line l;

	n->on = true;
	n->began_ms = n->second_ms = now;
	n->refused = 0;
	n->answered = 0;
	n->id[0] = '\0';
	log_begin(&l, LOG_L_ERROR, "no-worker");
	log_u64(&l, "generation", m->serving->number);
	log_str(&l, "why", "none becomes ready, the lines before say why; senders are told 421 until one does");
	log_end(&l);
	notify_send("STATUS=" NOBODY_STATUS);
}

static void
end(struct master *m, int64_t now)
{
	struct nobody *n = &m->nobody;
	struct log_line l;

	n->since_ms = 0;
	if (!n->on)
		return;
	n->on = false;
	log_begin(&l, LOG_L_INFO, "worker-back");
	log_u64(&l, "n", n->refused);
	log_ms(&l, "ms", (uint64_t)(now - n->began_ms) * 1000);
	log_end(&l);
	/* Who stops, or reloads, has said so, and says what comes of it. */
	if (!m->stopping && m->starting == NULL && m->serving != NULL)
		notify_send("STATUS=serving with %u workers, generation %llu", m->serving->conf->workers,
		    (unsigned long long)m->serving->number);
}

/* --- sockets that were answered --- */

static void
let_one_go(struct nobody *n)
{
	close(n->lingering[n->first].fd);
	n->first = (n->first + 1) % NOBODY_LINGER_MAX;
	n->nlingering--;
}

/* Those whose time is over, and as many more as are too many. */
static void
let_go(struct nobody *n, int64_t now, unsigned most)
{
	while (n->nlingering > 0 && (n->nlingering > most || now >= n->lingering[n->first].until_ms))
		let_one_go(n);
}

/* A small limit is shared out: a worker's start needs descriptors too. */
static unsigned
linger_max(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur / FDS_SHARE > NOBODY_LINGER_MAX)
		return NOBODY_LINGER_MAX;
	return (unsigned)rl.rlim_cur / FDS_SHARE;
}

static void
linger(struct nobody *n, int fd, int64_t now)
{
	(void)shutdown(fd, SHUT_WR);
	let_go(n, now, linger_max() - 1);
	n->lingering[(n->first + n->nlingering) % NOBODY_LINGER_MAX].fd = fd;
	n->lingering[(n->first + n->nlingering) % NOBODY_LINGER_MAX].until_ms = now + NOBODY_LINGER_MS;
	n->nlingering++;
}

/* --- answers --- */

/* One id and one line a second, for all that are answered in it: whatever comes, the log stays readable. */
static void
tell(struct nobody *n, const struct conf_listener *cl, const struct reply *r)
{
	struct log_line l;

	if (n->id[0] != '\0')
		return;
	id_next(n->id);
	log_begin(&l, LOG_L_INFO, "refusal");
	log_str(&l, "session", n->id);
	log_str(&l, "listener", cl->name);
	log_u64(&l, "code", r->code);
	log_str(&l, "enhanced", "4.3.2");
	log_str(&l, "reason", r->reason);
	log_span(&l, "text", span_of(r->text, r->n));
	log_end(&l);
}

static void
answer(struct master *m, const struct conf_listener *cl, int fd, int64_t now)
{
	struct nobody *n = &m->nobody;
	char wire[REPLY_WIRE_MAX];
	struct reply r;
	size_t len;

	n->refused++;
	n->answered++;
	stats_add(m->stats, STATS_SESSIONS_REFUSED, 1);
	/* A client that waits for TLS would take plain words for noise. */
	if (cl->tls == CONF_TLS_IMPLICIT) {
		close(fd);
		return;
	}
	reply_set(
	    &r, 421, ENH(4, 3, 2), "no-worker", "%s cannot take mail now, try again later", m->serving->conf->hostname);
	tell(n, cl, &r);
	len = reply_format(&r, span_str(n->id), wire);
	/* Its socket buffer is empty, so one send takes it. */
	if (send(fd, wire, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len) {
		close(fd);
		return;
	}
	stats_reply(m->stats, r.code, r.enh, r.reason);
	linger(n, fd, now);
}

/* As many as there are at one socket, ${most} at the most. */
static void
accept_some(struct master *m, const struct conf_listener *cl, int listener, unsigned most, int64_t now)
{
	struct nobody *n = &m->nobody;

	while (most-- > 0 && n->answered < NOBODY_RATE) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			answer(m, cl, fd, now);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* No descriptor is left: those that linger give theirs up, and the rest waits for the next second. */
		stats_add(m->stats, STATS_ACCEPT_ERRORS, 1);
		let_go(n, now, 0);
		n->answered = NOBODY_RATE;
	}
}

static void
answer_all(struct master *m, const struct generation *gen, int64_t now)
{
	unsigned k = 0, share = NOBODY_BATCH / gen->nsock > 0 ? NOBODY_BATCH / gen->nsock : 1;

	if (now - m->nobody.second_ms >= 1000) {
		m->nobody.second_ms = now;
		m->nobody.answered = 0;
		m->nobody.id[0] = '\0';
	}
	for (size_t l = 0; l < gen->conf->nlistener; l++)
		for (size_t i = 0; i < gen->conf->listener[l].naddress; i++, k++)
			accept_some(m, &gen->conf->listener[l], gen->sock[k]->fd, share, now);
}

void
nobody_due(struct master *m)
{
	const struct generation *gen = m->serving;
	struct nobody *n = &m->nobody;
	int64_t now = master_now_ms();

	let_go(n, now, NOBODY_LINGER_MAX);
	if (!status_failing(m)) {
		end(m, now);
		return;
	}
	if (n->since_ms == 0)
		n->since_ms = now;
	if (!n->on && now - n->since_ms >= patience_ms(m))
		begin(m, now);
	if (n->on)
		answer_all(m, gen, now);
}

unsigned
nobody_poll(const struct master *m, struct pollfd *p)
{
	unsigned n = 0;

	if (!m->nobody.on || m->stopping || m->nobody.answered >= NOBODY_RATE)
		return 0;
	while (n < m->serving->nsock) {
		p[n] = (struct pollfd){ .fd = m->serving->sock[n]->fd, .events = POLLIN };
		n++;
	}
	return n;
}

int64_t
nobody_next_ms(const struct master *m)
{
	const struct nobody *n = &m->nobody;
	int64_t next = n->nlingering > 0 ? n->lingering[n->first].until_ms : INT64_MAX;
	int64_t more = n->on && n->answered >= NOBODY_RATE ? n->second_ms + 1000
	    : !n->on && n->since_ms > 0                    ? n->since_ms + patience_ms(m)
							   : INT64_MAX;

	return more < next ? more : next;
}
