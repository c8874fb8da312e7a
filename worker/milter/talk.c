/*
 * talk: goals, steps towards them, and answers.
 * After anything that sends, the connection may be gone; so each such call is
 * the last one of its function, or its result is looked at.
 */
#include "worker/milter/talk.h"

#include <stdlib.h>

#include "common/log.h"
#include "worker/milter/say.h"

static struct talk *
talk_of(struct milter_owner *o)
{
	return (struct talk *)((char *)o - offsetof(struct talk, seat.owner));
}

static void talk_run(struct talk *t);

/* --- verdicts --- */

/* Say the verdict to the hook that runs, or that waits, or keep it for the next. */
static void
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
	log_end(&l);
}

/*
 * It can not be asked; the section says what that means.  Once it has begun to
 * edit, the chain takes that back and defers the message.
 */
static void
talk_fail(struct talk *t, const char *why)
{
	talk_log(t, why);
	milter_pool_give(&t->m->pool, &t->seat, false);
	if (t->goal == TALK_NONE && !t->message)
		return; /* nobody has asked anything; the next hook takes another connection */
	t->failed = t->message;
	talk_decide(t, V_FAIL, NULL);
}

/* --- steps --- */

enum step { STEP_SAID, STEP_DONE, STEP_ROOM };

/* Content that waits: what was kept first, then the hook's own. */
static struct span
talk_input(const struct talk *t)
{
	return buf_len(&t->todo) > 0 ? buf_view(&t->todo) : t->chunk;
}

static void
talk_consumed(struct talk *t, size_t n)
{
	if (buf_len(&t->todo) > 0)
		buf_drop(&t->todo, n);
	else
		t->chunk = span_skip(t->chunk, n);
}

/* The body that was gathered goes out. */
static int
talk_flush_body(struct talk *t, struct milter_link *k)
{
	if (buf_len(&t->body) == 0)
		return 0;
	if (say_body(k, buf_view(&t->body)) != 0)
		return -1;
	buf_free(&t->body);
	return 0;
}

/* What fields found.  0, or -1 with errno. */
static int
talk_tell(struct talk *t, struct milter_link *k, enum fields_event ev, struct span name, struct span value)
{
	switch (ev) {
	case FIELDS_FIELD:
		return say_field(k, name, value);
	case FIELDS_END:
		return say_end_of_header(k, t->facts, t->txn);
	case FIELDS_BODY:
		if (!milter_state_wants(&k->st, MILTER_C_BODY))
			return 0;
		if ((k->st.steps & MILTER_P_NR_BODY) != 0 && value.n >= TALK_DIRECT && buf_len(&t->body) == 0)
			return say_body(k, value);
		return buf_put(&t->body, value.p, value.n);
	case FIELDS_MORE:
	case FIELDS_TOO_LONG:
		break;
	}
	return 0;
}

static void
talk_too_long(struct talk *t)
{
	struct reply r;

	reply_set(&r, 554, ENH(5, 6, 0), "field-too-long", "a header field is too long for the filters here");
	talk_decide(t, V_REPLY, &r);
}

/* A piece of the content.  STEP_DONE: there is none. */
static enum step
step_content(struct talk *t, struct milter_link *k)
{
	struct span in = talk_input(t), name, value;
	size_t room = MILTER_CHUNK - buf_len(&t->body), had;
	enum fields_event ev;

	if (room == 0)
		return talk_flush_body(t, k) == 0 ? STEP_SAID : STEP_ROOM;
	if (in.n == 0 && t->fields.taken == 0)
		return STEP_DONE;
	in = span_head(in, in.n < room ? in.n : room);
	had = in.n;
	ev = fields_next(&t->fields, &in, &name, &value);
	if (ev == FIELDS_TOO_LONG) {
		talk_too_long(t);
		return STEP_SAID;
	}
	if (talk_tell(t, k, ev, name, value) != 0)
		return STEP_ROOM;
	talk_consumed(t, had - in.n);
	return ev == FIELDS_MORE && talk_input(t).n == 0 ? STEP_DONE : STEP_SAID;
}

static enum step
step_end(struct talk *t, struct milter_link *k)
{
	struct span name, value;
	enum fields_event ev;

	if (!t->drained) {
		enum step s = step_content(t, k);

		if (s != STEP_DONE)
			return s;
		ev = fields_last(&t->fields, &name, &value);
		if (ev == FIELDS_TOO_LONG) {
			talk_too_long(t);
			return STEP_SAID;
		}
		t->drained = ev == FIELDS_MORE;
		return talk_tell(t, k, ev, name, value) == 0 ? STEP_SAID : STEP_ROOM;
	}
	if (buf_len(&t->body) > 0)
		return talk_flush_body(t, k) == 0 ? STEP_SAID : STEP_ROOM;
	if (t->said)
		return STEP_DONE;
	t->said = true;
	return say_end(k, t->facts, t->txn) == 0 ? STEP_SAID : STEP_ROOM;
}

/* What the goal itself needs, once the milter knows the session. */
static enum step
step_goal(struct talk *t, struct milter_link *k)
{
	int rc = 0;

	switch (t->goal) {
	case TALK_NONE:
	case TALK_CONNECT:
	case TALK_HELO:
		return STEP_DONE;
	case TALK_CONTENT:
		return step_content(t, k);
	case TALK_END:
		return step_end(t, k);
	case TALK_UNKNOWN:
		if (t->said)
			return STEP_DONE;
		rc = say_unknown(k, t->line);
		break;
	case TALK_MAIL:
		if (t->said)
			return STEP_DONE;
		rc = say_mail(k, t->facts, t->txn);
		break;
	case TALK_RCPT:
		if (t->said)
			return STEP_DONE;
		rc = say_rcpt(k, t->facts, t->txn, t->rcpt);
		break;
	case TALK_DATA:
		if (t->said)
			return STEP_DONE;
		rc = say_data(k, t->facts, t->txn);
		break;
	}
	t->said = true;
	return rc == 0 ? STEP_SAID : STEP_ROOM;
}

/* Say the next thing that is missing. */
static enum step
talk_step(struct talk *t, struct milter_link *k)
{
	if (k->st.version == 0)
		return say_options(k) == 0 ? STEP_SAID : STEP_ROOM;
	if (!k->told_connect) {
		k->told_connect = true;
		return say_connect(k, t->facts) == 0 ? STEP_SAID : STEP_ROOM;
	}
	if (!k->told_helo && t->facts->helo[0] != '\0') {
		k->told_helo = true;
		return say_helo(k, t->facts) == 0 ? STEP_SAID : STEP_ROOM;
	}
	return step_goal(t, k);
}

/* Content was told as far as it came. */
static bool
talk_content_through(const struct talk *t)
{
	return t->goal == TALK_CONTENT && talk_input(t).n == 0;
}

/* What needs no answer waits for what does, or for more of its kind.  False: the link broke, and this was told. */
static bool
talk_send(struct milter_link *k)
{
	return (k->st.asked == 0 && buf_len(&k->out) < TALK_HOLD) || milter_link_send(k);
}

/* Say all that can be said now. */
static void
talk_run(struct talk *t)
{
	struct milter_link *k = t->seat.link;
	enum step s = STEP_SAID;

	if (k == NULL || k->connecting)
		return;
	while (s == STEP_SAID && k->st.asked == 0 && t->goal != TALK_NONE && buf_len(&k->out) < MILTER_OUT_HIGH)
		s = talk_step(t, k);
	if (s == STEP_ROOM) {
		talk_fail(t, "no-memory");
		return;
	}
	if (!talk_send(k))
		return;
	if (t->goal == TALK_NONE || k->st.asked != 0)
		return;
	if (s == STEP_DONE && (t->goal != TALK_CONTENT || talk_content_through(t)))
		talk_decide(t, V_NEXT, NULL);
	else if (buf_len(&k->out) < MILTER_OUT_HIGH)
		talk_run(t);
}

/* --- what the link says --- */

static void
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

static void
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

static void
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
	if (t->failed) {
		*v = goal == TALK_CONTENT ? V_NEXT : V_FAIL;
		return true;
	}
	return t->accepted || talk_needless(t, goal) || (k != NULL && t->message && k->st.done_message);
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

	if (k == NULL || k->connecting || k->st.version == 0 || !t->message || t->failed || t->accepted ||
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

	if (t->waiting && waited + LOOP_TICK_MS >= t->m->conf->timeout_ms)
		talk_log(t, t->seat.waiting ? "no-connection" : "no-answer");
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
