/*
 * txn: recipients in order, mailboxes without doubles, and a refused recipient
 * that leaves nothing behind.
 */
#include "worker/smtp/txn.h"

#include <errno.h>

#include "tests/unit/suite.h"

static struct arena arena;
static struct txn *t;

static void
setup(void)
{
	arena_init(&arena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	t = txn_new(&arena);
	ck_assert_ptr_nonnull(t);
}

static void
teardown(void)
{
	arena_reset(&arena);
}

static int
deliver(struct rcpt *r, const char *key)
{
	return txn_deliver(t, r, guarded_str(key), guarded_str("dir"), span_of(NULL, 0), &(struct quota_limit){ 7, 8 });
}

/* The keys of all targets, in order, with a space behind each. */
static const char *
keys(void)
{
	static char text[1000];
	size_t n = 0, count = 0;

	for (struct target *tg = t->targets; tg != NULL; tg = tg->next, count++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", (int)tg->key.n, (const char *)tg->key.p);
	text[n] = '\0';
	ck_assert_uint_eq(count, t->ntargets);
	ck_assert_ptr_null(*t->target_tail);
	return text;
}

START_TEST(starts_empty)
{
	ck_assert_ptr_eq(t->arena, &arena);
	ck_assert_uint_eq(t->nrcpt, 0);
	ck_assert_ptr_null(t->rcpts);
	ck_assert_ptr_eq(t->rcpt_tail, &t->rcpts);
	ck_assert_str_eq(keys(), "");
}
END_TEST

START_TEST(recipients_keep_their_order)
{
	struct rcpt *r[5];

	for (int i = 0; i < 5; i++) {
		r[i] = txn_rcpt_new(t);
		ck_assert_ptr_nonnull(r[i]);
		if (i != 2)
			txn_rcpt_accept(t, r[i]);
	}
	ck_assert_uint_eq(t->nrcpt, 4);
	ck_assert_ptr_eq(t->rcpts, r[0]);
	ck_assert_ptr_eq(r[0]->next, r[1]);
	ck_assert_ptr_eq(r[1]->next, r[3]);
	ck_assert_ptr_eq(r[3]->next, r[4]);
	ck_assert_ptr_null(r[4]->next);
}
END_TEST

START_TEST(mailboxes_are_shared)
{
	struct rcpt *a = txn_rcpt_new(t), *b = txn_rcpt_new(t);

	ck_assert_int_eq(deliver(a, "x@d"), 0);
	ck_assert_int_eq(deliver(a, "y@d"), 0);
	ck_assert_int_eq(deliver(a, "x@d"), 0);
	ck_assert_uint_eq(a->ntargets, 2);
	txn_rcpt_accept(t, a);
	ck_assert_int_eq(deliver(b, "y@d"), 0);
	ck_assert_int_eq(deliver(b, "z@d"), 0);
	txn_rcpt_accept(t, b);
	ck_assert_str_eq(keys(), "x@d y@d z@d ");
	ck_assert_uint_eq(b->ntargets, 2);
	ck_assert_ptr_eq(t->targets->next->rcpt, a);
	ck_assert_ptr_eq(t->targets->next->next->rcpt, b);
	ck_assert_uint_eq(t->targets->quota.octets, 7);
	ck_assert_uint_eq(t->targets->quota.messages, 8);
	ck_assert(span_eq(t->targets->dir, SPAN("dir")));
	ck_assert_uint_eq(t->targets->folder.n, 0);
}
END_TEST

/* The same hash, another key: FNV-1a gives both of each pair the same 32 bits. */
START_TEST(keys_count_and_not_their_hashes)
{
	struct rcpt *r = txn_rcpt_new(t);

	ck_assert_int_eq(deliver(r, "costarring"), 0);
	ck_assert_int_eq(deliver(r, "liquid"), 0);
	ck_assert_uint_eq(t->targets->hash, t->targets->next->hash);
	ck_assert_int_eq(deliver(r, "declinate"), 0);
	ck_assert_int_eq(deliver(r, "macallums"), 0);
	ck_assert_str_eq(keys(), "costarring liquid declinate macallums ");
}
END_TEST

START_TEST(a_refused_recipient_leaves_nothing)
{
	struct rcpt *a = txn_rcpt_new(t), *b = txn_rcpt_new(t), *c = txn_rcpt_new(t);

	deliver(a, "x@d");
	deliver(a, "y@d");
	txn_rcpt_accept(t, a);
	deliver(b, "v@d");
	deliver(b, "y@d");
	deliver(b, "w@d");
	txn_undeliver(t, b);
	ck_assert_uint_eq(b->ntargets, 0);
	ck_assert_ptr_null(b->targets);
	ck_assert_str_eq(keys(), "x@d y@d ");
	deliver(c, "w@d");
	txn_rcpt_accept(t, c);
	ck_assert_str_eq(keys(), "x@d y@d w@d ");
	ck_assert_ptr_eq(t->targets->next->next->rcpt, c);
	txn_undeliver(t, b); /* twice is no harm */
	ck_assert_str_eq(keys(), "x@d y@d w@d ");
}
END_TEST

/* Past the few that are searched one by one: the same promises, by hash. */
START_TEST(many_mailboxes)
{
	struct rcpt *r[3] = { txn_rcpt_new(t), txn_rcpt_new(t), txn_rcpt_new(t) };
	struct target *tg;
	char key[32];

	for (int round = 0; round < 4; round++) {
		/* 0: 300 mailboxes; 1: 300 of which 200 are new, refused; 2: the same again, accepted; 3: none is new */
		struct rcpt *to = round == 0 ? r[0] : round == 1 ? r[1] : r[2];
		int from = round == 0 ? 0 : 200;

		for (int i = from; i < from + 300; i++) {
			snprintf(key, sizeof(key), "%d@d", i);
			if (deliver(to, key) != 0)
				ck_abort_msg("%s", key);
		}
		ck_assert_uint_eq(to->ntargets, 300);
		ck_assert_uint_eq(t->ntargets, round == 0 ? 300 : 500);
		if (round == 1) {
			txn_undeliver(t, to);
			ck_assert_uint_eq(t->ntargets, 300);
			ck_assert_ptr_null(*t->target_tail);
		} else if (round != 2) {
			txn_rcpt_accept(t, to);
		}
	}
	tg = t->targets;
	for (int i = 0; i < 500; i++, tg = tg->next) {
		snprintf(key, sizeof(key), "%d@d", i);
		if (tg == NULL || !span_eq(tg->key, span_str(key)) || tg->rcpt != (i < 300 ? r[0] : r[2]))
			ck_abort_msg("%s", key);
	}
	ck_assert_ptr_null(tg);
}
END_TEST

START_TEST(refused_and_asked_again)
{
	struct rcpt *a = txn_rcpt_new(t), *b = txn_rcpt_new(t);

	deliver(a, "x@d");
	txn_rcpt_accept(t, a);
	deliver(b, "x@d");
	txn_undeliver(t, b);
	deliver(b, "x@d");
	ck_assert_uint_eq(b->ntargets, 1);
	txn_undeliver(t, b);
	ck_assert_str_eq(keys(), "x@d ");
}
END_TEST

START_TEST(the_only_recipient_refused)
{
	struct rcpt *a = txn_rcpt_new(t);

	deliver(a, "x@d");
	txn_undeliver(t, a);
	ck_assert_str_eq(keys(), "");
	ck_assert_ptr_eq(t->target_tail, &t->targets);
}
END_TEST

/* Who named a mailbox first and is taken out is followed by the next who reaches it: he stands for it in the trace. */
START_TEST(a_mailbox_has_an_heir)
{
	struct rcpt *r[3];
	static const char *const reach[] = { "x@d y@d", "y@d", "z@d y@d" };

	for (int i = 0; i < 3; i++) {
		char copy[16], *key, *rest = copy;

		snprintf(copy, sizeof(copy), "%s", reach[i]);
		r[i] = txn_rcpt_new(t);
		while ((key = strsep(&rest, " ")) != NULL)
			ck_assert_int_eq(deliver(r[i], key), 0);
		txn_rcpt_accept(t, r[i]);
	}
	txn_undeliver(t, r[0]);
	ck_assert_str_eq(keys(), "y@d z@d ");
	ck_assert_ptr_eq(t->targets->rcpt, r[1]);
	txn_undeliver(t, r[1]);
	ck_assert_str_eq(keys(), "y@d z@d ");
	ck_assert_ptr_eq(t->targets->rcpt, r[2]);
	ck_assert_ptr_eq(t->targets->next->rcpt, r[2]);
	txn_undeliver(t, r[2]);
	ck_assert_str_eq(keys(), "");
}
END_TEST

/* A mailbox that is taken out goes from all who reach it, and is another one when it is named again. */
START_TEST(a_mailbox_is_dropped)
{
	for (int many = 0; many < 2; many++) {
		struct rcpt *a, *b, *c;
		char key[32];

		teardown();
		setup();
		a = txn_rcpt_new(t);
		b = txn_rcpt_new(t);
		c = txn_rcpt_new(t);
		for (int i = 0; i < (many ? 100 : 3); i++) {
			snprintf(key, sizeof(key), "%d@d", i);
			ck_assert_int_eq(deliver(a, key), 0);
		}
		txn_rcpt_accept(t, a);
		ck_assert_int_eq(deliver(b, "1@d"), 0);
		txn_rcpt_accept(t, b);
		ck_assert_int_eq(t->bucket != NULL, many);
		txn_drop_target(t, t->targets->next);
		ck_assert_uint_eq(t->ntargets, many ? 99 : 2);
		ck_assert_uint_eq(a->ntargets, many ? 99 : 2);
		ck_assert_uint_eq(b->ntargets, 0);
		ck_assert_ptr_null(b->targets);
		for (const struct rcpt_target *rt = a->targets; rt != NULL; rt = rt->next)
			ck_assert(!span_eq(rt->target->key, SPAN("1@d")));
		ck_assert_int_eq(deliver(c, "1@d"), 0);
		ck_assert_int_eq(deliver(c, "2@d"), 0);
		ck_assert_uint_eq(t->ntargets, many ? 100 : 3);
		ck_assert_ptr_eq(c->targets->next->target->rcpt, c);
		ck_assert_ptr_eq(c->targets->target->rcpt, a);
		ck_assert_ptr_null(*t->target_tail);
	}
}
END_TEST

/* Without memory for the table it is slower, and right. */
START_TEST(many_mailboxes_without_a_table)
{
	bool seen = false;

	for (size_t limit = 4000; limit < 14000; limit += 100) {
		struct arena small;
		struct txn *u;
		struct rcpt *r[2];
		char key[32];

		arena_init(&small, 256, limit);
		u = txn_new(&small);
		for (int i = 0; i < 2; i++)
			r[i] = txn_rcpt_new(u);
		for (int i = 0; i < 40; i++) {
			snprintf(key, sizeof(key), "%d@d", i);
			if (txn_deliver(u, r[0], span_str(key), SPAN("d"), SPAN(""), NULL) != 0)
				break;
		}
		if (u->ntargets == 40 && u->bucket == NULL &&
		    txn_deliver(u, r[1], SPAN("35@d"), SPAN("d"), SPAN(""), NULL) == 0) {
			ck_assert_uint_eq(u->ntargets, 40);
			ck_assert_ptr_eq(r[1]->targets->target->rcpt, r[0]);
			seen = true;
		}
		arena_reset(&small);
	}
	ck_assert(seen);
}
END_TEST

START_TEST(not_more_than_its_targets)
{
	struct rcpt *r = txn_rcpt_new(t);
	char key[32];

	for (int i = 0; i < TXN_TARGETS_MAX; i++) {
		snprintf(key, sizeof(key), "%d@d", i);
		if (txn_deliver(t, r, span_str(key), SPAN("d/x"), span_of(NULL, 0), NULL) != 0)
			ck_abort_msg("%d", i);
	}
	errno = 0;
	ck_assert_int_eq(deliver(r, "one-more@d"), -1);
	ck_assert_int_eq(errno, E2BIG);
	ck_assert_uint_eq(t->ntargets, TXN_TARGETS_MAX);
	ck_assert_uint_eq(r->ntargets, TXN_TARGETS_MAX);
	ck_assert_int_eq(deliver(r, "0@d"), 0);
}
END_TEST

START_TEST(out_of_memory_changes_nothing)
{
	for (size_t limit = sizeof(struct txn) + 64; limit < 1400; limit += 8) {
		struct arena small;
		struct txn *u;
		struct rcpt *r;

		arena_init(&small, 64, limit);
		u = txn_new(&small);
		r = u != NULL ? txn_rcpt_new(u) : NULL;
		if (r != NULL) {
			int rc = txn_deliver(u, r, SPAN("key@d"), SPAN("d/key"), SPAN("folder"), NULL);

			ck_assert_int_eq(u->ntargets, rc == 0 ? 1 : 0);
			ck_assert_int_eq(r->ntargets, rc == 0 ? 1 : 0);
			ck_assert_int_eq(u->targets != NULL, rc == 0);
			ck_assert_int_eq(r->targets != NULL, rc == 0);
			ck_assert(rc == 0 || errno == ENOMEM);
			ck_assert(rc != 0 || span_eq(u->targets->folder, SPAN("folder")));
		}
		ck_assert(r != NULL || limit < 1300);
		arena_reset(&small);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("txn");
	TCase *tc = tcase_create("txn");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, starts_empty);
	tcase_add_test(tc, recipients_keep_their_order);
	tcase_add_test(tc, mailboxes_are_shared);
	tcase_add_test(tc, keys_count_and_not_their_hashes);
	tcase_add_test(tc, a_refused_recipient_leaves_nothing);
	tcase_add_test(tc, many_mailboxes);
	tcase_add_test(tc, refused_and_asked_again);
	tcase_add_test(tc, the_only_recipient_refused);
	tcase_add_test(tc, a_mailbox_has_an_heir);
	tcase_add_test(tc, a_mailbox_is_dropped);
	tcase_add_test(tc, many_mailboxes_without_a_table);
	tcase_add_test(tc, not_more_than_its_targets);
	tcase_add_test(tc, out_of_memory_changes_nothing);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
