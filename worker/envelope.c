/*
 * envelope: what edits change in a transaction: sender, recipients, folder.
 * Recipients stay in the transaction's list, since LMTP answers to each; what
 * changes is where their mail goes.
 */
#include "worker/envelope.h"

#include "worker/hooks.h"

static bool
same_address(const struct addr *a, const struct addr *b)
{
	/* Who names a recipient to delete means the one that was given, in whatever case (RFC 5321 2.4 leaves it to us). */
	return span_caseeq(a->domain, b->domain) && span_caseeq(a->local, b->local);
}

/* Whether the mailbox ${key} is local@domain. */
static bool
same_mailbox(struct span key, const struct addr *a)
{
	size_t n = a->local.n;

	return key.n == n + 1 + a->domain.n && key.p[n] == '@' && span_caseeq(span_head(key, n), a->local) &&
	    span_caseeq(span_skip(key, n + 1), a->domain);
}

static struct rcpt *
recipient_given(const struct txn *t, const struct addr *a)
{
	struct rcpt *r = t->rcpts;

	while (r != NULL && (r->ntargets == 0 || !same_address(&r->addr, a)))
		r = r->next;
	return r;
}

/* Nobody was given so: who is meant may be a mailbox that an alias reaches. */
static void
mailbox_delete(struct txn *t, const struct addr *a)
{
	for (struct target *tg = t->targets; tg != NULL; tg = tg->next)
		if (same_mailbox(tg->key, a)) {
			txn_drop_target(t, tg);
			return;
		}
}

static void
recipient_delete(struct txn *t, const struct addr *a)
{
	struct rcpt *r = recipient_given(t, a);

	if (r == NULL) {
		mailbox_delete(t, a);
		return;
	}
	for (; r != NULL; r = recipient_given(t, a))
		txn_undeliver(t, r);
}

static void
recipient_aside(struct txn *t, const struct edit *e)
{
	for (struct rcpt *r = recipient_given(t, &e->addr); r != NULL; r = recipient_given(t, &e->addr)) {
		r->aside = e->reply;
		txn_undeliver(t, r);
	}
}

/* The directory says where it goes. */
static int
recipient_add(struct session *s, struct txn *t, const struct addr *a, const char **why)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	struct reply r = { .code = 0 };

	about.rcpt = txn_rcpt_new(t);
	*why = "no-memory";
	if (about.rcpt == NULL)
		return -1;
	about.rcpt->addr = *a;
	*why = "added-recipient-unknown";
	return chain_resolve(&s->w->chain, &about, &r) == V_NEXT && about.rcpt->ntargets > 0 ? 0 : -1;
}

/* For all that are left, behind what else was said of recipients. */
static void
folder_set(struct txn *t, struct span folder)
{
	for (struct target *tg = t->targets; tg != NULL; tg = tg->next) {
		tg->folder = folder;
		tg->folder_make = folder.n > 0;
	}
}

int
envelope_edit(struct session *s, const struct edit **failed, const char **why)
{
	struct txn *t = smtp_txn(s->smtp);
	const struct edit *folder = NULL;

	*failed = NULL;
	for (const struct edit *e = t->edits->first; e != NULL; e = e->next)
		switch (e->kind) {
		case EDIT_ADD_RCPT:
			if (recipient_add(s, t, &e->addr, why) != 0) {
				*failed = e;
				return -1;
			}
			break;
		case EDIT_DELETE_RCPT:
			recipient_delete(t, &e->addr);
			break;
		case EDIT_ASIDE:
			recipient_aside(t, e);
			break;
		case EDIT_SENDER:
			t->from = e->addr;
			break;
		case EDIT_FOLDER:
			folder = e;
			break;
		case EDIT_ADD_HEADER:
		case EDIT_INSERT_HEADER:
		case EDIT_CHANGE_HEADER:
		case EDIT_DELETE_HEADER:
		case EDIT_BODY:
			break;
		}
	if (folder != NULL)
		folder_set(t, folder->value);
	return 0;
}
