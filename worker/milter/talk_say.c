/*
 * talk_say: the steps towards a goal: what is still to be said on the
 * connection, one thing after the other, as far as there is room.
 */
#include "worker/milter/say.h"
#include "worker/milter/talk_parts.h"

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
	case FIELDS_LOST:
		break;
	}
	return 0;
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
	if (ev == FIELDS_LOST)
		return STEP_ROOM;
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
		if (ev == FIELDS_LOST)
			return STEP_ROOM;
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

bool
talk_send(struct milter_link *k)
{
	return (k->st.asked == 0 && buf_len(&k->out) < TALK_HOLD) || milter_link_send(k);
}

void
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
