/* resolve: which mailboxes an address reaches, or what a sender is told. */
#include "tests/unit/snapshot.h"

static const char list[] = "alice@example.org\n"
			   "bob@example.org quota=2GiB\n"
			   "plus+tag@example.org\n"
			   "+odd@example.org\n"
			   "sales@example.org alias=alice@example.org,bob@example.org\n"
			   "twice@example.org alias=sales@example.org,alice@example.org,alice+x@example.org\n"
			   "tagged@example.org alias=alice+list@example.org\n"
			   "old@example.org reject=\"550 5.1.6 moved to new@example.org\"\n"
			   "moving@example.org defer=\"450 4.2.1 mailbox is being moved\"\n"
			   "half@example.org alias=alice@example.org,nobody@example.org\n"
			   "dead@example.org alias=nobody@example.org,nobody2@example.org\n"
			   "stale@example.org alias=old@example.org\n"
			   "wait@example.org alias=alice@example.org,moving@example.org\n"
			   "self@example.org alias=self@example.org\n"
			   "self2@example.org alias=self2@example.org,bob@example.org\n"
			   "selfdead@example.org alias=nobody@example.org,selfdead@example.org\n"
			   "l1@example.org alias=l2@example.org\n"
			   "l2@example.org alias=l3@example.org\n"
			   "l3@example.org alias=l1@example.org\n"
			   "k1@example.org alias=k2@example.org,k3@example.org\n"
			   "k2@example.org alias=k3@example.org\n"
			   "k3@example.org alias=k2@example.org\n"
			   "c0@example.org alias=c1@example.org\n"
			   "c1@example.org alias=c2@example.org\n"
			   "c2@example.org alias=c3@example.org\n"
			   "c3@example.org alias=c4@example.org\n"
			   "c4@example.org alias=c5@example.org\n"
			   "c5@example.org alias=c6@example.org\n"
			   "c6@example.org alias=c7@example.org\n"
			   "c7@example.org alias=c8@example.org\n"
			   "c8@example.org alias=c9@example.org\n"
			   "c9@example.org alias=c10@example.org\n"
			   "c10@example.org alias=alice@example.org\n"
			   "deep@example.org alias=bob@example.org,c0@example.org\n"
			   "short@example.org alias=c0@example.org,c5@example.org\n"
			   "carol@example.com\n"
			   "keep@example.org copy=alice@example.org,back@example.org\n"
			   "back@example.org alias=keep@example.org\n"
			   "both@example.org copy=gone@example.org\n"
			   "x@example.com alias=y@example.com\n"
			   "exact@example.net\n"
			   "a@catch.example\n"
			   "z@catchloop.example reject=\"550 5.1.1 no\"\n"
			   "abroad@example.org alias=who@nowhere.example\n"
			   "m\xc3\xbcller@example.org\n"
			   "\"a@b c\"@example.org\n"
			   "@catch.example alias=alice@example.org\n"
			   "@catchloop.example alias=nobody@catchloop.example\n"
			   "@refuse.example reject=\"553 5.7.1 closed\"\n"
			   "@wait.example defer=\"451 4.7.1 not yet\"\n"
			   "@example.net domain-alias=example.org\n"
			   "@three.example domain-alias=example.net\n"
			   "@ring1.example domain-alias=ring2.example\n"
			   "@ring2.example domain-alias=ring1.example\n"
			   "@lost.example domain-alias=nowhere.example\n";

/* For the test of an older list. */
static const char old_list[] = "alice@example.org\n"
			       "both@example.org alias=alice@example.org,nobody@example.org\n"
			       "old@example.org reject=\"550 5.1.6 moved to new@example.org\"\n"
			       "half@example.org alias=old@example.org,nobody@example.org\n"
			       "dead@example.org alias=nobody@example.org\n"
			       "round@example.org alias=round@example.org\n"
			       "spin@example.org alias=nobody@example.org,spin@example.org\n"
			       "@example.com alias=alice@example.org\n"
			       "@example.net domain-alias=example.org\n";

static struct snapshot snap;
static struct mdb *m;
static struct arena ar;
static struct resolve_conf cf;
static struct resolve_box *boxes;
static struct reply r;
static char got[4096], steps[16384];

static void
note_step(void *arg, unsigned depth, const char *text)
{
	size_t n = strlen(steps);

	(void)arg;
	snprintf(steps + n, sizeof(steps) - n, "%u %s\n", depth, text);
}

static const char *
describe(enum resolve_res res)
{
	size_t n = 0;

	if (res == RESOLVE_REPLY) {
		ck_assert_ptr_null(boxes);
		ck_assert(!r.close);
		snprintf(got, sizeof(got), "%u %u.%u.%u %s", r.code, ENH_CLASS(r.enh), ENH_SUBJECT(r.enh),
		    ENH_DETAIL(r.enh), r.reason);
		return got;
	}
	ck_assert_ptr_nonnull(boxes);
	got[0] = '\0';
	for (const struct resolve_box *b = boxes; b != NULL; b = b->next)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.*s%s%.*s", n > 0 ? " " : "", (int)b->key.n,
		    (const char *)b->key.p, b->extension.n > 0 ? "/" : "", (int)b->extension.n,
		    (const char *)b->extension.p);
	return got;
}

static const char *
ask(struct mdb *in, const char *address)
{
	struct addr a = { .local = SPAN("Postmaster") };
	static char loud[sizeof(got)];
	struct addr quiet;

	if (strcmp(address, "postmaster") != 0)
		ck_assert_msg(addr_parse_bare(guarded_str(address), ADDR_UTF8, &ar, &a) == 0, "%s", address);
	quiet = a;
	steps[0] = '\0';
	snprintf(loud, sizeof(loud), "%s", describe(resolve(in, &cf, &a, &ar, &boxes, &r, note_step, NULL)));
	ck_assert_str_eq(describe(resolve(in, &cf, &quiet, &ar, &boxes, &r, NULL, NULL)), loud);
	return loud;
}

static void
setup(void)
{
	snapshot_init(&snap);
	snapshot_load(&snap, list);
	ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
	arena_init(&ar, 4096, 8 << 20);
	cf =
	    (struct resolve_conf){ .delimiters = "+", .postmaster = "alice@example.org", .hostname = "mx.example.org" };
}

static void
teardown(void)
{
	mdb_close(m);
	arena_reset(&ar);
	snapshot_fini(&snap);
}

#define NOBODY  "550 5.1.1 no-such-mailbox"
#define FOREIGN "550 5.7.1 not-our-domain"
#define LOOP    "550 5.4.6 alias-loop"
#define UNKNOWN "451 4.3.0 directory-unavailable"

static const struct {
	const char *address, *answer;
} rows[] = {
	{ "alice@example.org", "alice@example.org" },
	{ "keep@example.org", "keep@example.org alice@example.org" },
	{ "keep+x@example.org", "keep@example.org/x alice@example.org" },
	{ "back@example.org", "keep@example.org alice@example.org" },
	{ "both@example.org", "both@example.org" },
	{ "ALICE@Example.ORG", "alice@example.org" },
	{ "\"alice\"@example.org", "alice@example.org" },
	{ "alice+x@example.org", "alice@example.org/x" },
	{ "alice+X+y@example.org", "alice@example.org/x+y" },
	{ "alice+@example.org", "alice@example.org" },
	{ "plus+tag@example.org", "plus+tag@example.org" },
	{ "plus+other@example.org", NOBODY },
	{ "+odd@example.org", "+odd@example.org" },
	{ "+nobody@example.org", NOBODY },
	{ "alice-x@example.org", NOBODY },
	{ "nobody@example.org", NOBODY },
	{ "sales@example.org", "alice@example.org bob@example.org" },
	{ "sales+x@example.org", "alice@example.org bob@example.org" },
	{ "twice@example.org", "alice@example.org bob@example.org" }, /* the order is not promised, see below */
	{ "tagged@example.org", "alice@example.org/list" },
	{ "old@example.org", "550 5.1.6 listed-reject" },
	{ "old+x@example.org", "550 5.1.6 listed-reject" },
	{ "moving@example.org", "450 4.2.1 listed-defer" },
	{ "half@example.org", "alice@example.org" },
	{ "dead@example.org", NOBODY },
	{ "stale@example.org", "550 5.1.6 listed-reject" },
	{ "wait@example.org", "450 4.2.1 listed-defer" },
	{ "self@example.org", LOOP },
	{ "self2@example.org", "bob@example.org" },
	{ "selfdead@example.org", LOOP },
	{ "l1@example.org", LOOP },
	{ "k1@example.org", LOOP },
	{ "c1@example.org", "alice@example.org" },    /* ten hops */
	{ "c0@example.org", LOOP },                   /* eleven */
	{ "deep@example.org", LOOP },                 /* to bob alone would lose alice's copy */
	{ "short@example.org", "alice@example.org" }, /* eleven by one way, seven by the other */
	{ "nobody@example.com", NOBODY },
	{ "x@example.com", NOBODY },
	{ "bob@example.net", "bob@example.org" },
	{ "bob+x@example.net", "bob@example.org/x" },
	{ "exact@example.net", "exact@example.net" },
	{ "exact+x@example.net", "exact@example.net/x" },
	{ "sales@three.example", "alice@example.org bob@example.org" },
	{ "nobody@three.example", NOBODY },
	{ "a@ring1.example", LOOP },
	{ "a@lost.example", FOREIGN },
	{ "a@catch.example", "a@catch.example" },
	{ "other@catch.example", "alice@example.org" },
	{ "other+x@catch.example", "alice@example.org" },
	{ "postmaster@catch.example", "alice@example.org" },
	{ "a@catchloop.example", LOOP },
	{ "z@catchloop.example", "550 5.1.1 listed-reject" },
	{ "a@refuse.example", "553 5.7.1 listed-reject" },
	{ "a@wait.example", "451 4.7.1 listed-defer" },
	{ "abroad@example.org", FOREIGN },
	{ "a@elsewhere.example", FOREIGN },
	{ "a@sub.example.org", FOREIGN },
	{ "a@org", FOREIGN },
	{ "a@[192.0.2.1]", FOREIGN },
	{ "postmaster@[192.0.2.1]", FOREIGN },
	{ "postmaster", "alice@example.org" },
	{ "postmaster@example.org", "alice@example.org" },
	{ "PostMaster@example.com", "alice@example.org" },
	{ "postmaster@example.net", "alice@example.org" },
	{ "postmaster@refuse.example", "alice@example.org" },
	{ "postmaster@elsewhere.example", FOREIGN },
	{ "M\xc3\x9cLLER@example.org", "m\xc3\xbcller@example.org" },
	{ "mu\xcc\x88ller@example.org", "m\xc3\xbcller@example.org" },
	{ "\"a@b c\"@example.org", "a@b c@example.org" },
};

START_TEST(table)
{
	const char *answer = ask(m, rows[_i].address);

	if (strcmp(rows[_i].address, "twice@example.org") == 0) {
		int n = 0;

		for (const char *p = answer; (p = strstr(p, "@example.org")) != NULL; p++)
			n++;
		ck_assert_int_eq(n, 2);
		return;
	}
	ck_assert_msg(strcmp(answer, rows[_i].answer) == 0, "%s: '%s', not '%s'; steps:\n%s", rows[_i].address, answer,
	    rows[_i].answer, steps);
	ck_assert_int_gt((int)strlen(steps), 0);
}
END_TEST

START_TEST(boxes_say_where)
{
	ask(m, "bob+x@example.org");
	ck_assert(span_eq(boxes->dir, SPAN("example.org/bob")));
	ck_assert_uint_eq(boxes->quota.octets, 2ULL << 30);
	ask(m, "\"a@b c\"@example.org");
	ck_assert(span_eq(boxes->dir, SPAN("example.org/a%40b%20c")));
	ck_assert_uint_eq(boxes->quota.octets, 0);
}
END_TEST

START_TEST(configs)
{
	cf.postmaster = "";
	ck_assert_str_eq(ask(m, "postmaster"), FOREIGN);
	ck_assert_str_eq(ask(m, "postmaster@example.org"), NOBODY);
	cf.hostname = "catch.example";
	ck_assert_str_eq(ask(m, "postmaster"), "alice@example.org");
	cf.postmaster = "postmaster@example.org"; /* which is not listed */
	ck_assert_str_eq(ask(m, "postmaster"), NOBODY);
	ck_assert_str_eq(ask(m, "postmaster@example.com"), NOBODY);
	cf.delimiters = "";
	ck_assert_str_eq(ask(m, "alice+x@example.org"), NOBODY);
	cf.delimiters = "-+";
	ck_assert_str_eq(ask(m, "alice-x+y@example.org"), "alice@example.org/x+y");
	ck_assert_str_eq(ask(m, "alice+x-y@example.org"), "alice@example.org/x-y");
}
END_TEST

/* What cannot be known is never refused for good. */
START_TEST(unknown)
{
	struct addr a = { .is_null = true };
	uint8_t odd[] = { 9 };
	struct build *b;
	int rc;

	ck_assert_str_eq(ask(NULL, "alice@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(NULL, "nobody@elsewhere.example"), UNKNOWN);
	ck_assert_str_eq(ask(NULL, "postmaster"), UNKNOWN);
	ck_assert_int_eq(resolve(m, &cf, &a, &ar, &boxes, &r, NULL, NULL), RESOLVE_REPLY);
	ck_assert_uint_eq(r.code, 550);

	b = build_new(&snap.t, 4096, &rc);
	ck_assert_ptr_nonnull(b);
	ck_assert_int_eq(build_put(b, SPAN("odd@example.org"), span_of(odd, 1)), 0);
	ck_assert_int_eq(build_put(b, SPAN("@odd.example"), span_of(odd, 1)), 0);
	ck_assert_int_eq(build_done(b, 2, 1), 0);
	ck_assert_int_eq(tool_publish(&snap.t, true), 0);
	ck_assert_int_eq(mdb_refresh(m), 1);
	ck_assert_str_eq(ask(m, "odd@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "odd+x@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "a@odd.example"), UNKNOWN);
	ck_assert_str_eq(ask(m, "a@other.example"), FOREIGN);
}
END_TEST

/* The newest cannot be used: the one before tells what it has, and of what it lacks nothing. */
START_TEST(older)
{
	char path[PATH_MAX];

	snapshot_path(&snap, MDB_FILE, path);
	snapshot_load(&snap, old_list);
	ck_assert_int_eq(mdb_refresh(m), 1);
	ck_assert_str_eq(ask(m, "nobody@example.org"), NOBODY);
	ck_assert_str_eq(ask(m, "half@example.org"), "550 5.1.6 listed-reject");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mdb_refresh(m), -1);
	ck_assert_str_eq(ask(m, "alice@example.org"), "alice@example.org");
	ck_assert_str_eq(ask(m, "alice+x@example.org"), "alice@example.org/x");
	ck_assert_str_eq(ask(m, "both@example.org"), "alice@example.org");
	ck_assert_str_eq(ask(m, "anybody@example.com"), "alice@example.org");
	ck_assert_str_eq(ask(m, "postmaster@example.org"), "alice@example.org");
	ck_assert_str_eq(ask(m, "old@example.org"), "550 5.1.6 listed-reject");
	ck_assert_str_eq(ask(m, "round@example.org"), LOOP);
	ck_assert_str_eq(ask(m, "nobody@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "nobody+x@example.net"), UNKNOWN);
	ck_assert_str_eq(ask(m, "alice@elsewhere.example"), UNKNOWN);
	ck_assert_str_eq(ask(m, "dead@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "half@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "spin@example.org"), UNKNOWN);
	ck_assert_str_eq(ask(m, "a@[192.0.2.1]"), FOREIGN);
	snapshot_load(&snap, old_list);
	ck_assert_int_eq(mdb_refresh(m), 1);
	ck_assert_str_eq(ask(m, "nobody@example.org"), NOBODY);
}
END_TEST

/* A full arena is "later", and what is there suffices or is not used. */
START_TEST(no_memory)
{
	struct arena small;
	struct addr a;
	int ok = 0, later = 0;

	ck_assert_int_eq(addr_parse_bare(SPAN("sales@example.org"), 0, &ar, &a), 0);
	for (size_t limit = 0; limit < 2048; limit += 16) {
		arena_init(&small, 64, limit);
		if (resolve(m, &cf, &a, &small, &boxes, &r, NULL, NULL) == RESOLVE_OK) {
			ok++;
			ck_assert_str_eq(describe(RESOLVE_OK), "alice@example.org bob@example.org");
		} else {
			later++;
			ck_assert_str_eq(describe(RESOLVE_REPLY), UNKNOWN);
		}
		arena_reset(&small);
	}
	ck_assert_int_gt(ok, 0);
	ck_assert_int_gt(later, 0);
}
END_TEST

/* Lists of lists: RESOLVE_BOXES_MAX mailboxes are delivered, one more is not. */
START_TEST(large)
{
	size_t cap = 1 << 20, n = 0, boxes_n = 0;
	char *big = malloc(cap);

	for (int l = 0; l < 5; l++) {
		n += (size_t)snprintf(big + n, cap - n, "list%d@example.org alias=", l);
		for (int i = 0; i < (l < 4 ? 1000 : 97); i++)
			n += (size_t)snprintf(big + n, cap - n, "%su%d-%d@example.org", i > 0 ? "," : "", l, i);
		n += (size_t)snprintf(big + n, cap - n, "\n");
		for (int i = 0; i < (l < 4 ? 1000 : 97); i++)
			n += (size_t)snprintf(big + n, cap - n, "u%d-%d@example.org\n", l, i);
	}
	n += (size_t)snprintf(big + n, cap - n,
	    "four@example.org alias=list0@example.org,list1@example.org,list2@example.org,list3@example.org\n");
	snprintf(big + n, cap - n, "all@example.org alias=four@example.org,list4@example.org\n");
	snapshot_load(&snap, big);
	free(big);
	ck_assert_int_eq(mdb_refresh(m), 1);
	ck_assert_str_eq(ask(m, "all@example.org"), "451 4.3.5 alias-too-large");
	struct addr a;

	ck_assert_int_eq(addr_parse_bare(SPAN("four@example.org"), 0, &ar, &a), 0);
	ck_assert_int_eq(resolve(m, &cf, &a, &ar, &boxes, &r, NULL, NULL), RESOLVE_OK);
	for (const struct resolve_box *b = boxes; b != NULL; b = b->next)
		boxes_n++;
	ck_assert_uint_eq(boxes_n, 4000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolve");
	TCase *t = tcase_create("resolve");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, table, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, boxes_say_where);
	tcase_add_test(t, configs);
	tcase_add_test(t, unknown);
	tcase_add_test(t, older);
	tcase_add_test(t, no_memory);
	tcase_add_test(t, large);
	suite_add_tcase(s, t);
	return suite_run(s);
}
