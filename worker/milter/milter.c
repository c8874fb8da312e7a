/*
 * milter: each hook is a goal of the session's talk.
 */
#include "worker/milter/milter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/milter/talk.h"

static int
milter_open(const struct handler_env *env, void **ctx)
{
	const struct conf_handler *conf = env->section;
	struct milter *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		log_msg(LOG_L_ERROR, "start", "milter \"%s\": %s", env->name, strerror(errno));
		return -1;
	}
	m->conf = conf;
	m->name = env->name;
	m->stats = env->stats;
	milter_pool_init(&m->pool, env->loop, (const struct sockaddr *)&conf->socket.ss, conf->socket.len);
	*ctx = m;
	return 0;
}

static void
milter_close(void *ctx)
{
	struct milter *m = ctx;

	milter_pool_fini(&m->pool);
	free(m);
}

/* The session's talk, made at its first hook, with what is known of the client by now. */
static struct talk *
milter_talk(struct milter *m, const struct question *q)
{
	struct talk *t = q->mine;

	if (t == NULL) {
		t = talk_new(m);
		if (t == NULL)
			return NULL;
		if (handler_keep(q, t) != 0) {
			talk_free(t);
			return NULL;
		}
	}
	return talk_know(t, q->session) == 0 ? t : NULL;
}

static enum verdict
milter_hook(void *ctx, enum talk_goal goal, const struct question *q, struct reply *r)
{
	struct talk *t = milter_talk(ctx, q);

	return t != NULL ? talk_hook(t, goal, q, r) : V_FAIL;
}

static enum verdict
milter_connect(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_CONNECT, q, r);
}

static enum verdict
milter_helo(void *ctx, const struct question *q, struct reply *r)
{
	struct talk *t = milter_talk(ctx, q);

	if (t == NULL)
		return V_FAIL;
	if (t->seat.link != NULL)
		t->seat.link->told_helo = false;
	return talk_hook(t, TALK_HELO, q, r);
}

static enum verdict
milter_mail(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_MAIL, q, r);
}

static enum verdict
milter_rcpt(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_RCPT, q, r);
}

static void
milter_rcpt_refused(void *ctx, const struct question *q, const struct reply *r)
{
	(void)ctx;
	if (q->mine != NULL)
		talk_refused(q->mine, q, r);
}

static enum verdict
milter_data_begin(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_DATA, q, r);
}

static enum verdict
milter_data(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_CONTENT, q, r);
}

static enum verdict
milter_end(void *ctx, const struct question *q, struct reply *r)
{
	return milter_hook(ctx, TALK_END, q, r);
}

static enum verdict
milter_unknown(void *ctx, const struct question *q, struct reply *r)
{
	struct talk *t = milter_talk(ctx, q);

	return t != NULL ? talk_unknown(t, q, r) : V_FAIL;
}

static void
milter_cancel(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->mine != NULL)
		talk_cancel(q->mine);
}

static void
milter_reset(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->mine != NULL)
		talk_reset(q->mine);
}

static void
milter_gone(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->mine != NULL)
		talk_free(q->mine);
}

const struct handler_ops milter_ops = {
	.abi = HANDLER_ABI,
	.name = "milter",
	.check = true,
	.edits = true,
	.sees_edits = true, /* a filter for DMARC reads what one for DKIM wrote */
	.open = milter_open,
	.on_connect = milter_connect,
	.on_helo = milter_helo,
	.on_mail_from = milter_mail,
	.on_rcpt_to = milter_rcpt,
	.on_rcpt_refused = milter_rcpt_refused,
	.on_data_begin = milter_data_begin,
	.on_data = milter_data,
	.on_end = milter_end,
	.on_unknown = milter_unknown,
	.on_cancel = milter_cancel,
	.on_reset = milter_reset,
	.on_close = milter_gone,
	.close = milter_close,
};
