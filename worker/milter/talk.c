/*
 * talk: verdicts, and what the hooks ask: each sets a goal.
 * After anything that sends, the connection may be gone; so each such call is
 * the last one of its function, or its result is looked at.
 */
#include "worker/milter/talk.h"

#include <stdlib.h>

#include "common/log.h"
#include "worker/milter/say.h"
#include "worker/milter/talk_parts.h"

/* --- verdicts --- */

/* Say the verdict to the hook that runs, or that waits, or keep it for the next. */
void
talk_decide(struct talk *t, enum verdict v, const struct reply *r)
{
	bool content = t->goal == TALK_CONTENT;

	if (!content || v != V_NEXT)
		t->goal = TALK_NONE;
	if (t->in_hook) {
		t->decided = true;
		t->verdict = v;
		if (v == V_REPLY)
			*t->reply = *r;
	} else if (t->waiting) {
		t->waiting = false;
		(void)ask_answer(t->ask, v, r);
	} else if (v != V_NEXT && t->early == V_NEXT) {
		t->early = v;
		if (v != V_REPLY)
			return;
		t->early_reply = malloc(sizeof(*r));
		if (t->early_reply == NULL)
			t->early = V_FAIL;
		else
			*t->early_reply = *r;
	}
}

static const char *
step_name(const struct talk *t)
{
	static const char *const name[] = { [TALK_NONE] = "idle",
		[TALK_CONNECT] = "connect",
		[TALK_HELO] = "helo",
		[TALK_UNKNOWN] = "unknown",
		[TALK_MAIL] = "mail",
		[TALK_RCPT] = "rcpt",
		[TALK_DATA] = "data",
		[TALK_CONTENT] = "content",
		[TALK_END] = "end" };

	return name[t->goal];
}

static void
talk_log(const struct talk *t, const char *why)
{
	struct log_line l;

	log_begin(&l, LOG_L_WARN, "milter-failed");
	log_str(&l, "session", t->facts != NULL ? t->facts->id : NULL);
	log_str(&l, "id", t->txn != NULL ? t->txn->id : NULL);
	log_str(&l, "by", t->m->name);
	log_str(&l, "step", step_name(t));
	log_str(&l, "reason", why);
	log_str(&l, "passed_over", t->passed ? "yes" : NULL);
	log_end(&l);
}

/*
 * A failure that the section takes for consent is one for the rest of the session: a filter that hangs would cost its
 * timeout at each step of it.  Half an edit is no consent.  Postfix does the same (milter_default_action = accept).
 */
static void
talk_pass_over(struct talk *t)
{
	bool half = t->edits != NULL && edits_since_mark(t->edits);

	if (t->m->conf->on_failure != CONF_F_ACCEPT || half || t->passed)
		return;
	t->passed = true;
	if (t->m->stats != NULL)
		stats_add(t->m->stats, STATS_MILTERS_PASSED_OVER, 1);
}

/*
 * It can not be asked; the section says what that means.  Once it has begun to
 * edit, the chain takes that back and defers the message.
 */
void
talk_fail(struct talk *t, const char *why)
{
	if (t->goal != TALK_NONE || t->message)
		talk_pass_over(t);
	talk_log(t, why);
	milter_pool_give(&t->m->pool, &t->seat, false);
	if (t->goal == TALK_NONE && !t->message)
		return; /* nobody has asked anything; the next hook takes another connection */
	t->failed = t->message;
	talk_decide(t, V_FAIL, NULL);
}

/* --- what the hooks say --- */

/* Another session may have the connection: nothing of a message or a question is on it. */
static bool
talk_spares(struct milter_seat *s)
{
	struct talk *t = (struct talk *)((char *)s - offsetof(struct talk, seat));

	return t->goal == TALK_NONE && !t->message && t->seat.link->st.asked == 0 && t->seat.link->st.ignore == 0;
}

struct talk *
talk_new(struct milter *m)
{
	struct talk *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->m = m;
	t->seat.owner = (struct milter_owner){ talk_ready, talk_packet, talk_lost };
	t->seat.spares = talk_spares;
	return t;
}

int
talk_know(struct talk *t, const struct session_view *s)
{
	struct milter_facts *f;

	if (t->facts != NULL && milter_facts_same(t->facts, s))
		return 0;
	f = milter_facts_new(s);
	if (f == NULL)
		return -1;
	free(t->facts);
	t->facts = f;
	return 0;
}

/* Whether the milter has no say in this goal, as far as can be told without a connection. */
static bool
talk_needless(const struct talk *t, enum talk_goal goal)
{
	const struct milter_pool *p = &t->m->pool;

	if (t->seat.link != NULL || !p->known)
		return false;
	return (goal == TALK_CONNECT && (p->steps & MILTER_P_NOCONNECT) != 0) ||
	    (goal == TALK_HELO && (p->steps & MILTER_P_NOCONNECT) != 0 && (p->steps & MILTER_P_NOHELO) != 0);
}

/* What was said of this message, or session, before. */
static bool
talk_settled(struct talk *t, enum talk_goal goal, struct reply *r, enum verdict *v)
{
	const struct milter_link *k = t->seat.link;

	*v = V_NEXT;
	if (t->early != V_NEXT) {
		*v = t->early;
		if (*v == V_REPLY)
			*r = *t->early_reply;
		return true;
	}
	if (t->failed && !t->passed) {
		*v = goal == TALK_CONTENT ? V_NEXT : V_FAIL;
		return true;
	}
	return t->accepted || t->passed || talk_needless(t, goal) || (k != NULL && t->message && k->st.done_message);
}

static void
talk_begin_message(struct talk *t, const struct question *q)
{
	t->message = true;
	t->told_end = false;
	t->txn = q->txn;
}

static void
talk_begin_content(struct talk *t)
{
	if (t->content)
		return;
	t->content = true;
	t->drained = t->body_begun = false;
	fields_init(&t->fields);
	buf_init(&t->todo, TALK_TODO_MAX);
	buf_init(&t->body, MILTER_CHUNK);
}

static void
talk_end_content(struct talk *t)
{
	if (!t->content)
		return;
	t->content = false;
	fields_fini(&t->fields);
	buf_free(&t->todo);
	buf_free(&t->body);
}

/* Get ready for ${goal}.  0, or -1 with *why. */
static int
talk_prepare(struct talk *t, enum talk_goal goal, const struct question *q, const char **why)
{
	*why = "no-memory";
	if (goal == TALK_MAIL)
		talk_begin_message(t, q);
	if (goal >= TALK_CONTENT)
		talk_begin_content(t);
	if (t->seat.link == NULL && !t->seat.waiting && milter_pool_take(&t->m->pool, &t->seat, false) != 0) {
		*why = "unreachable";
		return -1;
	}
	t->rcpt = q->rcpt;
	if (goal == TALK_END) {
		t->edits = handler_edits(q);
		if (t->edits == NULL)
			return -1;
	}
	return 0;
}

/* What the hook's content left is kept: the span is not ours. */
static bool
talk_keep_chunk(struct talk *t)
{
	bool ok = t->chunk.n == 0 || buf_put(&t->todo, t->chunk.p, t->chunk.n) == 0;

	t->chunk = (struct span){ NULL, 0 };
	return ok;
}

enum verdict
talk_hook(struct talk *t, enum talk_goal goal, const struct question *q, struct reply *r)
{
	const char *why;
	enum verdict v;

	if (talk_settled(t, goal, r, &v))
		return v;
	t->in_hook = true;
	t->decided = t->said = t->retried = false;
	t->reply = r;
	t->goal = goal;
	t->ask = q->ask;
	t->chunk = q->chunk;
	t->extended_ms = loop_now_ms(t->m->pool.loop);
	if (talk_prepare(t, goal, q, &why) != 0)
		talk_fail(t, why);
	else
		talk_run(t);
	if (!t->decided && goal == TALK_CONTENT && !talk_keep_chunk(t))
		talk_fail(t, "no-memory");
	t->in_hook = false;
	t->chunk = (struct span){ NULL, 0 };
	if (t->decided)
		return t->verdict;
	if (goal == TALK_CONTENT && buf_len(&t->todo) < TALK_TODO_HIGH)
		return V_NEXT;
	t->waiting = true;
	return V_LATER;
}

/* Whether it would be told, as far as can be known without a connection. */
static bool
talk_wants_unknown(const struct talk *t)
{
	const struct milter_link *k = t->seat.link;
	const struct milter_pool *p = &t->m->pool;
	struct milter_state st = { .version = p->version, .steps = p->steps };

	if (k != NULL && k->st.version != 0)
		st = k->st;
	return st.version == 0 || milter_state_wants(&st, MILTER_C_UNKNOWN);
}

enum verdict
talk_unknown(struct talk *t, const struct question *q, struct reply *r)
{
	/* What it said of the message is for the message's next hook. */
	if (t->early != V_NEXT || t->failed || t->content || !talk_wants_unknown(t))
		return V_NEXT;
	t->line = q->chunk;
	return talk_hook(t, TALK_UNKNOWN, q, r);
}

void
talk_refused(struct talk *t, const struct question *q, const struct reply *r)
{
	struct milter_link *k = t->seat.link;

	if (k == NULL || k->connecting || k->st.version == 0 || !t->message || t->failed || t->accepted || t->passed ||
	    t->goal != TALK_NONE || buf_len(&k->out) >= MILTER_OUT_HIGH)
		return;
	if (say_refused(k, t->facts, t->txn, q->rcpt, r) != 0)
		talk_fail(t, "no-memory");
	else
		(void)talk_send(k);
}

void
talk_cancel(struct talk *t)
{
	uint64_t waited = loop_now_ms(t->m->pool.loop) - t->extended_ms;

	if (t->waiting && waited + LOOP_TICK_MS >= t->m->conf->timeout_ms) {
		talk_pass_over(t);
		talk_log(t, t->seat.waiting ? "no-connection" : "no-answer");
	}
	t->waiting = false;
	t->goal = TALK_NONE;
	t->failed = t->message;
	milter_pool_give(&t->m->pool, &t->seat, false);
}

void
talk_reset(struct talk *t)
{
	struct milter_link *k = t->seat.link;
	bool over = !t->message || t->told_end;

	talk_end_content(t);
	free(t->early_reply);
	t->early_reply = NULL;
	t->early = V_NEXT;
	t->goal = TALK_NONE;
	t->message = t->failed = t->waiting = false;
	t->txn = NULL;
	t->rcpt = NULL;
	t->edits = NULL;
	if (k == NULL)
		return;
	if (k->st.asked != 0 || k->connecting || (!over && say_abort(k) != 0)) {
		milter_pool_give(&t->m->pool, &t->seat, false);
		return;
	}
	milter_state_reset(&k->st);
	(void)milter_link_send(k);
}

void
talk_free(struct talk *t)
{
	talk_reset(t);
	milter_pool_give(&t->m->pool, &t->seat, true);
	free(t->facts);
	free(t);
}
