/*
 * door: a C module that answers on_auth in each way: "guest" is let in as
 * "visitor", "evil" is refused, "broken" could not be found out, and who else
 * comes is left to those behind it.
 */
#include "worker/handlers/handler.h"

static bool
is(const struct question *q, const char *name)
{
	return span_eq(q->auth->user, span_str(name));
}

static enum verdict
let_in(const struct question *q, struct reply *r, const char *as)
{
	if (handler_user(q, span_str(as)) != 0)
		return V_FAIL;
	reply_set(r, 235, ENH(2, 7, 0), "door", "come in");
	return V_REPLY;
}

static enum verdict
door_on_auth(void *ctx, const struct question *q, struct reply *r)
{
	(void)ctx;
	if (is(q, "guest") && span_eq(q->auth->password, span_str("welcome")))
		return let_in(q, r, "visitor");
	if (is(q, "evil")) {
		reply_set(r, 535, ENH(5, 7, 8), "door", "not you");
		return V_REPLY;
	}
	return is(q, "broken") ? V_FAIL : V_NEXT;
}

const struct handler_ops letterplate_handler = { .abi = HANDLER_ABI, .name = "door", .on_auth = door_on_auth };
