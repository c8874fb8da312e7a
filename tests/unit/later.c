/*
 * later: handlers that work inside the loop: the pattern of handler.h, with
 * edits, failures, and a second handler that is shown what the first one did.
 */
#include "tests/unit/sessionfix.h"

/* --- a handler that thinks with the loop: this is the example that handler.h names --- */

struct mine {
	struct loop_task task;
	struct ask ask;
	bool cancelled;
};

static struct scene {
	/* What the editor does at the end of the message, second call. */
	int (*edit)(struct edits *e, const struct question *q);
	enum verdict says;
	bool never, untouched; /* says nothing; begins no edit before it answers */
	/* What the watcher does while it is shown content. */
	bool watcher_later, watcher_never, watcher_refuses;
	unsigned asked_again, kept, freed, cancelled, delivered, tag_errors;
	size_t seen_n;
	char seen[1 << 20];
} scene;

static struct conf_handler editor_section = { .name = "editor", .on_failure = CONF_F_TEMPFAIL, .timeout_ms = 30000 };

static void
fired(struct loop_task *t)
{
	struct mine *m = (struct mine *)((char *)t - offsetof(struct mine, task));

	ck_assert(!m->cancelled);
	ck_assert_int_eq(ask_answer(m->ask, V_AGAIN, NULL), 0);
}

static struct mine *
mine_of(const struct question *q)
{
	struct mine *m = q->mine;

	if (m != NULL)
		return m;
	m = calloc(1, sizeof(*m));
	ck_assert_ptr_nonnull(m);
	m->task.run = fired;
	ck_assert_int_eq(handler_keep(q, m), 0);
	scene.kept++;
	return m;
}

static enum verdict
editor_on_end(void *ctx, const struct question *q, struct reply *r)
{
	struct mine *m = mine_of(q);
	struct edits *e = handler_edits(q);

	(void)ctx;
	ck_assert_ptr_nonnull(e);
	if (!q->again) {
		m->ask = q->ask;
		if (!scene.never)
			loop_later(w.loop, &m->task);
		/* Half of it is there before the answer is. */
		if (!scene.untouched)
			ck_assert_int_eq(edit_add_header(e, SPAN("X-Early"), SPAN("1")), 0);
		return V_LATER;
	}
	scene.asked_again++;
	if (scene.edit != NULL && scene.edit(e, q) != 0)
		return V_FAIL;
	if (scene.says == V_REPLY)
		reply_set(r, 550, ENH(5, 7, 1), "editor", "no");
	return scene.says;
}

static void
editor_on_cancel(void *ctx, const struct question *q)
{
	struct mine *m = q->mine;

	(void)ctx;
	scene.cancelled++;
	m->cancelled = true;
	loop_task_clear(w.loop, &m->task);
}

static void
editor_on_reset(void *ctx, const struct question *q)
{
	(void)ctx;
	scene.delivered += q->delivered;
}

static void
editor_on_close(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->mine == NULL)
		return;
	free(q->mine);
	scene.freed++;
}

static const struct handler_ops editor_ops = {
	.abi = HANDLER_ABI,
	.name = "editor",
	.edits = true,
	.on_end = editor_on_end,
	.on_cancel = editor_on_cancel,
	.on_reset = editor_on_reset,
	.on_close = editor_on_close,
};

/* --- one that wants to see it --- */

static enum verdict
watcher_on_data(void *ctx, const struct question *q, struct reply *r)
{
	struct mine *m = mine_of(q);

	(void)ctx;
	if (!q->again) {
		memcpy(scene.seen + scene.seen_n, q->chunk.p, q->chunk.n);
		scene.seen_n += q->chunk.n;
	}
	if (scene.watcher_refuses) {
		reply_set(r, 550, ENH(5, 7, 1), "watcher", "seen enough");
		return V_REPLY;
	}
	if (q->again || !scene.watcher_later)
		return V_NEXT;
	m->ask = q->ask;
	if (!scene.watcher_never)
		loop_later(w.loop, &m->task);
	return V_LATER;
}

static enum verdict
watcher_on_end(void *ctx, const struct question *q, struct reply *r)
{
	(void)ctx, (void)r;
	ck_assert_int_eq(handler_tag(q, "watched"), 0);
	ck_assert_int_eq(handler_tag(q, "watched"), 0);
	ck_assert_int_eq(handler_tag(q, "No Tag"), -1);
	return V_NEXT;
}

static const struct handler_ops watcher_ops = {
	.abi = HANDLER_ABI,
	.name = "watcher",
	.sees_edits = true,
	.on_data = watcher_on_data,
	.on_end = watcher_on_end,
	.on_cancel = editor_on_cancel,
	.on_close = editor_on_close,
};

/* --- the directory --- */

static enum verdict
dir_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	struct span local = q->rcpt->addr.local;

	(void)ctx;
	if (span_eq(local, SPAN("nobody"))) {
		reply_set(r, 550, ENH(5, 1, 1), "unknown", "no such mailbox");
		return V_REPLY;
	}
	ck_assert_int_eq(txn_deliver(q->txn, q->rcpt, local, local, (struct span){ NULL, 0 }, NULL), 0);
	return V_NEXT;
}

static const struct handler_ops dir_ops = {
	.abi = HANDLER_ABI, .name = "dir", .resolves = true, .on_rcpt_to = dir_on_rcpt_to
};

static void
fix_chain(void)
{
	static struct conf_handler watcher_section = {
		.name = "watcher", .on_failure = CONF_F_TEMPFAIL, .timeout_ms = 200
	};

	memset(&scene, 0, sizeof(scene));
	editor_section.on_failure = CONF_F_TEMPFAIL;
	editor_section.timeout_ms = 30000;
	ck_assert_int_eq(chain_add(&w.chain, &dir_ops, NULL, NULL), 0);
	ck_assert_int_eq(chain_add(&w.chain, &editor_ops, NULL, &editor_section), 0);
	ck_assert_int_eq(chain_add(&w.chain, &watcher_ops, NULL, &watcher_section), 0);
}

/* --- scenes --- */

/* What stands in the store after ${octets} came and ${more} was added to the header. */
static void
expect_stored(size_t octets, const char *more)
{
	static char s[1 << 20];
	size_t k = (size_t)snprintf(s, sizeof(s), "Subject: x\n%s\n", more);

	for (size_t i = 0; i < octets; i++)
		if (i % 72 != 70)
			s[k++] = i % 72 == 71 ? '\n' : (char)('a' + i % 26);
	s[k++] = '\n';
	ck_assert_uint_eq(fake.n, k);
	ck_assert_mem_eq(fake.content, s, k);
}

/* The watcher saw the same, with CRLF. */
static void
expect_seen(void)
{
	size_t k = 0;

	for (size_t i = 0; i < fake.n; i++) {
		if (fake.content[i] == '\n')
			ck_assert_int_eq(scene.seen[k++], '\r');
		ck_assert_int_eq(scene.seen[k++], fake.content[i]);
	}
	ck_assert_uint_eq(scene.seen_n, k);
}

static int
edit_header_only(struct edits *e, const struct question *q)
{
	ck_assert_uint_eq(q->txn->nrcpt, 2);
	return edit_add_header(e, SPAN("X-Late"), SPAN("2\n folded"));
}

START_TEST(edited_and_seen)
{
	static const size_t sizes[] = { 0, 500, 300000 };

	for (unsigned k = 0; k < 3; k++) {
		size_t n;
		const char *s;

		setup();
		scene.edit = edit_header_only;
		scene.watcher_later = (_i & 1) != 0;
		fake.read_later = (_i & 2) != 0;
		fake.read_piece = (_i & 2) != 0 ? 5000 : 0;
		fake.full_every = (_i & 4) != 0 ? 7777 : 0;
		s = script_of(sizes[k], &n);
		expect_codes(talk(s, n), all_yes);
		expect_stored(sizes[k], "X-Early: 1\nX-Late: 2\n folded\n");
		expect_seen();
		ck_assert_uint_eq(fake.committed, 1);
		ck_assert_uint_eq(fake.aborted, 1);
		ck_assert_uint_eq(scene.asked_again, 1);
		ck_assert_uint_eq(scene.kept, scene.freed);
		ck_assert_uint_eq(scene.delivered, 1);
		ck_assert_uint_eq(atomic_load(&w.stats->tag[0].count), 1);
		ck_assert_str_eq(w.stats->tag[0].word, "watched");
	}
}
END_TEST

/* Nothing of a handler that could not finish stands, whatever holds then. */
START_TEST(failed_edits_are_gone)
{
	size_t n;
	const char *s, *got;

	setup();
	scene.untouched = _i == 0;
	scene.edit = _i == 0 ? NULL : edit_header_only;
	scene.says = _i == 2 ? V_REPLY : V_FAIL;
	/* Who began to edit and failed is no reason to take the mail as it is. */
	editor_section.on_failure = _i == 1 ? CONF_F_TEMPFAIL : CONF_F_ACCEPT;
	s = script_of(1000, &n);
	got = talk(s, n);
	if (_i == 0) {
		expect_codes(got, all_yes);
		ck_assert_uint_eq(fake.begun, 1);
		ck_assert_uint_eq(fake.committed, 1);
		expect_stored(1000, "");
		ck_assert_ptr_null(memmem(scene.seen, scene.seen_n, "X-Early", 7));
	} else {
		ck_assert_ptr_nonnull(strstr(got, _i == 2 ? "550 5.7.1 no" : "451 4.3.0 a check could not"));
		ck_assert_uint_eq(fake.committed, 0);
		ck_assert_uint_eq(scene.seen_n, 0);
	}
	ck_assert_uint_eq(scene.kept, scene.freed);
}
END_TEST

START_TEST(late_edits_are_gone)
{
	size_t n;
	const char *s;

	setup();
	scene.never = scene.untouched = true;
	editor_section.on_failure = CONF_F_ACCEPT;
	editor_section.timeout_ms = 200;
	s = script_of(1000, &n);
	expect_codes(talk(s, n), all_yes);
	expect_stored(1000, "");
	ck_assert_uint_eq(scene.cancelled, 1);
	ck_assert_uint_eq(counter(STATS_HANDLER_TIMEOUTS), 1);
}
END_TEST

static int
edit_add_known(struct edits *e, const struct question *q)
{
	(void)q;
	return edit_add_rcpt(e, SPAN("<carol@example.org>"));
}

static int
edit_add_unknown(struct edits *e, const struct question *q)
{
	(void)q;
	return edit_add_rcpt(e, SPAN("carol@example.org")) == 0 ? edit_add_rcpt(e, SPAN("nobody@example.org")) : -1;
}

static int
edit_delete_one(struct edits *e, const struct question *q)
{
	(void)q;
	return edit_delete_rcpt(e, SPAN("<ALICE@example.org>"));
}

static int
edit_delete_all(struct edits *e, const struct question *q)
{
	(void)q;
	return edit_delete_rcpt(e, SPAN("alice@example.org")) == 0 ? edit_delete_rcpt(e, SPAN("bob@example.org")) : -1;
}

static int
edit_new_body(struct edits *e, const struct question *q)
{
	(void)q;
	return edit_body(e) == 0 ? edit_body_more(e, SPAN("all\r\nnew\r\n")) : -1;
}

static const struct {
	int (*edit)(struct edits *e, const struct question *q);
	const char *codes;
	uint32_t targets;
	uint64_t stored, discarded;
} envelopes[] = {
	{ edit_add_known, "220 250 250 250 250 354 250 221 ", 3, 1, 0 },
	{ edit_add_unknown, "220 250 250 250 250 354 451 221 ", 2, 0, 0 },
	{ edit_delete_one, "220 250 250 250 250 354 250 221 ", 1, 1, 0 },
	{ edit_delete_all, "220 250 250 250 250 354 250 221 ", 2, 0, 1 },
	{ edit_new_body, "220 250 250 250 250 354 250 221 ", 2, 1, 0 },
};

START_TEST(envelope)
{
	size_t n;
	const char *s;

	setup();
	scene.edit = envelopes[_i].edit;
	s = script_of(1000, &n);
	expect_codes(talk(s, n), envelopes[_i].codes);
	ck_assert_uint_eq(fake.ntargets, envelopes[_i].targets);
	ck_assert_uint_eq(fake.committed, envelopes[_i].stored);
	ck_assert_uint_eq(counter(STATS_MESSAGES), envelopes[_i].stored);
	ck_assert_uint_eq(counter(STATS_DISCARDED), envelopes[_i].discarded);
	ck_assert_uint_eq(scene.delivered, envelopes[_i].stored + envelopes[_i].discarded);
	ck_assert(!fake.msg[0].used && !fake.msg[1].used);
	if (scene.edit == edit_new_body) {
		const char want[] = "Subject: x\nX-Early: 1\n\nall\nnew\n";

		ck_assert_uint_eq(fake.n, sizeof(want) - 1);
		ck_assert_mem_eq(fake.content, want, fake.n);
		expect_seen();
	}
}
END_TEST

static int
edit_aside_bob(struct edits *e, const struct question *q)
{
	struct reply r;

	reply_set(&r, 550, ENH(5, 2, 1), "aside", "bob does not want it");
	for (const struct rcpt *rc = q->txn->rcpts; rc != NULL; rc = rc->next)
		if (span_eq(rc->addr.local, SPAN("bob")))
			return edit_aside(e, &rc->addr, &r);
	return -1;
}

START_TEST(aside_in_lmtp)
{
	static const char script[] = "LHLO client.example\r\nMAIL FROM:<a@example.com>\r\n"
				     "RCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
				     "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";

	setup();
	ls.smtp.lmtp = true;
	scene.edit = edit_aside_bob;
	expect_codes(talk(script, sizeof(script) - 1), "220 250 250 250 250 354 250 550 221 ");
	ck_assert_uint_eq(fake.ntargets, 1);
	ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

static int
edit_aside_all(struct edits *e, const struct question *q)
{
	struct reply r;

	reply_set(&r, 550, ENH(5, 2, 1), "aside", "nobody wants it");
	for (const struct rcpt *rc = q->txn->rcpts; rc != NULL; rc = rc->next)
		if (edit_aside(e, &rc->addr, &r) != 0)
			return -1;
	return 0;
}

/* Each was refused by itself: then it was not accepted and dropped. */
START_TEST(all_aside_in_lmtp)
{
	static const char script[] = "LHLO client.example\r\nMAIL FROM:<a@example.com>\r\n"
				     "RCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
				     "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";

	setup();
	ls.smtp.lmtp = true;
	scene.edit = edit_aside_all;
	expect_codes(talk(script, sizeof(script) - 1), "220 250 250 250 250 354 550 550 221 ");
	ck_assert_uint_eq(fake.committed, 0);
	ck_assert_uint_eq(counter(STATS_DISCARDED), 0);
	ck_assert_uint_eq(scene.delivered, 0);
	ck_assert(!fake.msg[0].used && !fake.msg[1].used);
}
END_TEST

START_TEST(store_cannot_read)
{
	size_t n;
	const char *s;

	setup();
	fake.read_error = EIO;
	fake.read_later = _i != 0;
	scene.edit = edit_header_only;
	s = script_of(1000, &n);
	expect_codes(talk(s, n), "220 250 250 250 250 354 451 221 ");
	ck_assert_uint_eq(fake.committed, 0);
	ck_assert_uint_eq(counter(STATS_STORE_ERRORS), 1);
	ck_assert(!fake.msg[0].used && !fake.msg[1].used);
}
END_TEST

/* It is asked about a piece and says no, or nothing. */
START_TEST(watcher_decides)
{
	size_t n;
	const char *s;

	setup();
	scene.edit = edit_header_only;
	scene.watcher_refuses = _i == 0;
	scene.watcher_later = scene.watcher_never = _i == 1;
	s = script_of(100000, &n);
	expect_codes(talk(s, n), _i == 0 ? "220 250 250 250 250 354 550 221 " : "220 250 250 250 250 354 451 221 ");
	ck_assert_uint_eq(fake.committed, 0);
	ck_assert_uint_le(scene.seen_n, 2 * 8192);
	ck_assert_uint_eq(scene.cancelled, _i == 1);
	ck_assert(!fake.msg[0].used && !fake.msg[1].used);
}
END_TEST

static struct loop_timer leaving;

static void
leave(struct loop_timer *t)
{
	(void)t;
	close(client.fd);
	client.fd = -1;
}

/* The client is gone while a handler thinks about a piece: everything ends, nothing is stored. */
START_TEST(client_leaves_while_it_is_shown)
{
	size_t n;
	const char *s;

	setup();
	scene.edit = edit_header_only;
	scene.watcher_later = scene.watcher_never = true;
	s = script_of(1000, &n);
	leaving.fire = leave;
	loop_timer_set(w.loop, &leaving, 150);
	talk(s, n);
	ck_assert_uint_eq(w.nsessions, 0);
	ck_assert_uint_eq(fake.committed, 0);
	ck_assert_uint_ge(scene.cancelled, 1);
	ck_assert_uint_eq(scene.kept, scene.freed);
	ck_assert(!fake.msg[0].used && !fake.msg[1].used);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("later");
	TCase *t = tcase_create("later");

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, edited_and_seen, 0, 8);
	tcase_add_loop_test(t, failed_edits_are_gone, 0, 4);
	tcase_add_test(t, late_edits_are_gone);
	tcase_add_loop_test(t, envelope, 0, (int)(sizeof(envelopes) / sizeof(envelopes[0])));
	tcase_add_test(t, aside_in_lmtp);
	tcase_add_test(t, all_aside_in_lmtp);
	tcase_add_loop_test(t, store_cannot_read, 0, 2);
	tcase_add_loop_test(t, watcher_decides, 0, 2);
	tcase_add_test(t, client_leaves_while_it_is_shown);
	suite_add_tcase(s, t);
	return suite_run(s);
}
