/*
 * say: one function a command.
 */
#include "worker/milter/say.h"

#include <errno.h>
#include <stdio.h>

enum { ARGS_MAX = 32 }; /* of MAIL and RCPT: the path and its parameters */

static int
macros_about(struct milter_link *k, enum milter_command cmd, enum milter_stage stage, struct milter_about *ab)
{
	struct span out[2 * MILTER_MACROS_MAX];
	size_t n;

	if (k->st.done_session)
		return 0;
	n = milter_macros(ab, stage, k->symbols[stage], out);
	return n == 0 ? 0 : milter_put_macros(&k->out, cmd, out, n);
}

static int
macros(struct milter_link *k, enum milter_command cmd, enum milter_stage stage, const struct milter_facts *f,
    const struct txn *t, const struct rcpt *rc)
{
	struct milter_about ab;

	milter_about_init(&ab, f, t, rc);
	return macros_about(k, cmd, stage, &ab);
}

int
say_options(struct milter_link *k)
{
	if (milter_put_optneg(&k->out, MILTER_F_ALL, MILTER_P_ALL) != 0)
		return -1;
	(void)milter_state_said(&k->st, MILTER_C_OPTNEG);
	return 0;
}

int
say_connect(struct milter_link *k, const struct milter_facts *f)
{
	char bracketed[80];
	const char *name = f->name;

	if (macros(k, MILTER_C_CONNECT, MILTER_M_CONNECT, f, NULL, NULL) != 0)
		return -1;
	if (!milter_state_wants(&k->st, MILTER_C_CONNECT))
		return 0;
	if (name == NULL) {
		/* Sendmail's form of a host without a name. */
		snprintf(bracketed, sizeof(bracketed), "[%s]", f->addr);
		name = f->family == 'L' ? "localhost" : bracketed;
	}
	if (milter_put_connect(&k->out, span_str(name), f->family, f->port, span_str(f->addr)) != 0)
		return -1;
	(void)milter_state_said(&k->st, MILTER_C_CONNECT);
	return 0;
}

/* A command with strings. */
static int
command(struct milter_link *k, enum milter_command cmd, const struct span *arg, size_t n)
{
	if (!milter_state_wants(&k->st, cmd))
		return 0;
	if (milter_put(&k->out, cmd, arg, n) != 0)
		return -1;
	(void)milter_state_said(&k->st, cmd);
	return 0;
}

int
say_helo(struct milter_link *k, const struct milter_facts *f)
{
	struct span helo = span_str(f->helo);

	if (macros(k, MILTER_C_HELO, MILTER_M_HELO, f, NULL, NULL) != 0)
		return -1;
	return command(k, MILTER_C_HELO, &helo, 1);
}

/* "<path>" and the parameters as given, put into the output, and nothing noted. */
static int
put_path(struct milter_link *k, enum milter_command cmd, const struct addr *a, struct span params)
{
	char path[ADDR_TEXT_MAX + 2];
	struct span arg[ARGS_MAX];
	ssize_t n = addr_format(a, path + 1, sizeof(path) - 2);
	size_t args = 1;

	if (n < 0) {
		errno = ENOBUFS;
		return -1;
	}
	path[0] = '<';
	path[n + 1] = '>';
	arg[0] = span_of(path, (size_t)n + 2);
	while (params.n > 0 && args < ARGS_MAX) {
		size_t len = 0;

		while (len < params.n && params.p[len] != ' ')
			len++;
		if (len > 0)
			arg[args++] = span_head(params, len);
		params = span_skip(params, len < params.n ? len + 1 : len);
	}
	return milter_put(&k->out, cmd, arg, args);
}

static int
path_command(struct milter_link *k, enum milter_command cmd, const struct addr *a, struct span params)
{
	if (!milter_state_wants(&k->st, cmd))
		return 0;
	if (put_path(k, cmd, a, params) != 0)
		return -1;
	(void)milter_state_said(&k->st, cmd);
	return 0;
}

int
say_mail(struct milter_link *k, const struct milter_facts *f, const struct txn *t)
{
	if (macros(k, MILTER_C_MAIL, MILTER_M_MAIL, f, t, NULL) != 0)
		return -1;
	return path_command(k, MILTER_C_MAIL, &t->from, t->params);
}

int
say_rcpt(struct milter_link *k, const struct milter_facts *f, const struct txn *t, const struct rcpt *rc)
{
	if (macros(k, MILTER_C_RCPT, MILTER_M_RCPT, f, t, rc) != 0)
		return -1;
	return path_command(k, MILTER_C_RCPT, &rc->addr, rc->params);
}

int
say_refused(struct milter_link *k, const struct milter_facts *f, const struct txn *t, const struct rcpt *rc,
    const struct reply *r)
{
	struct milter_about ab;

	if ((k->st.steps & MILTER_P_RCPT_REJ) == 0 || !milter_state_wants(&k->st, MILTER_C_RCPT))
		return 0;
	milter_about_init(&ab, f, t, rc);
	ab.refused = r;
	if (macros_about(k, MILTER_C_RCPT, MILTER_M_RCPT, &ab) != 0 ||
	    put_path(k, MILTER_C_RCPT, &rc->addr, rc->params) != 0)
		return -1;
	milter_state_refused(&k->st);
	return 0;
}

int
say_data(struct milter_link *k, const struct milter_facts *f, const struct txn *t)
{
	if (macros(k, MILTER_C_DATA, MILTER_M_DATA, f, t, NULL) != 0)
		return -1;
	return command(k, MILTER_C_DATA, NULL, 0);
}

int
say_field(struct milter_link *k, struct span name, struct span value)
{
	if (!milter_state_wants(&k->st, MILTER_C_HEADER))
		return 0;
	if ((k->st.steps & MILTER_P_HDR_LEADSPC) == 0 && value.n > 0 && value.p[0] == ' ')
		value = span_skip(value, 1);
	if (milter_put_header(&k->out, name, value) != 0)
		return -1;
	(void)milter_state_said(&k->st, MILTER_C_HEADER);
	return 0;
}

int
say_end_of_header(struct milter_link *k, const struct milter_facts *f, const struct txn *t)
{
	if (macros(k, MILTER_C_EOH, MILTER_M_EOH, f, t, NULL) != 0)
		return -1;
	return command(k, MILTER_C_EOH, NULL, 0);
}

int
say_body(struct milter_link *k, struct span chunk)
{
	if (!milter_state_wants(&k->st, MILTER_C_BODY))
		return 0;
	if (milter_put_body(&k->out, chunk) != 0)
		return -1;
	(void)milter_state_said(&k->st, MILTER_C_BODY);
	return 0;
}

int
say_end(struct milter_link *k, const struct milter_facts *f, const struct txn *t)
{
	if (macros(k, MILTER_C_EOM, MILTER_M_EOM, f, t, NULL) != 0)
		return -1;
	return command(k, MILTER_C_EOM, NULL, 0);
}

int
say_unknown(struct milter_link *k, struct span line)
{
	return command(k, MILTER_C_UNKNOWN, &line, 1);
}

int
say_abort(struct milter_link *k)
{
	return milter_put(&k->out, MILTER_C_ABORT, NULL, 0);
}
