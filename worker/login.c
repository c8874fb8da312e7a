/*
 * login: see login.h.  A client that is let in is ${user} from here on.
 */
#include "worker/login.h"

#include "common/credential.h"
#include "worker/account.h"
#include "worker/handlers/credentials.h"

void
login_try(const struct session *s, struct auth_try *out)
{
	static uint8_t binding[SASL_BINDING_MAX];
	const struct sasl *x = smtp_sasl(s->smtp);

	*out = (struct auth_try){
		.method = sasl_name[x->mech], .user = span_of(x->user, x->nuser), .password = x->password, .exchange = x
	};
	if (x->step == SASL_FINAL && x->bind == 'p')
		out->binding = span_of(binding, conn_tls_binding(&s->conn, x->bind_name, binding, sizeof(binding)));
}

static void
unavailable(struct reply *r)
{
	reply_set(r, 454, ENH(4, 7, 0), "auth-unavailable", "it cannot be told now who you are, try again later");
}

static void
let_in(struct session *s, struct reply *r)
{
	const struct sasl *x = smtp_sasl(s->smtp);
	char name[CREDENTIAL_USER_MAX + 1];
	struct span copy;

	if (s->named == NULL) {
		size_t n = credential_name(span_of(x->user, x->nuser), false, name);

		/* A handler may let one in whom no file could have; but nobody is nobody. */
		copy = n > 0 ? span_of(name, n + 1) : span_of(x->user, x->nuser + 1);
		if (x->nuser == 0 || arena_dup(&s->arena, copy, &copy) != 0) {
			unavailable(r);
			return;
		}
		s->named = (const char *)copy.p;
	}
	s->user = s->named;
	reply_set(r, 235, ENH(2, 7, 0), "authenticated", "welcome");
}

bool
login_confirmed(struct session *s, struct reply *r)
{
	if (smtp_sasl(s->smtp)->step != SASL_CONFIRMED)
		return false;
	let_in(s, r);
	account_auth(s, r);
	return true;
}

/* Whoever decides about it, or has just done so, is no handler of a section: letterplate-auth knows what comes of it. */
static bool
is_own(const struct session *s)
{
	const struct handler_ops *by = s->run.next > 0 ? s->w->chain.link[s->run.next - 1].ops : NULL;

	return by == &credentials_guesses_ops || by == &credentials_ops;
}

void
login_left(const struct session *s)
{
	if (s->run.stage == CHAIN_AUTH && s->run.waiting && !is_own(s))
		credentials_right(s->addr);
}

void
login_conclude(struct session *s, enum verdict v, struct reply *r)
{
	enum sasl_step step = smtp_sasl(s->smtp)->step;
	bool scram = step == SASL_FIRST || step == SASL_FINAL;

	/* Who is asked about SCRAM must go on with it: the client has its proof of us to see. */
	if (v != V_REPLY || (r->code >= 300 && r->code < 400 && !scram) || r->code == 451 || (r->code < 300 && scram))
		unavailable(r);
	else if (r->code >= 200 && r->code < 300)
		let_in(s, r);
	/* It was counted as wrong before others than letterplate-auth looked at it. */
	if (r->code < 500 && !scram && !(v == V_REPLY && is_own(s)))
		credentials_right(s->addr);
	if (r->code != 334)
		account_auth(s, r);
}
