/*
 * policy: a question becomes a request, an answer becomes a verdict or an edit.
 * It lives no longer than its question: what comes later finds nobody.
 */
#include "worker/handlers/policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/log.h"
#include "worker/handlers/policy/client.h"
#include "worker/handlers/policy/request.h"

struct policy {
	struct policy_client *client;
	const char *name;
	enum policy_stage stage;
};

/* One question of one session, from asking to the answer. */
struct policy_asked {
	struct policy_job job; /* first */
	struct ask ask;
	char why[POLICY_WHY_MAX];    /* there is no answer: the reason; "" there is one */
	struct policy_answer answer; /* its spans lie in text */
	char text[POLICY_ANSWER_MAX];
};

static int
policy_open(const struct handler_env *env, void **ctx)
{
	static const enum policy_stage stages[] = {
		[CONF_S_CONNECT] = POLICY_CONNECT,
		[CONF_S_HELO] = POLICY_HELO,
		[CONF_S_MAIL] = POLICY_MAIL,
		[CONF_S_RCPT] = POLICY_RCPT,
		[CONF_S_DATA] = POLICY_DATA,
		[CONF_S_END] = POLICY_END,
	};
	const struct conf_handler *cf = env->section;
	struct policy *p = calloc(1, sizeof(*p));

	if (p != NULL) {
		p->name = env->name;
		p->stage = stages[cf->stage];
		p->client = policy_client_new(env->loop, &cf->socket.ss, cf->socket.len);
	}
	if (p == NULL || p->client == NULL) {
		log_msg(LOG_L_ERROR, "start", "policy %s: out of memory", env->name);
		free(p);
		errno = ENOMEM;
		return -1;
	}
	*ctx = p;
	return 0;
}

/* The server has spoken, or will not. */
static void
policy_done(struct policy_job *j, const struct policy_answer *a, const char *why)
{
	struct policy_asked *m = (struct policy_asked *)j;

	snprintf(m->why, sizeof(m->why), "%s", a == NULL ? why : "");
	if (a != NULL) {
		m->answer = *a;
		memcpy(m->text, a->text.p, a->text.n);
		m->answer.text.p = (const uint8_t *)m->text;
		memcpy(m->text + a->text.n, a->word.p, a->word.n);
		m->answer.word.p = (const uint8_t *)m->text + a->text.n;
	}
	(void)ask_answer(m->ask, V_AGAIN, NULL);
}

static enum verdict
policy_ask(struct policy *p, const struct question *q)
{
	struct policy_facts f = { p->stage, q->session, q->txn, q->rcpt, q->session->reverse_name };
	char request[POLICY_REQUEST_MAX];
	struct policy_asked *m = calloc(1, sizeof(*m));

	if (m == NULL || handler_keep(q, m) != 0) {
		free(m);
		return V_FAIL;
	}
	m->ask = q->ask;
	m->job.done = policy_done;
	if (policy_client_ask(p->client, &m->job, request, policy_request(&f, request)) == 0)
		return V_LATER;
	handler_log(q, LOG_L_WARN, "too many questions wait for policy server %s", p->name);
	(void)handler_keep(q, NULL);
	free(m);
	return V_FAIL;
}

/*
 * The place behind what was put on top before: the first answer's field stands first (access(5)).  0: the same field
 * again, for another recipient of the message, is once.
 */
static uint32_t
policy_place(const struct edits *e, struct span name, struct span value)
{
	uint32_t at = 1;

	for (const struct edit *d = e->first; d != NULL; d = d->next) {
		if (d->kind != EDIT_INSERT_HEADER)
			continue;
		if (span_eq(d->name, name) && d->value.n > 0 &&
		    span_eq(span_skip(d->value, 1), value)) /* behind its blank */
			return 0;
		at += d->index <= at;
	}
	return at;
}

static enum verdict
policy_prepend(const struct question *q, struct edits *e, struct span field)
{
	const uint8_t *colon = memchr(field.p, ':', field.n);
	struct span name = span_of(field.p, (size_t)(colon - field.p));
	struct span value = span_skip(field, name.n + 1);
	uint32_t at;

	while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
		value = span_skip(value, 1);
	at = policy_place(e, name, value);
	if (at == 0 || edit_insert_header(e, at, name, value) == 0)
		return V_NEXT;
	handler_log(q, LOG_L_WARN, "a field to prepend cannot be taken: %s", strerror(errno));
	return V_FAIL;
}

/* What changes the message.  Before MAIL there is none. */
static enum verdict
policy_edit(const struct question *q, const struct policy_answer *a)
{
	struct edits *e = q->txn != NULL ? handler_edits(q) : NULL;

	if (q->txn == NULL) {
		handler_log(q, LOG_L_WARN, "%.*s means nothing before MAIL: ask at another stage", (int)a->word.n,
		    (const char *)a->word.p);
		return V_NEXT;
	}
	if (e == NULL)
		return V_FAIL;
	if (a->kind == POLICY_PREPEND)
		return policy_prepend(q, e, a->text);
	if (a->kind == POLICY_BCC)
		return edit_add_rcpt(e, a->text) == 0 ? V_NEXT : V_FAIL;
	handler_log(q, LOG_L_INFO, "held: %.*s", (int)a->text.n, (const char *)a->text.p);
	return edit_folder_why(e, span_str(POLICY_HOLD_FOLDER), a->text) == 0 ? V_NEXT : V_FAIL;
}

static enum verdict
policy_act(const struct question *q, const struct policy_answer *a, struct reply *r)
{
	switch (a->kind) {
	case POLICY_OK:
	case POLICY_DUNNO:
		break;
	case POLICY_REFUSE:
		*r = a->reply;
		return V_REPLY;
	case POLICY_DEFER_IF_PERMIT:
	case POLICY_DEFER_IF_REJECT:
		handler_defer(q, &a->reply, a->kind == POLICY_DEFER_IF_REJECT);
		break;
	case POLICY_DISCARD:
		return V_DISCARD;
	case POLICY_PREPEND:
	case POLICY_HOLD:
	case POLICY_BCC:
		return policy_edit(q, a);
	case POLICY_WARN:
	case POLICY_INFO:
		handler_log(q, a->kind == POLICY_WARN ? LOG_L_WARN : LOG_L_INFO, "%.*s", (int)a->text.n,
		    (const char *)a->text.p);
		break;
	case POLICY_UNSUPPORTED:
		handler_log(q, LOG_L_WARN, "%.*s is for servers that relay mail: taken for DUNNO", (int)a->word.n,
		    (const char *)a->word.p);
		break;
	}
	return V_NEXT;
}

static enum verdict
policy_question(void *ctx, const struct question *q, struct reply *r)
{
	struct policy *p = ctx;
	struct policy_asked *m = q->mine;
	enum verdict v = V_FAIL;

	if (!q->again)
		return policy_ask(p, q);
	if (m->why[0] != '\0')
		handler_log(q, LOG_L_WARN, "%s", m->why);
	else
		v = policy_act(q, &m->answer, r);
	(void)handler_keep(q, NULL);
	free(m);
	return v;
}

/* Nobody waits any more: the question and its connection go. */
static void
policy_on_cancel(void *ctx, const struct question *q)
{
	struct policy *p = ctx;
	struct policy_asked *m = q->mine;

	if (m == NULL)
		return;
	policy_client_cancel(p->client, &m->job);
	(void)handler_keep(q, NULL);
	free(m);
}

static void
policy_close(void *ctx)
{
	struct policy *p = ctx;

	policy_client_free(p->client);
	free(p);
}

const struct handler_ops *
policy_ops(enum conf_stage stage)
{
	/* What all have in common, and the one hook. */
#define OPS(hook) \
	{ \
		.abi = HANDLER_ABI, .name = "policy", .check = true, .edits = true, .open = policy_open, \
		.hook = policy_question, .on_cancel = policy_on_cancel, .on_close = policy_on_cancel, \
		.close = policy_close, \
	}
	static const struct handler_ops at[] = {
		[CONF_S_CONNECT] = OPS(on_connect),
		[CONF_S_HELO] = OPS(on_helo),
		[CONF_S_MAIL] = OPS(on_mail_from),
		[CONF_S_RCPT] = OPS(on_rcpt_to),
		[CONF_S_DATA] = OPS(on_data_begin),
		[CONF_S_END] = OPS(on_end),
	};
#undef OPS

	return &at[stage];
}
