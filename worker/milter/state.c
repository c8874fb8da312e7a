/*
 * state: rows for what may be left out and what is answered; one function for
 * what an answer means.
 */
#include "worker/milter/state.h"

static const struct step {
	enum milter_command cmd;
	uint32_t no, noreply; /* MILTER_P_* */
	uint32_t since;       /* version of the protocol */
	bool message;         /* belongs to a message */
} steps[] = {
	{ MILTER_C_CONNECT, MILTER_P_NOCONNECT, MILTER_P_NR_CONN, 2, false },
	{ MILTER_C_HELO, MILTER_P_NOHELO, MILTER_P_NR_HELO, 2, false },
	{ MILTER_C_MAIL, MILTER_P_NOMAIL, MILTER_P_NR_MAIL, 2, true },
	{ MILTER_C_RCPT, MILTER_P_NORCPT, MILTER_P_NR_RCPT, 2, true },
	{ MILTER_C_DATA, MILTER_P_NODATA, MILTER_P_NR_DATA, 4, true },
	{ MILTER_C_HEADER, MILTER_P_NOHDRS, MILTER_P_NR_HDR, 2, true },
	{ MILTER_C_EOH, MILTER_P_NOEOH, MILTER_P_NR_EOH, 2, true },
	{ MILTER_C_BODY, MILTER_P_NOBODY, MILTER_P_NR_BODY, 2, true },
	{ MILTER_C_EOM, 0, 0, 2, true },
	{ MILTER_C_UNKNOWN, MILTER_P_NOUNKNOWN, MILTER_P_NR_UNKN, 3, false },
};

static const struct step *
step_of(enum milter_command cmd)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].cmd == cmd)
			return &steps[i];
	return NULL;
}

void
milter_state_init(struct milter_state *st)
{
	*st = (struct milter_state){ .chunk = MILTER_CHUNK };
}

void
milter_state_agreed(struct milter_state *st, const struct milter_options *o)
{
	st->version = o->version;
	st->actions = o->actions;
	st->steps = o->steps;
	st->chunk = (o->steps & MILTER_P_MDS_1M) != 0 ? MILTER_CHUNK_1M
	    : (o->steps & MILTER_P_MDS_256K) != 0     ? MILTER_CHUNK_256K
						      : MILTER_CHUNK;
	st->asked = 0;
}

/*
 * libmilter takes no unknown command between DATA and the end of a message,
 * and behind one in a message it must see RCPT or DATA next: else it drops the
 * message and answers nothing.
 */
static bool
unknown_fits(const struct milter_state *st)
{
	bool hears_data = st->version >= 4 && (st->steps & MILTER_P_NODATA) == 0;

	return !st->message || (!st->done_message && !st->content && hears_data);
}

bool
milter_state_wants(const struct milter_state *st, enum milter_command cmd)
{
	const struct step *s = step_of(cmd);

	if (s == NULL)
		return true;
	if (cmd == MILTER_C_UNKNOWN && !unknown_fits(st))
		return false;
	if (st->done_session || (s->message && st->done_message) || st->skip == cmd)
		return false;
	return st->version >= s->since && (st->steps & s->no) == 0;
}

bool
milter_state_said(struct milter_state *st, enum milter_command cmd)
{
	const struct step *s = step_of(cmd);

	if (cmd == MILTER_C_OPTNEG) {
		st->asked = MILTER_C_OPTNEG;
		return true;
	}
	if (s == NULL)
		return false;
	if (s->message)
		st->message = true;
	if (s->message && cmd != MILTER_C_MAIL && cmd != MILTER_C_RCPT)
		st->content = true;
	if (cmd == MILTER_C_MAIL)
		st->mailed = true;
	if (st->skip != cmd)
		st->skip = 0;
	if ((st->steps & s->noreply) != 0)
		return false;
	st->asked = (uint8_t)cmd;
	return true;
}

void
milter_state_refused(struct milter_state *st)
{
	st->message = true;
	if ((st->steps & MILTER_P_NR_RCPT) == 0)
		st->ignore++;
}

static enum milter_do
bad(const char **why, const char *word)
{
	*why = word;
	return MILTER_DO_BAD;
}

/* The action a milter must have announced to say ${what}; 0: it is no edit. */
static uint32_t
edit_action(enum milter_answer what)
{
	switch (what) {
	case MILTER_R_ADDHEADER:
	case MILTER_R_INSHEADER:
		return MILTER_F_ADDHDRS;
	case MILTER_R_CHGHEADER:
		return MILTER_F_CHGHDRS;
	case MILTER_R_REPLBODY:
		return MILTER_F_CHGBODY;
	case MILTER_R_ADDRCPT:
		return MILTER_F_ADDRCPT;
	case MILTER_R_ADDRCPT_PAR:
		return MILTER_F_ADDRCPT_PAR;
	case MILTER_R_DELRCPT:
		return MILTER_F_DELRCPT;
	case MILTER_R_CHGFROM:
		return MILTER_F_CHGFROM;
	case MILTER_R_QUARANTINE:
		return MILTER_F_QUARANTINE;
	case MILTER_R_SHUTDOWN:
	case MILTER_R_OPTNEG:
	case MILTER_R_ACCEPT:
	case MILTER_R_CONTINUE:
	case MILTER_R_DISCARD:
	case MILTER_R_CONN_FAIL:
	case MILTER_R_PROGRESS:
	case MILTER_R_REJECT:
	case MILTER_R_SKIP:
	case MILTER_R_TEMPFAIL:
	case MILTER_R_REPLYCODE:
		break;
	}
	return 0;
}

static enum milter_do
edit(struct milter_state *st, uint32_t action, const char **why)
{
	if (st->asked != MILTER_C_EOM)
		return bad(why, "edit-before-end");
	if ((st->actions & action) == 0)
		return bad(why, "edit-not-agreed");
	st->edited = true;
	return MILTER_DO_EDIT;
}

/* The question is answered for good.  A refused recipient or unknown command leaves the message as it is. */
static enum milter_do
settle(struct milter_state *st, bool session, bool message, enum milter_do what)
{
	if (st->asked == MILTER_C_EOM) {
		st->message = false;
		message = true;
	}
	/* Of none it can have heard enough. */
	if (st->asked == MILTER_C_UNKNOWN)
		message = message && st->message;
	st->done_session = st->done_session || session;
	st->done_message = st->done_message || message;
	st->asked = 0;
	return what;
}

/* Answers come in the order of questions. */
static bool
ignored(struct milter_state *st, enum milter_answer what)
{
	if (st->ignore == 0 || edit_action(what) != 0)
		return false;
	switch (what) {
	case MILTER_R_CONTINUE:
	case MILTER_R_ACCEPT:
	case MILTER_R_REJECT:
	case MILTER_R_TEMPFAIL:
	case MILTER_R_REPLYCODE:
	case MILTER_R_DISCARD:
	case MILTER_R_SKIP:
		st->ignore--;
		return true;
	case MILTER_R_PROGRESS:
	case MILTER_R_SHUTDOWN:
	case MILTER_R_CONN_FAIL:
	case MILTER_R_OPTNEG:
	case MILTER_R_ADDHEADER:
	case MILTER_R_INSHEADER:
	case MILTER_R_CHGHEADER:
	case MILTER_R_REPLBODY:
	case MILTER_R_ADDRCPT:
	case MILTER_R_ADDRCPT_PAR:
	case MILTER_R_DELRCPT:
	case MILTER_R_CHGFROM:
	case MILTER_R_QUARANTINE:
		break;
	}
	return false;
}

enum milter_do
milter_state_answer(struct milter_state *st, const struct milter_reply *r, const char **why)
{
	uint32_t action = edit_action(r->what);
	bool early = st->asked == MILTER_C_CONNECT || st->asked == MILTER_C_HELO;
	bool unknown = st->asked == MILTER_C_UNKNOWN;
	bool one = unknown || st->asked == MILTER_C_RCPT; /* what it refuses is no more than that */

	if (st->asked == 0 && st->ignore == 0)
		return bad(why, "answer-unasked");
	if (st->asked == MILTER_C_OPTNEG)
		return bad(why, "answer-before-options");
	if (ignored(st, r->what))
		return MILTER_DO_IGNORE;
	if (action != 0 && st->ignore > 0)
		return bad(why, "edit-before-end");
	if (action != 0)
		return edit(st, action, why);
	switch (r->what) {
	case MILTER_R_PROGRESS:
		return MILTER_DO_WAIT;
	case MILTER_R_CONTINUE:
		return settle(st, false, false, MILTER_DO_NEXT);
	case MILTER_R_ACCEPT:
		return settle(st, early, !early, MILTER_DO_NEXT);
	case MILTER_R_SKIP:
		if ((st->steps & MILTER_P_SKIP) == 0)
			return bad(why, "skip-not-agreed");
		st->skip = st->asked;
		return settle(st, false, false, MILTER_DO_NEXT);
	case MILTER_R_DISCARD:
		if (early || (unknown && !st->message))
			return bad(why, "discard-before-mail");
		return settle(st, false, true, MILTER_DO_DISCARD);
	case MILTER_R_REJECT:
	case MILTER_R_TEMPFAIL:
	case MILTER_R_REPLYCODE:
		return settle(st, early, !early && !one, MILTER_DO_REFUSE);
	case MILTER_R_SHUTDOWN:
	case MILTER_R_CONN_FAIL:
		return settle(st, true, true, MILTER_DO_CLOSE);
	case MILTER_R_OPTNEG:
	case MILTER_R_ADDHEADER:
	case MILTER_R_INSHEADER:
	case MILTER_R_CHGHEADER:
	case MILTER_R_REPLBODY:
	case MILTER_R_ADDRCPT:
	case MILTER_R_ADDRCPT_PAR:
	case MILTER_R_DELRCPT:
	case MILTER_R_CHGFROM:
	case MILTER_R_QUARANTINE:
		break;
	}
	return bad(why, "answer-out-of-place");
}

void
milter_state_reset(struct milter_state *st)
{
	st->asked = 0;
	st->skip = 0;
	st->message = st->content = st->done_message = st->edited = false;
}

void
milter_state_again(struct milter_state *st)
{
	milter_state_reset(st);
	st->done_session = st->mailed = false;
}
