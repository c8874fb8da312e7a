/*
 * accept: the listeners of this worker.
 * A full worker still answers: 421 4.3.2, without a session.  When descriptors
 * run out, a spare one is given up to say so, and the listener rests a moment,
 * so that nothing spins (TRUST A2).
 */
#include "worker/accept.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/id.h"
#include "common/log.h"
#include "worker/session.h"

static struct {
	struct listener *listener;
	size_t n;
	int spare;
	bool taking; /* from accept_start() to accept_stop() */
} accepting = { .spare = -1 };

/* A 421 for a connection that gets no session, but an id all the same.  Its socket buffer is empty, so one send takes it. */
static void
accept_refuse(const struct listener *ls, int fd)
{
	struct worker *w = ls->w;
	struct reply r;
	struct log_line l;
	char wire[REPLY_WIRE_MAX], id[TXN_ID_MAX];
	bool silent = ls->conf->tls == CONF_TLS_IMPLICIT;
	size_t n;

	stats_add(w->stats, STATS_SESSIONS_REFUSED, 1);
	id_next(id);
	reply_set(&r, 421, ENH(4, 3, 2), "no-session-left", "%s is full, try again later", w->conf->hostname);
	n = reply_format(&r, span_str(id), wire);
	/* A client that waits for TLS would take plain words for noise. */
	if (!silent && send(fd, wire, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n)
		stats_reply(w->stats, r.code, r.enh, r.reason);
	close(fd);
	log_begin(&l, LOG_L_INFO, "refusal");
	log_str(&l, "session", id);
	log_str(&l, "listener", ls->conf->name);
	if (!silent) {
		log_u64(&l, "code", r.code);
		log_str(&l, "enhanced", "4.3.2");
	}
	log_str(&l, "reason", r.reason);
	log_end(&l);
}

static void
accept_rest(struct listener *ls)
{
	loop_unwatch(ls->w->loop, &ls->src);
	loop_timer_set(ls->w->loop, &ls->retry, ACCEPT_PAUSE_MS);
}

static void
accept_again(struct loop_timer *t)
{
	struct listener *ls = (struct listener *)((char *)t - offsetof(struct listener, retry));

	if (loop_watch_level(ls->w->loop, &ls->src, true) != 0)
		loop_timer_set(ls->w->loop, &ls->retry, ACCEPT_PAUSE_MS);
}

/* No descriptor is left: use the spare one to say so, then rest. */
static void
accept_exhausted(struct listener *ls)
{
	int fd;

	stats_add(ls->w->stats, STATS_ACCEPT_ERRORS, 1);
	if (accepting.spare != -1)
		close(accepting.spare);
	fd = accept4(ls->src.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		accept_refuse(ls, fd);
	accepting.spare = fcntl(ls->src.fd, F_DUPFD_CLOEXEC, 0);
	accept_rest(ls);
}

void
accept_share(struct worker *w)
{
	if (accepting.taking)
		conns_share(w->conns, w->nsessions);
}

/* To the end of the line of those who wait for this socket, after a moment. */
static void
accept_step_back(struct listener *ls)
{
	loop_unwatch(ls->w->loop, &ls->src);
	loop_nap(ls->w->loop, &ls->nap);
}

static void
accept_step_up(struct loop_task *t)
{
	struct listener *ls = (struct listener *)((char *)t - offsetof(struct listener, nap));

	if (ls->src.fd != -1 && loop_watch_level(ls->w->loop, &ls->src, true) != 0)
		loop_timer_set(ls->w->loop, &ls->retry, ACCEPT_PAUSE_MS);
}

/*
 * How many to take now.  The kernel wakes one worker for a connection, that
 * which has watched the socket for the longest time of those that wait: always
 * the same, unless it goes to the end of the line.  Whoever has more than his
 * share takes the one that he was woken for, since nobody else was, and steps
 * back for a moment; unless the others make nothing of such moments: they hang.
 */
static unsigned
accept_room(struct listener *ls, bool *back)
{
	uint64_t others;
	uint32_t n = ls->w->nsessions, mean = conns_mean(ls->w->conns, &others), most;

	*back = false;
	if (mean == UINT32_MAX)
		return ACCEPT_BATCH;
	most = mean + ACCEPT_SLACK + mean / 16;
	if (n < most)
		return most - n < ACCEPT_BATCH ? most - n : ACCEPT_BATCH;
	ls->naps = others == ls->others ? ls->naps + 1 : 0;
	if (ls->naps >= ACCEPT_NAPS) {
		ls->naps = ACCEPT_NAPS;
		return ACCEPT_BATCH;
	}
	ls->others = others;
	*back = true;
	return 1;
}

static void
accept_ready(struct loop_src *src, unsigned what)
{
	struct listener *ls = (struct listener *)((char *)src - offsetof(struct listener, src));
	bool back;

	(void)what;
	for (unsigned i = 0, n = accept_room(ls, &back); i < n; i++) {
		struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(peer);
		int fd = accept4(src->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -1) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				return;
			accept_exhausted(ls);
			return;
		}
		if (ls->w->nsessions - ls->w->nlingering >= ls->w->sessions_max)
			accept_refuse(ls, fd);
		else
			session_start(ls->w, ls, fd, &peer);
	}
	if (back)
		accept_step_back(ls);
}

void
accept_offer(struct listener *ls, struct worker *w, const struct conf_listener *cl)
{
	const struct conf *cf = w->conf;

	ls->w = w;
	ls->conf = cl;
	ls->tls = tls_port((size_t)(cl - cf->listener));
	ls->smtp = (struct smtp_conf){
		.hostname = cf->hostname,
		.size_max = cf->message_size_limit,
		.flood_max = cf->message_size_limit > SMTP_FLOOD_MIN ? cf->message_size_limit : SMTP_FLOOD_MIN,
		.rcpt_max = cf->recipient_limit,
		.errors_max = cf->limits.errors,
		.ext = SMTP_EXT_CHUNKING | SMTP_EXT_SMTPUTF8,
		.lmtp = cl->protocol == CONF_LMTP,
		.tls_required = cl->tls == CONF_TLS_REQUIRED,
	};
	if (cl->tls == CONF_TLS_STARTTLS || cl->tls == CONF_TLS_REQUIRED)
		ls->smtp.ext |= SMTP_EXT_STARTTLS;
	if (cl->auth != CONF_AUTH_OFF && cf->credentials[0] != '\0')
		ls->smtp.ext |= SMTP_EXT_AUTH;
	if (cl->auth != CONF_AUTH_OFF && cf->tokens.line != 0)
		ls->smtp.ext |= SMTP_EXT_TOKENS;
	ls->smtp.auth_required = cl->auth == CONF_AUTH_REQUIRED;
	if (conf_offers_dsn(cf))
		ls->smtp.ext |= SMTP_EXT_DSN;
}

static void
accept_fill(struct listener *ls, struct worker *w, const struct conf_listener *cl, const struct conf_address *ca)
{
	accept_offer(ls, w, cl);
	ls->is_unix = ca->ss.ss_family == AF_UNIX;
	ls->src.ready = accept_ready;
	ls->retry.fire = accept_again;
	ls->nap.run = accept_step_up;
	ls->others = UINT64_MAX;
}

/* A socket on one address has all its connections there; one on a wildcard must be asked for each. */
static void
accept_locate(struct listener *ls)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&ls->local;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ls->local;
	socklen_t len = sizeof(ls->local);

	if (getsockname(ls->src.fd, (struct sockaddr *)&ls->local, &len) != 0 ||
	    (ls->local.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY)) ||
	    (ls->local.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)))
		ls->local.ss_family = AF_UNSPEC;
}

int
accept_start(struct worker *w, const int *fds, size_t n)
{
	size_t k = 0;
	int one = 1;

	accepting.listener = calloc(n, sizeof(*accepting.listener));
	accepting.spare = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (accepting.listener == NULL || accepting.spare == -1) {
		log_msg(LOG_L_ERROR, "start", "cannot accept: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < w->conf->nlistener; i++)
		for (size_t j = 0; j < w->conf->listener[i].naddress && k < n; j++, k++)
			accept_fill(&accepting.listener[k], w, &w->conf->listener[i], &w->conf->listener[i].address[j]);
	for (accepting.n = 0; accepting.n < k; accepting.n++) {
		struct listener *ls = &accepting.listener[accepting.n];

		ls->src.fd = fds[accepting.n];
		accept_locate(ls);
		/* Accepted sockets inherit it: a reply never waits for an acknowledgement of the one before. */
		if (!ls->is_unix)
			setsockopt(ls->src.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (loop_watch_level(w->loop, &ls->src, true) != 0) {
			log_msg(LOG_L_ERROR, "start", "cannot watch listener %s: %s", ls->conf->name, strerror(errno));
			return -1;
		}
	}
	accepting.taking = true;
	accept_share(w);
	return 0;
}

/* The listeners themselves stay: sessions point to them.  The spare descriptor goes too: it holds a socket open. */
void
accept_stop(void)
{
	if (accepting.spare != -1)
		close(accepting.spare);
	accepting.spare = -1;
	if (accepting.taking)
		conns_share_none(accepting.listener[0].w->conns);
	accepting.taking = false;
	for (size_t i = 0; i < accepting.n; i++) {
		struct listener *ls = &accepting.listener[i];

		if (ls->src.fd == -1)
			continue;
		loop_timer_clear(&ls->retry);
		loop_unwatch(ls->w->loop, &ls->src);
		close(ls->src.fd);
		ls->src.fd = -1;
	}
}
