/*
 * chain: the order of asking, and nothing else.
 */
#include "worker/chain.h"

#include <errno.h>

#include "worker/asks.h"

int
chain_add(struct chain *c, const struct handler_ops *ops, void *ctx)
{
	if (ops->abi != HANDLER_ABI) {
		errno = EPROTO;
		return -1;
	}
	if (c->n == CHAIN_MAX) {
		errno = E2BIG;
		return -1;
	}
	c->link[c->n++] = (struct chain_link){ ops, ctx };
	c->wants_body = c->wants_body || ops->on_data != NULL;
	return 0;
}

void
chain_begin(struct chain_run *run, enum chain_stage stage)
{
	*run = (struct chain_run){ .stage = stage };
}

/* Whether the handler has a say at the stage: only then is a right opened for it. */
static bool
chain_cares(const struct handler_ops *o, enum chain_stage stage)
{
	switch (stage) {
	case CHAIN_CONNECT:
		return o->on_connect != NULL;
	case CHAIN_HELO:
		return o->on_helo != NULL;
	case CHAIN_MAIL:
		return o->on_mail_from != NULL;
	case CHAIN_RCPT:
		return o->on_rcpt_to != NULL;
	case CHAIN_BODY:
	case CHAIN_END:
		return o->on_data != NULL;
	}
	return false;
}

static enum verdict
chain_call(
    const struct chain_link *k, enum chain_stage stage, const struct chain_about *ab, struct ask a, struct reply *r)
{
	const struct handler_ops *o = k->ops;

	switch (stage) {
	case CHAIN_CONNECT:
		return o->on_connect(k->ctx, ab->view, a, r);
	case CHAIN_HELO:
		return o->on_helo(k->ctx, ab->view, a, r);
	case CHAIN_MAIL:
		return o->on_mail_from(k->ctx, ab->view, ab->txn, a, r);
	case CHAIN_RCPT:
		return o->on_rcpt_to(k->ctx, ab->view, ab->txn, ab->rcpt, a, r);
	case CHAIN_BODY:
		return o->on_data(k->ctx, ab->view, ab->txn, ab->chunk, false, a, r);
	case CHAIN_END:
		return o->on_data(k->ctx, ab->view, ab->txn, (struct span){ NULL, 0 }, true, a, r);
	}
	return V_NEXT;
}

enum verdict
chain_ask(const struct chain *c, struct chain_run *run, void *who, const struct chain_about *about, struct reply *r)
{
	while (run->next < c->n) {
		const struct chain_link *k = &c->link[run->next++];
		struct ask a;

		if (!chain_cares(k->ops, run->stage))
			continue;
		if (asks_open(who, &a) != 0) {
			reply_set(r, 451, ENH(4, 3, 0), "no-memory", "out of memory, try again later");
			return V_REPLY;
		}
		r->code = 0;
		switch (chain_call(k, run->stage, about, a, r)) {
		case V_NEXT:
			asks_close(a);
			break;
		case V_REPLY:
			asks_close(a);
			return V_REPLY;
		case V_LATER:
			run->waiting = true;
			run->ask = a;
			return V_LATER;
		}
	}
	return V_NEXT;
}

void
chain_answered(struct chain_run *run)
{
	run->waiting = false;
}

void
chain_cancel(struct chain_run *run)
{
	if (run->waiting)
		asks_close(run->ask);
	run->waiting = false;
}

const char *
chain_name(const struct chain *c, const struct chain_run *run)
{
	return run->next > 0 ? c->link[run->next - 1].ops->name : "";
}

void
chain_session_closed(const struct chain *c, const struct session_view *view)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->link[i].ops->on_close != NULL)
			c->link[i].ops->on_close(c->link[i].ctx, view);
}

void
chain_close(struct chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->link[i].ops->close != NULL)
			c->link[i].ops->close(c->link[i].ctx);
	c->n = 0;
}
