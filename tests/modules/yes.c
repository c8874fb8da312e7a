/*
 * yes: a module that says 250 itself at the stage that its argument names, "mail"
 * or "rcpt", and has no objection otherwise.
 */
#include <string.h>

#include "worker/handlers/handler.h"

static int
yes_open(const struct handler_env *env, void **ctx)
{
	static char stage[16];

	strncpy(stage, env->argument, sizeof(stage) - 1);
	*ctx = stage;
	return 0;
}

static enum verdict
yes(const char *stage, const char *here, struct reply *r)
{
	if (strcmp(stage, here) != 0)
		return V_NEXT;
	reply_set(r, 250, here[0] == 'm' ? ENH(2, 1, 0) : ENH(2, 1, 5), "yes", "yes");
	return V_REPLY;
}

static enum verdict
yes_mail(void *ctx, const struct question *q, struct reply *r)
{
	(void)q;
	return yes(ctx, "mail", r);
}

static enum verdict
yes_rcpt(void *ctx, const struct question *q, struct reply *r)
{
	(void)q;
	return yes(ctx, "rcpt", r);
}

const struct handler_ops letterplate_handler = {
	.abi = HANDLER_ABI,
	.name = "yes",
	.open = yes_open,
	.on_mail_from = yes_mail,
	.on_rcpt_to = yes_rcpt,
};
