/*
 * tokens: a token becomes a request, and an answer yes with a name, no, or
 * nothing that lets anybody in.  No answer, nonsense and every other action of
 * policy delegation is "cannot be told now".
 */
#include "worker/handlers/policy/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/log.h"
#include "worker/handlers/policy/client.h"
#include "worker/handlers/policy/request.h"

/* One question of one session, from asking to the answer. */
struct tokens_asked {
	struct policy_job job; /* first */
	struct ask ask;
	char why[POLICY_WHY_MAX]; /* there is no answer: the reason; "" there is one */
	bool yes, no;
	size_t n; /* octets of ${user} */
	char user[POLICY_TEXT_MAX];
};

static int
tokens_open(const struct handler_env *env, void **ctx)
{
	const struct conf_handler *cf = env->section;

	*ctx = policy_client_new(env->loop, &cf->socket.ss, cf->socket.len);
	return *ctx != NULL ? 0 : -1;
}

/* "OK", or "OK NAME": who it is, whatever was claimed. */
static void
tokens_take(struct tokens_asked *m, const struct policy_answer *a)
{
	m->yes = a->kind == POLICY_OK && span_caseeq(a->word, SPAN("OK"));
	m->no = a->kind == POLICY_REFUSE && a->reply.code >= 500;
	if (!m->yes)
		return;
	while (m->n < a->text.n && a->text.p[m->n] != ' ' && a->text.p[m->n] != '\t')
		m->n++;
	memcpy(m->user, a->text.p, m->n);
}

static void
tokens_done(struct policy_job *j, const struct policy_answer *a, const char *why)
{
	struct tokens_asked *m = (struct tokens_asked *)j;

	snprintf(m->why, sizeof(m->why), "%s", a == NULL ? why : "");
	if (a != NULL)
		tokens_take(m, a);
	(void)ask_answer(m->ask, V_AGAIN, NULL);
}

static enum verdict
tokens_ask(struct policy_client *c, const struct question *q)
{
	struct policy_facts f = { .stage = POLICY_AUTH, .view = q->session, .reverse_name = q->session->reverse_name };
	char request[POLICY_REQUEST_MAX];
	struct tokens_asked *m = calloc(1, sizeof(*m));
	size_t n;
	int rc;

	if (m == NULL || handler_keep(q, m) != 0) {
		free(m);
		return V_FAIL;
	}
	m->ask = q->ask;
	m->job.done = tokens_done;
	n = policy_request_token(&f, q->auth, request);
	rc = policy_client_ask(c, &m->job, request, n);
	explicit_bzero(request, n);
	if (rc == 0)
		return V_LATER;
	handler_log(q, LOG_L_WARN, "too many questions wait for whom tokens are asked about");
	(void)handler_keep(q, NULL);
	free(m);
	return V_FAIL;
}

static enum verdict
tokens_act(const struct question *q, const struct tokens_asked *m, struct reply *r)
{
	if (m->why[0] != '\0') {
		handler_log(q, LOG_L_WARN, "%s", m->why);
	} else if (m->no) {
		reply_set(r, 535, ENH(5, 7, 8), "auth-wrong", "that is not how anybody here proves who it is");
		return V_REPLY;
	} else if (!m->yes) {
		handler_log(
		    q, LOG_L_WARN, "the answer is neither OK nor REJECT: it cannot be told now whose a token is");
	} else if (m->n == 0 && q->auth->user.n == 0) {
		handler_log(q, LOG_L_WARN, "a token is OK, but whose is it?  Answer \"OK NAME\"");
	} else if (m->n > 0 && handler_user(q, span_of(m->user, m->n)) != 0) {
		handler_log(q, LOG_L_WARN, "the name behind OK can be nobody's");
	} else {
		reply_set(r, 235, ENH(2, 7, 0), "authenticated", "welcome");
		return V_REPLY;
	}
	return V_FAIL;
}

static enum verdict
tokens_on_auth(void *ctx, const struct question *q, struct reply *r)
{
	struct tokens_asked *m = q->mine;
	enum verdict v;

	if (q->again) {
		v = tokens_act(q, m, r);
		(void)handler_keep(q, NULL);
		free(m);
		return v;
	}
	if (strcmp(q->auth->method, "OAUTHBEARER") != 0 && strcmp(q->auth->method, "XOAUTH2") != 0)
		return V_NEXT;
	return tokens_ask(ctx, q);
}

/* Nobody waits any more: the question and its connection go. */
static void
tokens_on_cancel(void *ctx, const struct question *q)
{
	struct tokens_asked *m = q->mine;

	if (m == NULL)
		return;
	policy_client_cancel(ctx, &m->job);
	(void)handler_keep(q, NULL);
	free(m);
}

static void
tokens_close(void *ctx)
{
	policy_client_free(ctx);
}

const struct handler_ops tokens_ops = {
	.abi = HANDLER_ABI,
	.name = "tokens",
	.open = tokens_open,
	.on_auth = tokens_on_auth,
	.on_cancel = tokens_on_cancel,
	.on_close = tokens_on_cancel,
	.close = tokens_close,
};
