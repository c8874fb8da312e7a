/*
 * thinkers: two modules, "alpha" and "beta", that say at each stage what the
 * input wants: at once, later, or never; and hold their caller to handler.h.
 */
#ifndef TESTS_FUZZ_PARTS_THINKERS_H_
#define TESTS_FUZZ_PARTS_THINKERS_H_

#include "tests/fuzz/parts/sent.h"
#include "worker/chain.h"

enum { THINKERS_LATER = 64, THINKERS = 2 };

/* What they keep with a session: whoever does not tell them of its end leaks it. */
struct thinkers_mine {
	unsigned questions;
};

/* An answer that is still to come. */
struct thinkers_later {
	struct ask        ask;
	struct loop_timer timer;
	bool              used;
};

static struct {
	struct loop          *loop;
	struct thinkers_later later[THINKERS_LATER];
	bool                  waited_for[THINKERS]; /* it said later, and has not been heard of since */
	struct ask            ask[THINKERS];
	unsigned              delivered[THINKERS], resets[THINKERS];
	unsigned              place[THINKERS];
} thinkers;

static const uint16_t thinkers_codes[] = { 250, 450, 451, 452, 550, 552, 554, 421 };

static void
thinkers_reply(struct reply *r, uint8_t x)
{
	uint16_t code = thinkers_codes[x % 8];

	reply_set(r, code, ENH(code / 100U, 7, x % 5), "thought", "what %s thinks",
	    x / 8 % 2 == 0 ? "one of us" : "nobody here ever really");
	r->close = code == 421;
	if (code < 300 && login.asked == SMTP_EV_AUTH)
		login.yes = true;
}

/* --- later --- */

static void
thinkers_answer(struct ask a, uint8_t x)
{
	static const enum verdict verdicts[] = { V_NEXT, V_REPLY, V_DISCARD, V_FAIL, V_AGAIN, V_REPLY, V_NEXT,
		V_AGAIN };
	struct reply              r          = { .code = 0 };

	if (verdicts[x % 8] == V_REPLY)
		thinkers_reply(&r, x / 8);
	(void)ask_answer(a, verdicts[x % 8], &r);
}

static void
thinkers_fire(struct loop_timer *t)
{
	struct thinkers_later *l = (struct thinkers_later *)((char *)t - offsetof(struct thinkers_later, timer));
	uint8_t                x = says_next();

	if (x % 16 == 15) {
		(void)ask_answer(l->ask, V_LATER, NULL);
		loop_timer_set(thinkers.loop, t, 10000);
		return;
	}
	l->used = false;
	thinkers_answer(l->ask, x);
}

static enum verdict
thinkers_put_off(struct ask a, uint8_t x)
{
	static const uint32_t ms[] = { 0, 0, 20, 5000, 29000, 40000, UINT32_MAX, UINT32_MAX };

	if (x % 8 == 0) {
		thinkers_answer(a, says_next());
		return V_LATER;
	}
	for (unsigned i = 0; ms[x % 8] != UINT32_MAX && i < THINKERS_LATER; i++) {
		struct thinkers_later *l = &thinkers.later[i];

		if (l->used)
			continue;
		*l            = (struct thinkers_later){ .ask = a, .used = true };
		l->timer.fire = thinkers_fire;
		loop_timer_set(thinkers.loop, &l->timer, ms[x % 8]);
		break;
	}
	return V_LATER;
}

/* The session is over, and nobody is to be answered. */
static void
thinkers_rest(void)
{
	for (unsigned i = 0; i < THINKERS_LATER; i++)
		loop_timer_clear(&thinkers.later[i].timer);
	memset(thinkers.later, 0, sizeof(thinkers.later));
}

/* --- edits --- */

static void
thinkers_edit(const struct question *q, uint8_t x)
{
	static const char *const who[] = { "alice@example.org", "<bob@example.org>", "nobody@example.org",
		"list@example.org", "x@elsewhere.example", "" };
	struct edits            *e     = handler_edits(q);
	struct reply             r;

	if (q->txn == NULL || e == NULL)
		return;
	switch (x % 16) {
	case 0:
		(void)edit_add_header(e, SPAN("X-Thought"), SPAN("so"));
		break;
	case 1:
		(void)edit_insert_header(e, x / 16, SPAN("X-Upper"), SPAN("folded\r\n\tand\r\n folded"));
		break;
	case 2:
		(void)edit_change_header(e, SPAN("Subject"), 1 + x / 128U, SPAN("changed"));
		break;
	case 3:
		(void)edit_delete_header(e, SPAN("Subject"), 1);
		break;
	case 4:
		(void)edit_body(e);
		(void)edit_body_more(e, SPAN("a new body\r\nof two lines\r"));
		(void)edit_body_more(e, SPAN("\n"));
		break;
	case 5:
	case 6:
		(void)edit_add_rcpt(e, span_str(who[x / 16 % 6]));
		break;
	case 7:
	case 8:
		(void)edit_delete_rcpt(e, span_str(who[x / 16 % 6]));
		break;
	case 9:
		(void)edit_sender(e, span_str(who[x / 16 % 6]));
		break;
	case 10:
		(void)edit_folder(e, x / 16 == 0 ? SPAN("") : SPAN("Lists.work"));
		break;
	case 11:
		(void)edit_folder_why(e, SPAN("Junk"), SPAN("because \"of\"\nthat"));
		break;
	case 12:
	case 13:
		thinkers_reply(&r, 1 + x / 16 % 6);
		if (q->rcpt != NULL || q->txn->rcpts != NULL)
			(void)edit_aside(
			    e, q->rcpt != NULL ? &q->rcpt->addr : &q->txn->rcpts->addr, x % 2 == 0 ? &r : NULL);
		break;
	case 14:
		(void)edit_as_said(e, EDIT_ADD_HEADER, 0, SPAN("X-Said"), SPAN("a\nb\r c\0d"), x > 127);
		break;
	default:
		(void)edit_add_header(e, SPAN("no name"), SPAN("x"));
		break;
	}
}

/* --- at each stage --- */

static enum verdict
thinkers_say(const struct question *q, struct reply *r, uint8_t x)
{
	static const char *const tags[] = { "spam", "very-likely.spam", "Not A Tag", "x" };

	switch (x % 16) {
	case 1:
		thinkers_reply(r, x / 16);
		return V_REPLY;
	case 2:
		return x / 16 % 4 == 0 ? V_DISCARD : V_FAIL;
	case 3:
		thinkers_edit(q, says_next());
		return V_NEXT;
	case 4:
		thinkers_edit(q, says_next());
		return thinkers_say(q, r, says_next());
	case 5:
	case 6:
	case 7:
		return thinkers_put_off(q->ask, x / 16);
	case 8:
		(void)handler_tag(q, tags[x / 16 % 4]);
		return V_NEXT;
	case 9:
		thinkers_reply(r, 1 + x / 16 % 3);
		(void)handler_defer(q, r, x > 127);
		return V_NEXT;
	case 10:
		handler_log(q, x / 16 % 5, "%s says \"%s\"\n", "it", "so");
		return V_NEXT;
	case 11:
		(void)handler_client_name(q, x > 127 ? "client.example" : NULL, "not verified");
		return V_NEXT;
	case 12:
		if (x > 192)
			handler_skip_all(q);
		else
			handler_skip_checks(q);
		return V_NEXT;
	default:
		return V_NEXT;
	}
}

static unsigned
thinkers_me(const void *ctx)
{
	return (unsigned)((const unsigned *)ctx - thinkers.place);
}

static enum verdict
thinkers_at(void *ctx, const struct question *q, struct reply *r, bool in_transaction)
{
	struct thinkers_mine *mine = q->mine;
	unsigned              me   = thinkers_me(ctx);
	enum verdict          v;

	if (in_transaction != (q->txn != NULL))
		breach("a transaction where there is none, or none where there is one");
	if (q->session == NULL || q->session->id.n == 0 || q->session->remote == NULL || q->session->listener == NULL)
		breach("a question without its facts");
	if (thinkers.waited_for[me] && !q->again && asks_waits(thinkers.ask[me]))
		breach("asked again while it thinks");
	if (mine == NULL) {
		mine = calloc(1, sizeof(*mine));
		if (mine == NULL || handler_keep(q, mine) != 0)
			abort();
	}
	mine->questions++;
	v                       = thinkers_say(q, r, says_next());
	thinkers.waited_for[me] = v == V_LATER;
	thinkers.ask[me]        = q->ask;
	return v;
}

static enum verdict
thinkers_on_client(void *ctx, const struct question *q, struct reply *r)
{
	return thinkers_at(ctx, q, r, false);
}

static enum verdict
thinkers_on_unknown(void *ctx, const struct question *q, struct reply *r)
{
	return thinkers_at(ctx, q, r, q->txn != NULL);
}

static enum verdict
thinkers_on_helo(void *ctx, const struct question *q, struct reply *r)
{
	return thinkers_at(ctx, q, r, q->txn != NULL);
}

static enum verdict
thinkers_on_auth(void *ctx, const struct question *q, struct reply *r)
{
	if (q->auth == NULL || q->auth->password.n == 0 || strncmp(q->auth->method, "SCRAM", 5) == 0)
		breach("AUTH is asked without what was said, or about a proof");
	return thinkers_at(ctx, q, r, false);
}

static enum verdict
thinkers_on_mail(void *ctx, const struct question *q, struct reply *r)
{
	if (strlen(q->txn->id) == 0 || q->txn->nrcpt != 0)
		breach("MAIL is asked in the middle");
	return thinkers_at(ctx, q, r, true);
}

static enum verdict
thinkers_on_rcpt(void *ctx, const struct question *q, struct reply *r)
{
	if (q->rcpt == NULL)
		breach("RCPT is asked for nobody");
	return thinkers_at(ctx, q, r, true);
}

static void
thinkers_on_refused(void *ctx, const struct question *q, const struct reply *r)
{
	(void)ctx;
	if (q->rcpt == NULL || q->txn == NULL || r->code < 400)
		breach("who was refused is not told");
}

static enum verdict
thinkers_on_data_begin(void *ctx, const struct question *q, struct reply *r)
{
	if (q->txn->nrcpt == 0)
		breach("DATA is asked for nobody");
	return thinkers_at(ctx, q, r, true);
}

static enum verdict
thinkers_on_data(void *ctx, const struct question *q, struct reply *r)
{
	if (q->chunk.n == 0)
		breach("content that is empty");
	if (thinkers_me(ctx) == 0 && !q->again)
		sent_show(q->chunk);
	return thinkers_at(ctx, q, r, true);
}

static enum verdict
thinkers_on_end(void *ctx, const struct question *q, struct reply *r)
{
	if (q->chunk.n != 0 || q->txn->nrcpt == 0)
		breach("the end is asked with content, or for nobody");
	return thinkers_at(ctx, q, r, true);
}

static void
thinkers_on_cancel(void *ctx, const struct question *q)
{
	unsigned me = thinkers_me(ctx);

	(void)q;
	if (!thinkers.waited_for[me] || asks_waits(thinkers.ask[me]))
		breach("called off though nobody waited, or somebody still does");
	thinkers.waited_for[me] = false;
}

static void
thinkers_on_reset(void *ctx, const struct question *q)
{
	unsigned me = thinkers_me(ctx);

	if (q->txn == NULL)
		breach("the end of no transaction");
	thinkers.resets[me]++;
	thinkers.delivered[me] += q->delivered;
}

static void
thinkers_on_close(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->txn != NULL)
		breach("a session ends before its transaction");
	free(q->mine);
}

static const struct handler_ops thinkers_ops[THINKERS] = { { .abi               = HANDLER_ABI,
							       .name            = "alpha",
							       .edits           = true,
							       .on_connect      = thinkers_on_client,
							       .on_helo         = thinkers_on_helo,
							       .on_mail_from    = thinkers_on_mail,
							       .on_rcpt_to      = thinkers_on_rcpt,
							       .on_rcpt_refused = thinkers_on_refused,
							       .on_data_begin   = thinkers_on_data_begin,
							       .on_data         = thinkers_on_data,
							       .on_end          = thinkers_on_end,
							       .on_unknown      = thinkers_on_unknown,
							       .on_cancel       = thinkers_on_cancel,
							       .on_reset        = thinkers_on_reset,
							       .on_close        = thinkers_on_close },
	{ .abi               = HANDLER_ABI,
	    .name            = "beta",
	    .check           = true,
	    .edits           = true,
	    .sees_edits      = true,
	    .on_connect      = thinkers_on_client,
	    .on_mail_from    = thinkers_on_mail,
	    .on_rcpt_to      = thinkers_on_rcpt,
	    .on_rcpt_refused = thinkers_on_refused,
	    .on_data         = thinkers_on_data,
	    .on_end          = thinkers_on_end,
	    .on_cancel       = thinkers_on_cancel,
	    .on_reset        = thinkers_on_reset,
	    .on_close        = thinkers_on_close } };

/* The first of them, when it knows clients too. */
static struct handler_ops thinkers_knowing_ops;

static void
thinkers_learn(void)
{
	thinkers_knowing_ops         = thinkers_ops[0];
	thinkers_knowing_ops.on_auth = thinkers_on_auth;
}
#endif
