/*
 * pool: taking, giving, and the line.
 */
#include "worker/milter/pool.h"

#include <errno.h>

static void
pool_forget(struct milter_link *k)
{
	struct milter_pool *p = k->pool;

	if (k->owner == NULL) {
		TAILQ_REMOVE(&p->idle, k, entry);
		p->nidle--;
	} else {
		TAILQ_REMOVE(&p->busy, k, entry);
	}
	p->n--;
}

static void
pool_remove(struct milter_link *k)
{
	pool_forget(k);
	milter_link_close(k);
}

/* Say QUIT, if there is room for it, and close. */
static void
pool_quit(struct milter_link *k)
{
	if (!k->connecting && milter_put(&k->out, MILTER_C_QUIT, NULL, 0) == 0) {
		k->owner = NULL; /* nobody minds how it ends */
		k->drop = milter_link_nobody;
		(void)milter_link_send(k);
	}
	milter_link_close(k);
}

static void
pool_leave(struct milter_link *k)
{
	pool_forget(k);
	pool_quit(k);
}

static void
pool_bind(struct milter_pool *p, struct milter_seat *s, struct milter_link *k)
{
	TAILQ_INSERT_TAIL(&p->busy, k, entry);
	k->owner = &s->owner;
	k->heard = false;
	s->link = k;
}

static struct milter_link *
pool_open(struct milter_pool *p, struct milter_seat *s)
{
	struct milter_link *k = milter_link_open(p->loop, p->to, p->to_len, &s->owner);

	if (k == NULL)
		return NULL;
	k->pool = p;
	k->drop = pool_remove;
	p->n++;
	pool_bind(p, s, k);
	return k;
}

/* Wait for a connection. */
static void
pool_line_up(struct milter_pool *p, struct milter_seat *s)
{
	s->waiting = true;
	TAILQ_INSERT_TAIL(&p->line, s, entry);
}

/* A link of a session that asks nothing just now, or NULL. */
static struct milter_link *
pool_spare(struct milter_pool *p)
{
	struct milter_link *k;

	TAILQ_FOREACH(k, &p->busy, entry) {
		struct milter_seat *s = (struct milter_seat *)((char *)k->owner - offsetof(struct milter_seat, owner));

		if (s->spares(s)) {
			milter_pool_give(p, s, true);
			return TAILQ_FIRST(&p->idle);
		}
	}
	return NULL;
}

/* It was used before and has said nothing yet: it never will, and the session can still be told to another one. */
static void
pool_mute(struct loop_timer *t)
{
	struct milter_link *k = (struct milter_link *)((char *)t - offsetof(struct milter_link, mute));
	uint8_t asked = k->st.asked;

	if (k->owner == NULL || k->heard ||
	    (asked != MILTER_C_CONNECT && asked != MILTER_C_HELO && asked != MILTER_C_UNKNOWN &&
		asked != MILTER_C_MAIL))
		return;
	k->pool->mute = true;
	k->owner->lost(k->owner, "mute");
}

/* The newest idle link, the best bet to be still alive. */
static void
pool_reuse(struct milter_pool *p, struct milter_seat *s)
{
	struct milter_link *k = TAILQ_FIRST(&p->idle);

	TAILQ_REMOVE(&p->idle, k, entry);
	p->nidle--;
	k->reused = true;
	pool_bind(p, s, k);
	k->mute.fire = pool_mute;
	loop_timer_set(p->loop, &k->mute, MILTER_MUTE_MS);
}

int
milter_pool_take(struct milter_pool *p, struct milter_seat *s, bool fresh)
{
	if (!fresh && p->nidle > 0) {
		pool_reuse(p, s);
		return 0;
	}
	if (fresh && p->nidle > 0 && p->n >= MILTER_LINKS_MAX)
		pool_leave(TAILQ_LAST(&p->idle, milter_links));
	if (p->n >= MILTER_LINKS_MAX && pool_spare(p) != NULL) {
		pool_reuse(p, s);
		return 0;
	}
	if (p->n < MILTER_LINKS_MAX) {
		if (pool_open(p, s) != NULL)
			return 0;
		if (errno != EAGAIN && ((errno != EMFILE && errno != ENFILE) || p->n == 0))
			return -1;
		loop_timer_set(p->loop, &p->timer, MILTER_RETRY_MS);
	}
	pool_line_up(p, s);
	return 0;
}

/* Who waits longest may have a connection now. */
static void
pool_serve(struct milter_pool *p)
{
	struct milter_seat *s;

	while ((s = TAILQ_FIRST(&p->line)) != NULL) {
		if (p->nidle > 0)
			pool_reuse(p, s);
		else if (p->n >= MILTER_LINKS_MAX)
			return;
		else if (pool_open(p, s) == NULL && (errno == EAGAIN || errno == EMFILE || errno == ENFILE)) {
			loop_timer_set(p->loop, &p->timer, MILTER_RETRY_MS);
			return;
		}
		TAILQ_REMOVE(&p->line, s, entry);
		s->waiting = false;
		if (s->link == NULL)
			s->owner.lost(&s->owner, "unreachable");
		else if (!s->link->connecting)
			s->owner.ready(&s->owner);
	}
}

/* Idle too long, or more than are kept. */
static void
pool_age(struct milter_pool *p)
{
	struct milter_link *k;

	while ((k = TAILQ_LAST(&p->idle, milter_links)) != NULL && loop_now_ms(p->loop) - k->idle_ms >= MILTER_IDLE_MS)
		pool_leave(k);
	if (k != NULL && p->timer.prev == NULL)
		loop_timer_set(p->loop, &p->timer, MILTER_IDLE_MS);
}

static void
pool_timer(struct loop_timer *t)
{
	struct milter_pool *p = (struct milter_pool *)((char *)t - offsetof(struct milter_pool, timer));

	pool_serve(p);
	pool_age(p);
}

/*
 * Whether another session can have it: it knows how, nothing is open on it, and
 * nothing lies about.  Debian's libmilter (8.17) claims version 6 and yet hears
 * MILTER_C_QUIT_NC only right behind an aborted MAIL; otherwise it is silent
 * ever after, which pool_mute() finds out.
 */
static bool
pool_reusable(struct milter_link *k)
{
	return !k->pool->mute && k->st.version >= MILTER_VERSION && k->st.mailed && k->st.asked == 0 &&
	    k->st.ignore == 0 && !k->st.message && !k->connecting && buf_len(&k->in) == 0 && buf_len(&k->out) == 0 &&
	    k->pool->nidle < MILTER_IDLE_MAX && milter_put(&k->out, MILTER_C_QUIT_NC, NULL, 0) == 0;
}

void
milter_pool_give(struct milter_pool *p, struct milter_seat *s, bool good)
{
	struct milter_link *k = s->link;

	if (s->waiting) {
		TAILQ_REMOVE(&p->line, s, entry);
		s->waiting = false;
	}
	if (k == NULL)
		return;
	s->link = NULL;
	if (!good || !pool_reusable(k)) {
		TAILQ_REMOVE(&p->busy, k, entry);
		p->n--;
		pool_quit(k);
	} else {
		TAILQ_REMOVE(&p->busy, k, entry);
		k->owner = NULL;
		loop_timer_clear(&k->mute);
		k->told_connect = k->told_helo = false;
		milter_state_again(&k->st);
		k->idle_ms = loop_now_ms(p->loop);
		TAILQ_INSERT_HEAD(&p->idle, k, entry);
		p->nidle++;
		if (milter_link_send(k)) {
			milter_link_rest(k);
			if (p->timer.prev == NULL)
				loop_timer_set(p->loop, &p->timer, MILTER_IDLE_MS);
		}
	}
	if (!TAILQ_EMPTY(&p->line))
		loop_later(p->loop, &p->task);
}

static void
pool_task(struct loop_task *t)
{
	pool_serve((struct milter_pool *)((char *)t - offsetof(struct milter_pool, task)));
}

void
milter_pool_init(struct milter_pool *p, struct loop *l, const struct sockaddr *to, socklen_t len)
{
	*p = (struct milter_pool){ .loop = l, .to = to, .to_len = len };
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->busy);
	TAILQ_INIT(&p->line);
	p->timer.fire = pool_timer;
	p->task.run = pool_task;
}

void
milter_pool_fini(struct milter_pool *p)
{
	struct milter_link *k;

	loop_timer_clear(&p->timer);
	loop_task_clear(p->loop, &p->task);
	while ((k = TAILQ_FIRST(&p->idle)) != NULL)
		pool_leave(k);
}
