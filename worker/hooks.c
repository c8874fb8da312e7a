/*
 * hooks: handler.h's functions, and the facts that handlers are shown.
 */
#include "worker/hooks.h"

#include "common/credential.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "worker/asks.h"
#include "worker/login.h"
#include "worker/store/iopool.h"

void
hooks_view(const struct session *s, struct session_view *out)
{
	const struct hooks *h = s->hooks;
	const char *method = smtp_auth_method(s->smtp);

	*out = (struct session_view){
		.id = span_str(s->id),
		.listener = s->listener->conf->name,
		.hostname = s->w->conf->hostname,
		.remote = s->remote,
		.local = s->local,
		.proxy = s->proxy,
		.remote_port = s->remote_port,
		.local_port = s->local_port,
		.remote_addr = s->addr,
		.helo = smtp_helo(s->smtp),
		.with = smtp_with(s->smtp),
		.lmtp = s->listener->smtp.lmtp,
		.tls_version = s->tls != NULL ? s->tls->version : NULL,
		.tls_cipher = s->tls != NULL ? s->tls->cipher : NULL,
		.tls_sni = s->tls != NULL ? s->tls->sni : NULL,
		.client_name = s->name,
		.user = s->user,
		.auth_method =
		    method == NULL && s->user != NULL ? "XCLIENT" : method, /* as Postfix calls a claimed login */
		.messages = s->messages,
		.age_us = loop_now_us(s->w->loop) - s->opened_us,
	};
	if (h == NULL)
		return;
	out->skip_checks = h->skip_checks;
	out->skip_all = h->skip_all;
	if (h->has_reverse)
		out->reverse_name = h->name[1];
}

struct chain_about
hooks_about(struct session *s, struct session_view *view)
{
	hooks_view(s, view);
	return (struct chain_about){
		.view = view,
		.txn = smtp_txn(s->smtp),
		.missed = &s->missed,
		.mine = s->hooks != NULL ? s->hooks->mine : NULL,
		.who = s,
	};
}

static struct hooks *
hooks_of(struct session *s)
{
	if (s->hooks == NULL)
		s->hooks = arena_alloc(&s->arena, sizeof(*s->hooks));
	return s->hooks;
}

void
hooks_begin(struct session *s)
{
	if (s->hooks != NULL && s->hooks->defer != NULL)
		s->hooks->defer->reply[0].code = s->hooks->defer->reply[1].code = 0;
}

enum verdict
hooks_conclude(struct session *s, enum verdict v, struct reply *r)
{
	const struct hooks_defer *d = s->hooks != NULL ? s->hooks->defer : NULL;
	bool refused = v == V_REPLY && r->code >= 500;

	if (d == NULL || d->reply[refused].code == 0 || (v == V_REPLY && r->code >= 400 && !refused))
		return v;
	*r = d->reply[refused];
	/* A greeting knows 421 and 554 alone (RFC 5321 4.3.2). */
	if (s->run.stage == CHAIN_CONNECT) {
		r->code = 421;
		r->close = true;
	}
	s->run.next = (uint8_t)(d->by[refused] + 1U); /* the one whose word it is, for the log */
	if (s->w->chain.answered != NULL)
		s->w->chain.answered(s, &s->w->chain.link[d->by[refused]], s->run.stage, STATS_A_DEFERRED, r, 0);
	return V_REPLY;
}

void
hooks_discard(struct session *s, const char *by)
{
	struct txn *t = smtp_txn(s->smtp);
	struct hooks *h;

	if (t != NULL)
		t->discard = by;
	else if ((h = hooks_of(s)) != NULL)
		h->discard = by;
}

void
hooks_reset(struct session *s, bool delivered)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);

	chain_reset(&s->w->chain, &about, delivered);
	if (about.txn->edits != NULL)
		edits_fini(about.txn->edits);
	about.txn->edits = NULL;
}

void
hooks_closed(struct session *s)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	struct hooks *h = s->hooks;

	about.txn = NULL;
	chain_closed(&s->w->chain, &about);
	if (h == NULL)
		return;
	/* Another client may come in this session (XCLIENT): it inherits nothing. */
	if (h->mine != NULL)
		memset(h->mine, 0, s->w->chain.n * sizeof(*h->mine));
	h->ntag = 0;
	h->has_name = h->has_reverse = h->skip_checks = h->skip_all = false;
	h->discard = NULL;
}

void
hooks_cancel(struct session *s)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);

	login_left(s);
	chain_cancel(&s->w->chain, &s->run, &about);
}

/* --- handler.h --- */

int
handler_keep(const struct question *q, void *mine)
{
	struct session *s = q->session_private;
	struct hooks *h = hooks_of(s);

	if (h == NULL)
		return -1;
	if (h->mine == NULL)
		h->mine = arena_alloc(&s->arena, s->w->chain.n * sizeof(*h->mine));
	if (h->mine == NULL)
		return -1;
	h->mine[q->index_private] = mine;
	return 0;
}

struct edits *
hooks_edits(const struct session *s, struct txn *t)
{
	if (t->edits == NULL) {
		t->edits = arena_alloc(t->arena, sizeof(*t->edits));
		if (t->edits != NULL)
			edits_init(t->edits, s->w->conf->message_size_limit);
	}
	if (t->edits != NULL)
		t->edits->by = NULL;
	return t->edits;
}

struct edits *
handler_edits(const struct question *q)
{
	const struct session *s = q->session_private;
	struct edits *e;

	if (q->txn == NULL) {
		errno = EINVAL;
		return NULL;
	}
	e = hooks_edits(s, q->txn);
	if (e != NULL)
		e->by = s->w->chain.link[q->index_private].name;
	return e;
}

static bool
tag_ok(const char *word)
{
	size_t n = strlen(word);

	return n > 0 && n <= HANDLER_TAG_MAX && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int
tag_message(struct txn *t, const char *word)
{
	struct txn_tag **at = &t->tags, *tag;
	struct span copy;
	unsigned n = 0;

	for (; *at != NULL; at = &(*at)->next, n++)
		if (strcmp((*at)->word, word) == 0)
			return 0;
	if (n == HANDLER_TAGS) {
		errno = ENOSPC;
		return -1;
	}
	tag = arena_alloc(t->arena, sizeof(*tag));
	if (tag == NULL || arena_dup(t->arena, span_of(word, strlen(word) + 1), &copy) != 0)
		return -1;
	tag->word = (const char *)copy.p;
	*at = tag;
	return 0;
}

static int
tag_session(struct session *s, const char *word)
{
	struct hooks *h = hooks_of(s);

	if (h != NULL && h->tag == NULL)
		h->tag = arena_alloc(&s->arena, HANDLER_TAGS * sizeof(*h->tag));
	if (h == NULL || h->tag == NULL)
		return -1;
	for (unsigned i = 0; i < h->ntag; i++)
		if (strcmp(h->tag[i], word) == 0)
			return 0;
	if (h->ntag == HANDLER_TAGS) {
		errno = ENOSPC;
		return -1;
	}
	memcpy(h->tag[h->ntag++], word, strlen(word) + 1);
	return 0;
}

int
handler_tag(const struct question *q, const char *word)
{
	if (!tag_ok(word)) {
		errno = EINVAL;
		return -1;
	}
	return q->txn != NULL ? tag_message(q->txn, word) : tag_session(q->session_private, word);
}

/* Printable ASCII and no longer than a domain; what DNS says is hostile. */
static bool
name_copy(char out[HOOKS_NAME_MAX], const char *name)
{
	size_t n = name != NULL ? strlen(name) : 0;

	if (n == 0 || n >= HOOKS_NAME_MAX || !addr_domain_ok(span_of(name, n), false))
		return false;
	memcpy(out, name, n + 1);
	return true;
}

/* Who is asked next at this stage sees it too: the facts of the question are ours, and const to handlers alone. */
static void
hooks_show(const struct question *q)
{
	struct session_view *view;

	memcpy(&view, &q->session, sizeof(view));
	hooks_view(q->session_private, view);
}

int
handler_client_name(const struct question *q, const char *name, const char *reverse)
{
	struct session *s = q->session_private;
	struct hooks *h = hooks_of(s);

	if (h != NULL && h->name == NULL)
		h->name = arena_alloc(&s->arena, 2 * sizeof(*h->name));
	if (h == NULL || h->name == NULL)
		return -1;
	h->has_name = name_copy(h->name[0], name);
	h->has_reverse = name_copy(h->name[1], reverse);
	s->name = h->has_name ? h->name[0] : NULL;
	hooks_show(q);
	return 0;
}

int
handler_user(const struct question *q, struct span name)
{
	struct session *s = q->session_private;
	char text[CREDENTIAL_USER_MAX + 1];
	size_t n = credential_name(name, false, text);
	struct span copy;

	if (n == 0 || q->auth == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (arena_dup(&s->arena, span_of(text, n + 1), &copy) != 0)
		return -1;
	s->named = (const char *)copy.p;
	return 0;
}

void
handler_skip_checks(const struct question *q)
{
	struct hooks *h = hooks_of(q->session_private);

	if (h != NULL)
		h->skip_checks = true;
	hooks_show(q);
}

void
handler_skip_all(const struct question *q)
{
	struct hooks *h = hooks_of(q->session_private);

	if (h != NULL)
		h->skip_checks = h->skip_all = true;
	hooks_show(q);
}

int
handler_defer(const struct question *q, const struct reply *r, bool if_reject)
{
	struct session *s = q->session_private;
	struct hooks *h = hooks_of(s);

	if (h != NULL && h->defer == NULL)
		h->defer = arena_alloc(&s->arena, sizeof(*h->defer));
	if (h == NULL || h->defer == NULL)
		return -1;
	if (h->defer->reply[if_reject].code == 0) {
		h->defer->reply[if_reject] = *r;
		h->defer->by[if_reject] = (uint8_t)q->index_private;
	}
	if (!if_reject)
		s->run.put_off = &h->defer->reply[0];
	return 0;
}

void
handler_log(const struct question *q, int level, const char *fmt, ...)
{
	static const enum log_level levels[] = { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };
	const struct session *s = q->session_private;
	enum log_level lv = level >= 0 && level <= 3 ? levels[level] : LOG_L_INFO;
	struct log_line l;
	char text[512];
	va_list ap;

	if (!log_enabled(lv))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_begin(&l, lv, "handler");
	log_str(&l, "session", s->id);
	if (q->txn != NULL)
		log_str(&l, "id", q->txn->id);
	log_str(&l, "by", s->w->chain.link[q->index_private].name);
	log_str(&l, "text", text);
	log_end(&l);
}

/* --- work that blocks --- */

static struct {
	struct iopool *modules, *store;
	struct stats_slot *stats;
} hooks_threads;

void
hooks_pools(struct iopool *modules, struct iopool *store, struct stats_slot *stats)
{
	hooks_threads.modules = modules;
	hooks_threads.store = store;
	hooks_threads.stats = stats;
}

_Static_assert(
    sizeof(struct iojob) <= sizeof(((struct handler_job *)0)->private_), "an iojob has room in a handler_job");

static struct handler_job *
job_of(struct iojob *j)
{
	return (struct handler_job *)((char *)j - offsetof(struct handler_job, private_));
}

/* Clients that gave up must not keep the threads from those that wait: what has not begun when nobody waits is not begun. */
static void
job_run(struct iojob *j)
{
	if (!asks_waits(job_of(j)->ask))
		return;
	stats_running(hooks_threads.stats, j->row, 1);
	job_of(j)->run(job_of(j));
	stats_running(hooks_threads.stats, j->row, -1);
}

static void
job_done(struct iojob *j)
{
	unsigned row = j->row; /* the job is freed */

	stats_running(hooks_threads.stats, row, 1);
	job_of(j)->done(job_of(j));
	stats_running(hooks_threads.stats, row, -1);
}

int
handler_pool(const struct question *q, struct handler_job *j)
{
	const struct session *s = q->session_private;
	const struct chain_link *link = &s->w->chain.link[q->index_private];
	const struct conf_handler *conf = link->conf;
	struct iopool *pool = conf != NULL && conf->kind == CONF_K_QUOTA ? hooks_threads.store : hooks_threads.modules;
	struct iojob *io = (struct iojob *)(void *)j->private_;

	if (pool == NULL) {
		errno = EAGAIN;
		return -1;
	}
	*io = (struct iojob){ .run = job_run, .done = job_done, .row = (uint16_t)link->row };
	j->ask = q->ask;
	return iopool_submit(pool, io);
}
