/*
 * pretend: one session over a descriptor, whose client is who the caller says.
 */
#include "worker/pretend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/accept.h"
#include "worker/nowhere.h"
#include "worker/session.h"

enum { PRETEND_TICK_MS = 10 };

static struct {
	struct worker *w;
	struct sockaddr_storage peer;
	struct conf_listener *conf;
	struct listener listener;
	struct loop_timer tick;
} pretend;

static int
pretend_address(const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&pretend.peer;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&pretend.peer;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		return 0;
	}
	log_msg(LOG_L_ERROR, "start", "%s is no IP address", text);
	return -1;
}

int
pretend_conf(struct conf *cf, const char *address, const char *listener)
{
	for (size_t i = 0; i < cf->nlistener && pretend.conf == NULL; i++)
		if (cf->listener[i].protocol != CONF_LMTP &&
		    (*listener == '\0' || strcmp(cf->listener[i].name, listener) == 0))
			pretend.conf = &cf->listener[i];
	if (pretend.conf == NULL) {
		log_msg(LOG_L_ERROR, "start", "%s has no such listener that speaks SMTP", cf->file);
		return -1;
	}
	for (size_t i = 0; i < cf->nlistener; i++) {
		cf->listener[i].tls = CONF_TLS_NONE;
		cf->listener[i].auth = CONF_AUTH_OFF;
	}
	memset(&pretend.conf->proxy_from, 0, sizeof(pretend.conf->proxy_from));
	cf->greeting_delay_ms = 0;
	return pretend_address(address);
}

int
pretend_shared(struct worker *w)
{
	int fd = conns_create();

	w->stats = aligned_alloc(_Alignof(struct stats_slot), sizeof(*w->stats));
	if (w->stats != NULL)
		memset(w->stats, 0, sizeof(*w->stats));
	w->conns = fd != -1 ? conns_map(fd, 1) : NULL;
	if (fd != -1)
		close(fd);
	if (fcntl(PRETEND_FD_CLIENT, F_SETFL, O_RDWR | O_NONBLOCK) == -1)
		return -1;
	return w->stats != NULL && w->conns != NULL ? 0 : -1;
}

static const char *
pretend_word(enum stats_answer how)
{
	switch (how) {
	case STATS_A_NEXT:
		return "no objection";
	case STATS_A_REFUSED:
		return "refuses";
	case STATS_A_DEFERRED:
		return "defers";
	case STATS_A_ACCEPTED:
		return "accepts";
	case STATS_A_DISCARDED:
		return "discards";
	case STATS_A_TIMEOUT:
		return "no answer in time";
	case STATS_A_FAILED:
		return "failed";
	case STATS_A_GONE:
		return "was not waited for";
	case STATS_A_ASKED:
	case STATS_A_LATER:
	case STATS_NANSWERS:
		break;
	}
	return "asked";
}

static void
pretend_answered(
    void *who, const struct chain_link *k, unsigned at, enum stats_answer how, const struct reply *r, uint32_t us)
{
	const char *stage = chain_stage_name[at], *what = pretend_word(how);

	(void)who;
	/* A pipe has room for what a session can make of it before the other end reads. */
	if (r != NULL)
		dprintf(PRETEND_FD_ANSWERS, "  %-8s %-20s %9.3f ms  %s: %u %s\n", stage, k->name, us / 1000.0, what,
		    (unsigned)r->code, r->reason);
	else
		dprintf(PRETEND_FD_ANSWERS, "  %-8s %-20s %9.3f ms  %s\n", stage, k->name, us / 1000.0, what);
}

void
pretend_store(struct worker *w)
{
	w->store = &nowhere_ops;
	w->store_ctx = w->loop;
	w->chain.answered = pretend_answered;
	nowhere_tell = pretend_tell;
}

static void
pretend_tick(struct loop_timer *t)
{
	if (pretend.w->nsessions == 0)
		loop_stop(pretend.w->loop);
	else
		loop_timer_set(pretend.w->loop, t, PRETEND_TICK_MS);
}

void
pretend_start(struct worker *w)
{
	struct listener *ls = &pretend.listener;

	pretend.w = w;
	*ls = (struct listener){ .src.fd = -1 };
	accept_offer(ls, w, pretend.conf);
	ls->local = pretend.conf->address[0].ss;
	session_start(w, ls, PRETEND_FD_CLIENT, &pretend.peer);
	pretend.tick.fire = pretend_tick;
	loop_timer_set(w->loop, &pretend.tick, PRETEND_TICK_MS);
}
