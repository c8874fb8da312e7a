/*
 * talk_hear: what the connection says: that it is there, that it is lost, and
 * the milter's answers.
 */
#include <stdlib.h>

#include "worker/milter/say.h"
#include "worker/milter/talk_parts.h"

static struct talk *
talk_of(struct milter_owner *o)
{
	return (struct talk *)((char *)o - offsetof(struct talk, seat.owner));
}

void
talk_ready(struct milter_owner *o)
{
	talk_run(talk_of(o));
}

/* A connection that was kept may have died meanwhile; before it answered anything another one can be told all of it. */
static bool
talk_retry(struct talk *t)
{
	if (t->retried || t->goal == TALK_NONE || t->goal > TALK_MAIL || (t->goal == TALK_UNKNOWN && t->message))
		return false;
	t->retried = true;
	t->said = false;
	return milter_pool_take(&t->m->pool, &t->seat, true) == 0;
}

void
talk_lost(struct milter_owner *o, const char *why)
{
	struct talk *t = talk_of(o);
	struct milter_link *k = t->seat.link;
	bool stale = k != NULL && k->reused && !k->heard;

	milter_pool_give(&t->m->pool, &t->seat, false);
	if (stale && talk_retry(t))
		return;
	if (t->goal == TALK_NONE && !t->message)
		return;
	talk_fail(t, why);
}

static void
talk_options(struct talk *t, struct milter_link *k, uint8_t cmd, struct span data)
{
	struct milter_options o;
	const char *why = "no-options";

	if (cmd != MILTER_R_OPTNEG || milter_options_parse(data, &o, &why) != 0) {
		talk_fail(t, why);
		return;
	}
	if (milter_link_symbols(k, &o) != 0) {
		talk_fail(t, "no-memory");
		return;
	}
	milter_state_agreed(&k->st, &o);
	t->m->pool.known = true;
	t->m->pool.steps = o.steps;
	t->m->pool.version = o.version;
	talk_run(t);
}

/* The deadline begins anew, but not with each word: that could be said for ever. */
static void
talk_extend(struct talk *t)
{
	uint64_t now = loop_now_ms(t->m->pool.loop);

	if (!t->waiting || now - t->extended_ms < t->m->conf->timeout_ms / TALK_EXTEND)
		return;
	t->extended_ms = now;
	(void)ask_answer(t->ask, V_LATER, NULL);
}

/* A greeting knows 421 and 554 alone (RFC 5321 3.1). */
static void
talk_greeting(struct talk *t, struct reply *r)
{
	if (t->goal != TALK_CONNECT)
		return;
	r->code = r->code >= 500 ? 554 : 421;
	r->close = r->code == 421;
}

/* It refuses; the connection goes when the session is what it refuses. */
static void
talk_refuse(struct talk *t, struct milter_link *k, const struct milter_reply *mr)
{
	struct reply r;
	const char *why = NULL;

	if (mr->what == MILTER_R_REPLYCODE) {
		if (milter_code_parse(mr->value, &r, &why) != 0) {
			talk_fail(t, why);
			return;
		}
	} else if (mr->what == MILTER_R_REJECT) {
		reply_set(&r, 550, ENH(5, 7, 1), "milter-reject", "refused by a filter");
	} else {
		reply_set(&r, 451, ENH(4, 7, 1), "milter-tempfail", "a filter wants you to try again later");
	}
	talk_greeting(t, &r);
	if (k->st.done_session)
		milter_pool_give(&t->m->pool, &t->seat, false);
	talk_decide(t, V_REPLY, &r);
}

static void
talk_close(struct talk *t)
{
	struct reply r;

	milter_pool_give(&t->m->pool, &t->seat, false);
	reply_set(&r, 421, ENH(4, 7, 0), "milter-close", "%s: a filter closes this session", t->facts->hostname);
	r.close = true;
	talk_decide(t, V_REPLY, &r);
}

/* No objection; perhaps for good. */
static void
talk_next(struct talk *t, struct milter_link *k)
{
	if (k->st.done_session) {
		t->accepted = true;
		milter_pool_give(&t->m->pool, &t->seat, true);
		talk_decide(t, V_NEXT, NULL);
	} else if (k->st.done_message && t->message) {
		talk_decide(t, V_NEXT, NULL);
	} else {
		talk_run(t);
	}
}

void
talk_packet(struct milter_owner *o, uint8_t cmd, struct span data)
{
	struct talk *t = talk_of(o);
	struct milter_link *k = t->seat.link;
	struct milter_reply r;
	const char *why = NULL;
	bool end = k->st.asked == MILTER_C_EOM;

	k->heard = true;
	if (k->st.asked == MILTER_C_OPTNEG) {
		talk_options(t, k, cmd, data);
		return;
	}
	if (milter_reply_parse(cmd, data, &r, &why) != 0) {
		talk_fail(t, why);
		return;
	}
	switch (milter_state_answer(&k->st, &r, &why)) {
	case MILTER_DO_BAD:
		talk_fail(t, why);
		return;
	case MILTER_DO_WAIT:
		talk_extend(t);
		return;
	case MILTER_DO_IGNORE:
		return;
	case MILTER_DO_EDIT:
		if (talk_edit(t, &r, &why) != 0)
			talk_fail(t, why);
		return;
	case MILTER_DO_NEXT:
		t->told_end = t->told_end || end;
		talk_next(t, k);
		return;
	case MILTER_DO_REFUSE:
		t->told_end = t->told_end || end;
		talk_refuse(t, k, &r);
		return;
	case MILTER_DO_DISCARD:
		t->told_end = t->told_end || end;
		talk_decide(t, V_DISCARD, NULL);
		return;
	case MILTER_DO_CLOSE:
		talk_close(t);
		return;
	}
}
